/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/zstd.h"
#include "os/host.h"

/* Where distributions keep OVMF: code (read-only) and the template of its variables. */
static const struct {
    const char *code, *vars;
} firmware_table[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},     /* Debian */
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},           /* Debian, older */
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, /* Fedora */
};

struct machine {
    char *dir;  /* temporary files; removed at the end */
    char *disk; /* raw */
    char *vars;
    const char *code;
};

static void machine_clear(struct machine *m)
{
    ib_temp_dirp(&m->dir);
    free(m->disk);
    free(m->vars);
}

static int copy_file(const char *from, const char *to, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf data = {0};

    if (ib_read_file(from, 64 * IB_MIB, &data, err) < 0)
        return -1;
    _cleanup_(ib_closep) int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ib_write_full(fd, data.data, data.size) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "write");
    return 0;
}

static int prepare_firmware(struct machine *m, struct ib_error **err)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(firmware_table); i++) {
        if (!ib_path_exists(firmware_table[i].code) || !ib_path_exists(firmware_table[i].vars))
            continue;
        m->code = firmware_table[i].code;
        m->vars = ib_path_join(m->dir, "vars.fd");
        return copy_file(firmware_table[i].vars, m->vars, err);
    }
    ib_failf(err, IB_E_UNSUPPORTED, "no UEFI firmware for virtual machines is installed");
    return ib_hint(err, "install the package ovmf (Debian) or edk2-ovmf (Fedora)");
}

