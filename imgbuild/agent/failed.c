/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/failed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/cmdline.h"
#include "base/file.h"
#include "base/subprocess.h"

/* The first line of a small file, without blanks at its end; NULL where there is none. */
static char *read_line(const char *dir, const char *name)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, 4096, &text, NULL) < 0 || !text.size)
        return NULL;
    char *line = ib_strndup((const char *)text.data, strcspn((const char *)text.data, "\n"));
    for (size_t n = strlen(line); n > 0 && line[n - 1] == ' '; n--)
        line[n - 1] = 0;
    return line;
}

static bool is_disk(const char *name)
{
    static const char *const others[] = {".",   "dm-", "fd", "loop", "md",
                                         "nbd", "ram", "sr", "zram"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(others); i++)
        if (ib_startswith(name, others[i]))
            return false;
    return true;
}

static void append_disk(const char *block, const char *name, struct ib_buf *ret)
{
    enum { SECTOR = 512 }; /* sysfs counts in these, whatever the disk does */
    _cleanup_(ib_freep) char *dir = ib_path_join(block, name);
    _cleanup_(ib_freep) char *size = read_line(dir, "size");
    _cleanup_(ib_freep) char *model = read_line(dir, "device/model");
    uint64_t sectors = 0;
    char text[16];

    if (!ib_parse_u64(size, UINT64_MAX / SECTOR, &sectors))
        return;
    ib_buf_printf(ret, "    %s  %s  %s\n", name, ib_format_size(sectors * SECTOR, text),
                  model ? model : "");
}

static size_t append_disks(const char *sysfs, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *block = ib_path_join(sysfs, "block");
    _cleanup_(ib_closedirp) DIR *dir = opendir(block);
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (!dir)
        return 0;
    for (struct dirent *d; (d = readdir(dir));)
        if (is_disk(d->d_name))
            ib_strv_add(&names, d->d_name);
    ib_strv_sort(&names);
    for (size_t i = 0; i < names.count; i++)
        append_disk(block, names.items[i], ret);
    return names.count;
}

static bool has_partition(const struct ib_failed *f, const char *uuid)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/disk/by-partuuid/%s", f->dev, uuid);

    return ib_path_exists(path);
}

static void explain_missing(const struct ib_failed *f, const char *uuid, const char *half,
                            struct ib_buf *ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf disks = {0};

    ib_buf_printf(ret, "no partition with the UUID %s (the %s half of roothash) was found\n", uuid,
                  half);
    if (!append_disks(f->sysfs, &disks)) {
        ib_buf_append_str(ret, "  because: no disk was found at all\n"
                               "  try: add the driver of the disk's controller to drivers: of the "
                               "hardware profile, and look whether the firmware sees the disk\n");
        return;
    }
    ib_buf_append_str(ret, "  the disks are:\n");
    ib_buf_append(ret, disks.data, disks.size);
    ib_buf_append_str(ret,
                      "  try: flash the whole image again: this boot image and the root on the "
                      "disk are not of the same build\n");
}

void ib_failed_explain_root(const struct ib_failed *f, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *roothash = ib_cmdline_value(f->cmdline, "roothash");
    _cleanup_(ib_freep) char *mapping = ib_path_join(f->dev, "mapper/root");
    char data[37], hash[37];

    if (!roothash || !ib_cmdline_root_uuids(roothash, data, hash)) {
        ib_buf_append_str(ret,
                          "the kernel's command line has no valid roothash=\n"
                          "  try: start the node's own image; its boot image names its root\n");
        return;
    }
    if (!has_partition(f, data))
        explain_missing(f, data, "first", ret);
    else if (!has_partition(f, hash))
        explain_missing(f, hash, "second", ret);
    else if (!ib_path_exists(mapping))
        ib_buf_printf(ret,
                      "the root on partition %s does not have the hash %s\n"
                      "  because: the partition or its hash tree was changed or is damaged\n"
                      "  try: flash the image again; if it comes back, test the disk\n",
                      data, roothash);
}

static void append_output(const char *const *argv, const char *title, struct ib_buf *ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    int status = 0;

    if (ib_run(&(struct ib_run){.argv = argv, .out = &out, .ret_status = &status}, NULL) < 0 ||
        !out.size)
        return;
    ib_buf_printf(ret, "%s\n", title);
    ib_strv_split(&lines, (const char *)out.data, "\n");
    for (size_t i = 0; i < lines.count; i++)
        ib_buf_printf(ret, "    %s\n", lines.items[i]);
}

void ib_failed_list_units(struct ib_buf *ret)
{
    static const char *const units[] = {"systemctl",  "--no-legend",    "--plain",
                                        "list-units", "--state=failed", NULL};
    static const char *const errors[] = {
        "journalctl", "--boot", "--priority=err", "--output=cat", "--no-pager", "--lines=12", NULL};

    append_output(units, "failed units:", ret);
    append_output(errors, "last errors:", ret);
}

static _Noreturn void exec_shell(const char *shell)
{
    _cleanup_(ib_closep) int console = -1;

    setsid();
    console = open("/dev/console", O_RDWR);
    if (console < 0 || dup2(console, 0) < 0 || dup2(console, 1) < 0 || dup2(console, 2) < 0)
        _exit(126);
    (void)ioctl(0, TIOCSCTTY, 1); /* without it only job control is missing */
    execl(shell, "-sh", NULL);
    _exit(127);
}

int ib_failed_shell(struct ib_error **err)
{
    static const char *const shells[] = {"/bin/bash", "/bin/sh", "/usr/bin/busybox"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(shells); i++) {
        if (access(shells[i], X_OK) < 0)
            continue;
        pid_t pid = fork();
        if (pid < 0)
            return ib_fail(err, IB_E_IO, errno, shells[i], "start");
        if (pid == 0)
            exec_shell(shells[i]);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return 0;
    }
    ib_failf(err, IB_E_UNSUPPORTED, "this initrd holds no shell");
    return ib_hint(err, "start from a rescue system and look at the disk there");
}

int ib_failed_restart(unsigned seconds, struct ib_error **err)
{
    while (seconds > 0)
        seconds = sleep(seconds);
    sync();
    reboot(RB_AUTOBOOT);
    return ib_fail(err, IB_E_PERMISSION, errno, NULL, "restart the machine");
}