static int fill_disk(const struct ib_boot_options *o, int out_fd, struct ib_error **err)
{
    _cleanup_(ib_closep) int in_fd = ib_open_read(o->image, err);
    off_t in_size = in_fd < 0 ? -1 : lseek(in_fd, 0, SEEK_END);
    uint64_t size = 0;

    if (in_fd < 0)
        return -1;
    if (in_size < 0 || lseek(in_fd, 0, SEEK_SET) < 0)
        return ib_fail(err, IB_E_IO, errno, o->image, "read");
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        o->progress, NULL, "unpack", ib_path_base(o->image), (uint64_t)in_size, IB_UNIT_BYTES);
    if (ib_endswith(o->image, ".zst")) {
        if (ib_zstd_unpack(in_fd, out_fd, 4096 * IB_GIB, o->progress, step, &size, err) < 0)
            return ib_wrap(err, o->image, "unpack");
    } else {
        size = (uint64_t)in_size;
        if (ib_copy_range(in_fd, 0, out_fd, size) < 0)
            return ib_fail(err, IB_E_IO, errno, o->image, "copy");
    }
    uint64_t want = IB_MAX(size, o->disk_size_bytes ? o->disk_size_bytes : 64 * IB_GIB);
    if (ftruncate(out_fd, (off_t)want) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make room for the machine's disk");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

static int prepare_disk(const struct ib_boot_options *o, struct machine *m, struct ib_error **err)
{
    m->disk = o->disk ? ib_strdup(o->disk) : ib_path_join(m->dir, "disk.raw");
    if (o->disk && ib_path_exists(o->disk))
        return 0;
    _cleanup_(ib_closep) int fd = open(m->disk, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, m->disk, "create");
    if (fill_disk(o, fd, err) < 0) {
        unlink(m->disk);
        return -1;
    }
    return 0;
}

/* QEMU's own network answers for the gateway's address as its name server, and routes behind it. */
static void add_network(const struct ib_boot_options *o, struct ib_strv *argv)
{
    struct ib_buf netdev = {0};

    ib_buf_append_str(&netdev, "user,id=net");
    if (o->address)
        ib_buf_printf(&netdev, ",net=%s,dns=%s", o->subnet, o->gateway);
    if (o->ssh_port)
        ib_buf_printf(&netdev, ",hostfwd=tcp:127.0.0.1:%llu-%s:22", (unsigned long long)o->ssh_port,
                      o->address ? o->address : "");
    ib_strv_add(argv, "-netdev");
    ib_strv_take(argv, ib_buf_steal_string(&netdev));
    ib_strv_add(argv, "-device");
    ib_strv_addf(argv, "e1000e,netdev=net%s%s", o->mac ? ",mac=" : "", o->mac ? o->mac : "");
}

static void make_arguments(const struct ib_boot_options *o, const struct machine *m,
                           struct ib_strv *argv)
{
    bool kvm = ib_host_probe_kvm(NULL) == 0;

    if (!kvm)
        ib_progress_note(o->progress, "KVM does not work here: the machine is emulated, and slow");
    ib_strv_add(argv, "qemu-system-x86_64");
    ib_strv_add_all(argv, (const char *const[]){"-nodefaults", "-no-user-config", "-display",
                                                "none", "-serial", "stdio", "-no-reboot", NULL});
    ib_strv_add(argv, "-machine");
    ib_strv_add(argv, kvm ? "q35,accel=kvm" : "q35,accel=tcg");
    ib_strv_add(argv, "-cpu");
    ib_strv_add(argv, kvm ? "host" : "max");
    ib_strv_add(argv, "-m");
    ib_strv_addf(argv, "%llu", (unsigned long long)(o->memory_mib ? o->memory_mib : 2048));
    /* emulating two, QEMU 7.2 sometimes breaks Linux' patching of itself ("Oops: int3") */
    ib_strv_add(argv, "-smp");
    ib_strv_addf(argv, "%llu", (unsigned long long)(o->cpus ? o->cpus : kvm ? 2 : 1));
    ib_strv_add(argv, "-drive");
    ib_strv_addf(argv, "if=pflash,format=raw,unit=0,readonly=on,file=%s", m->code);
    ib_strv_add(argv, "-drive");
    ib_strv_addf(argv, "if=pflash,format=raw,unit=1,file=%s", m->vars);
    ib_strv_add(argv, "-drive");
    ib_strv_addf(argv, "if=none,id=disk,format=raw,discard=unmap,file=%s", m->disk);
    ib_strv_add(argv, "-device");
    ib_strv_add(argv, "nvme,drive=disk,serial=imgbuild,bootindex=1");
    add_network(o, argv);
    ib_strv_add_all(argv, (const char *const[]){"-device", "virtio-rng-pci", NULL});
    /* systemd-stub(7): added to the command line while Secure Boot is off */
    ib_strv_add(argv, "-smbios");
    ib_strv_addf(argv, "type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0%s%s",
                 o->kernel_arguments ? " " : "", o->kernel_arguments ? o->kernel_arguments : "");
}

/* Copies the console to console_fd until wait_for appears (0) or the console ends (1). */
static int watch_console(const struct ib_boot_options *o, int fd, struct ib_error **err)
{
    enum { CHUNK = 4096, KEEP = 1024 };
    _cleanup_(ib_buf_clear) struct ib_buf seen = {0};
    uint64_t end = ib_now_ms() + 1000 * (o->timeout_s ? o->timeout_s : 600);

    while (ib_now_ms() < end) {
        struct pollfd p = {fd, POLLIN, 0};
        if (ib_progress_check(o->progress, err) < 0)
            return -1;
        if (poll(&p, 1, 200) <= 0)
            continue;
        uint8_t *at = ib_buf_reserve(&seen, CHUNK);
        ssize_t n = read(fd, at, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return 1;
        if (o->console_fd >= 0 && ib_write_full(o->console_fd, at, (size_t)n) < 0)
            return ib_fail(err, IB_E_IO, errno, NULL, "write the console's output");
        seen.size += (size_t)n;
        if (memmem(seen.data, seen.size, o->wait_for, strlen(o->wait_for)))
            return 0;
        size_t keep = IB_MAX((size_t)KEEP, strlen(o->wait_for));
        if (seen.size > keep) {
            memmove(seen.data, seen.data + seen.size - keep, keep);
            seen.size = keep;
        }
    }
    ib_failf(err, IB_E_CHILD, "'%s' did not appear on the console in %llu s", o->wait_for,
             (unsigned long long)(o->timeout_s ? o->timeout_s : 600));
    return ib_hint(err, "look at the console's output above, or give it more time with --timeout");
}

static int run_waiting(const struct ib_boot_options *o, const struct ib_strv *argv,
                       struct ib_error **err)
{
    int console[2];

    if (pipe2(console, O_CLOEXEC) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a pipe");
    _cleanup_(ib_closep) int in = console[0];
    _cleanup_(ib_closep) int out = console[1];
    _cleanup_(ib_child_killp) struct ib_child *child =
        ib_spawn(&(struct ib_run){.argv = (const char *const *)argv->items, .stdout_fd = out}, err);
    if (!child)
        return -1;
    close(ib_steal_fd(&out));
    int r = watch_console(o, in, err);
    if (r <= 0)
        return r;
    if (ib_child_wait(ib_steal(&child), err) < 0) /* QEMU says why */
        return -1;
    return ib_failf(err, IB_E_CHILD, "the machine was switched off without showing '%s'",
                    o->wait_for);
}

static int run_interactive(const struct ib_strv *argv, struct ib_error **err)
{
    _cleanup_(ib_closep) int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    _cleanup_(ib_closep) int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    return ib_run(&(struct ib_run){.argv = (const char *const *)argv->items,
                                   .stdin_fd = in,
                                   .stdout_fd = out,
                                   .foreground = true},
                  err);
}

int ib_boot_run(const struct ib_boot_options *options, struct ib_error **err)
{
    _cleanup_(machine_clear) struct machine m = {0};
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};

    m.dir = ib_make_temp_dir(options->temp_dir, "boot", err);
    if (!m.dir || prepare_firmware(&m, err) < 0 || prepare_disk(options, &m, err) < 0)
        return ib_wrap(err, options->image, "boot");
    make_arguments(options, &m, &argv);
    int r = options->wait_for ? run_waiting(options, &argv, err) : run_interactive(&argv, err);
    return r < 0 ? ib_wrap(err, options->image, "boot") : 0;
}
