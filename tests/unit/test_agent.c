/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's decisions: command line, disks, lists, exit statuses. Mounts are in test_sysroot.c.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cmdline.h"
#include "agent/copy.h"
#include "agent/disk.h"
#include "agent/failed.h"
#include "agent/machine.h"
#include "agent/persist.h"
#include "base/file.h"

#define HASH "4523265d8b5528c4689b7b5b10d4bf192355e50e66a73eca97079b12411a7496"

static char *dir;

static void set_up(void)
{
    dir = ib_make_temp_dir("/tmp", "test-agent", NULL);
    cr_assert_not_null(dir);
}

static void tear_down(void)
{
    ib_temp_dirp(&dir);
    dir = NULL;
}

/* Writes DIR/path, with its parents. */
static char *put(const char *path, const char *content)
{
    char *full = ib_path_join(dir, path);
    _cleanup_(ib_freep) char *parent = ib_path_dir(full);
    _cleanup_(ib_closep) int fd = -1;

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && ib_write_full(fd, content, strlen(content)) == 0);
    return full;
}

static void put_link(const char *path, const char *target)
{
    _cleanup_(ib_freep) char *full = ib_path_join(dir, path);
    _cleanup_(ib_freep) char *parent = ib_path_dir(full);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(symlink(target, full), 0);
}

Test(cmdline, the_last_value_of_a_key_counts)
{
    char *v = ib_cmdline_value("quiet roothash=a ro roothash=b\n", "roothash");

    cr_assert_str_eq(v, "b");
    free(v);
    cr_assert_null(ib_cmdline_value("xroothash=a roothash", "roothash"));
    cr_assert(ib_cmdline_has("quiet imgbuild.shell\n", "imgbuild.shell"));
    cr_assert_not(ib_cmdline_has("imgbuild.shellx ximgbuild.shell", "imgbuild.shell"));
}

Test(cmdline, a_root_hash_names_two_partitions)
{
    char data[37], hash[37];

    cr_assert(ib_cmdline_root_uuids(HASH, data, hash));
    cr_assert_str_eq(data, "4523265d-8b55-28c4-689b-7b5b10d4bf19");
    cr_assert_str_eq(hash, "2355e50e-66a7-3eca-9707-9b12411a7496");
    cr_assert_not(ib_cmdline_root_uuids("", data, hash));
    cr_assert_not(ib_cmdline_root_uuids(HASH "0", data, hash));
    cr_assert_not(ib_cmdline_root_uuids("Z" HASH, data, hash));
}

Test(machine, ids_are_as_machine_id_5_says)
{
    cr_assert(ib_machine_id_valid("0123456789abcdef0123456789abcdef\n"));
    cr_assert(ib_machine_id_valid("0123456789abcdef0123456789abcdef"));
    cr_assert_not(ib_machine_id_valid(""));
    cr_assert_not(ib_machine_id_valid("uninitialized\n"));
    cr_assert_not(ib_machine_id_valid("00000000000000000000000000000000\n"));
    cr_assert_not(ib_machine_id_valid("0123456789abcdef0123456789abcde\n"));
    cr_assert_not(ib_machine_id_valid("0123456789abcdef0123456789abcdef0"));
    cr_assert_not(ib_machine_id_valid("0123456789ABCDEF0123456789ABCDEF"));
    cr_assert_not(ib_machine_id_valid("0123456789abcdef0123456789abcdef\n\n"));
}

Test(fsck, statuses_are_as_e2fsck_8_says)
{
    cr_assert_eq(ib_fsck_verdict(0), IB_FSCK_OK);
    cr_assert_eq(ib_fsck_verdict(1), IB_FSCK_OK);
    cr_assert_eq(ib_fsck_verdict(2), IB_FSCK_REBOOT);
    cr_assert_eq(ib_fsck_verdict(3), IB_FSCK_REBOOT);
    cr_assert_eq(ib_fsck_verdict(4), IB_FSCK_FAILED);
    cr_assert_eq(ib_fsck_verdict(6), IB_FSCK_FAILED);
    cr_assert_eq(ib_fsck_verdict(8), IB_FSCK_FAILED);
}

Test(persist, lists_are_sorted_out)
{
    struct ib_persist p;
    struct ib_error *err = NULL;

    cr_assert_eq(
        ib_persist_parse("# comment\n\n/etc/rancher/node/\n/etc/rancher/\n//etc/./adjtime\n"
                         "/etc/machine-id\n/etc/ssh/ssh_host_ed25519_key.pub\n"
                         "/var/lib/x/\n/root/.config/\n/usr/lib/state/\n/etc/adjtime\n",
                         &p, &err),
        0);
    cr_assert_eq(p.directories.count, 3);
    cr_assert_str_eq(p.directories.items[0], "etc/rancher"); /* before what lies inside it */
    cr_assert_str_eq(p.directories.items[1], "etc/rancher/node");
    cr_assert_str_eq(p.directories.items[2], "usr/lib/state");
    cr_assert_eq(p.files.count, 1);
    cr_assert_str_eq(p.files.items[0], "etc/adjtime");
    ib_persist_clear(&p);
}

Test(persist, bad_entries_are_refused_by_name)
{
    static const char *const bad[] = {"etc/x",   "/",      "/etc/../usr/", "/run/x/",
                                      "/proc/x", "/usr/x", "/etc",         "x"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(bad); i++) {
        struct ib_persist p;
        struct ib_error *err = NULL;
        cr_assert_eq(ib_persist_parse(bad[i], &p, &err), -1, "%s", bad[i]);
        _cleanup_(ib_freep) char *text = ib_error_text(err);
        cr_assert_not_null(strstr(text, bad[i]), "%s", text);
        cr_assert_not_null(ib_error_hint(err));
        ib_error_free(err);
    }
}

Test(persist, units_watch_each_file, .init = set_up, .fini = tear_down)
{
    struct ib_persist p;
    struct ib_buf text = {0};

    cr_assert_eq(ib_persist_parse("/etc/rancher/node/\n", &p, NULL), 0);
    cr_assert_eq(ib_persist_write_units(&p, dir, NULL), 0);
    _cleanup_(ib_freep) char *unit = ib_path_join(dir, "imgbuild-persist.path");
    cr_assert_not(ib_path_exists(unit)); /* a path unit that watches nothing does not load */
    ib_persist_clear(&p);

    cr_assert_eq(ib_persist_parse("/etc/adjtime\n/etc/a b%c\n", &p, NULL), 0);
    for (int i = 0; i < 2; i++) /* again is fine */
        cr_assert_eq(ib_persist_write_units(&p, dir, NULL), 0);
    cr_assert_eq(ib_read_file(unit, 4096, &text, NULL), 0);
    cr_assert_not_null(
        strstr((char *)text.data, "\nPathChanged=/etc/a b%%c\nPathChanged=/etc/adj"));
    _cleanup_(ib_freep) char *wants =
        ib_path_join(dir, "basic.target.wants/imgbuild-persist-shutdown.service");
    cr_assert_eq(access(wants, R_OK), 0);
    ib_buf_clear(&text);
    ib_persist_clear(&p);
}

Test(persist, changed_files_are_kept_and_removed_ones_forgotten, .init = set_up, .fini = tear_down)
{
    struct ib_persist p;
    struct ib_buf text = {0};
    struct ib_error *err = NULL;
    char *etc = put("etc/iscsi/name", "one");
    char *kept = ib_asprintf("%s" IB_PERSIST_DIR "/etc/iscsi/name", dir);
    struct stat st;

    cr_assert_eq(ib_persist_parse("/etc/iscsi/name\n/etc/link\n/etc/none\n", &p, NULL), 0);
    cr_assert_eq(chmod(etc, 0600), 0);
    cr_assert_eq(ib_persist_save(&p, dir, NULL), 0);
    cr_assert(stat(kept, &st) == 0 && (st.st_mode & 07777) == 0600);
    ino_t first = st.st_ino;

    cr_assert_eq(ib_persist_save(&p, dir, NULL), 0);
    cr_assert(stat(kept, &st) == 0 && st.st_ino == first, "an unchanged file was written again");

    free(put("etc/iscsi/name", "two"));
    put_link("etc/link", "iscsi/name");
    cr_assert_eq(ib_persist_save(&p, dir, &err), -1); /* the link is named, the file kept */
    cr_assert_not_null(strstr(ib_error_line(err, 1), "'/etc/link'"));
    ib_error_free(err);
    cr_assert_eq(ib_read_file(kept, 16, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, "two");

    /* the next boot starts with the image's /etc, and gets the kept file */
    cr_assert_eq(unlink(etc), 0);
    cr_assert_eq(ib_persist_restore(&p, dir, NULL), 0);
    cr_assert_eq(ib_read_file(etc, 16, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, "two");
    cr_assert(stat(etc, &st) == 0 && (st.st_mode & 07777) == 0600);

    _cleanup_(ib_freep) char *link = ib_path_join(dir, "etc/link");
    cr_assert_eq(unlink(etc), 0);
    cr_assert_eq(unlink(link), 0);
    cr_assert_eq(ib_persist_save(&p, dir, NULL), 0);
    cr_assert_not(ib_path_exists(kept));
    ib_buf_clear(&text);
    ib_persist_clear(&p);
    free(etc);
    free(kept);
}

Test(machine, an_id_is_kept_and_a_broken_one_replaced, .init = set_up, .fini = tear_down)
{
    char *initrd = put("initrd", "0123456789abcdef0123456789abcdef\n");
    char *target = put("etc/machine-id", "");
    char *kept = ib_asprintf("%s" IB_PERSIST_DIR "/etc/machine-id", dir);
    struct ib_buf text = {0};
    struct stat st;

    cr_assert_eq(ib_machine_id_restore(dir, initrd, NULL), 0);
    cr_assert_eq(ib_read_file(target, 64, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, "0123456789abcdef0123456789abcdef\n");
    cr_assert(stat(target, &st) == 0 && (st.st_mode & 07777) == 0444);

    free(put("initrd", "ffffffffffffffffffffffffffffffff\n")); /* the next boot's is another */
    cr_assert_eq(ib_machine_id_restore(dir, initrd, NULL), 0);
    cr_assert_eq(ib_read_file(target, 64, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, "0123456789abcdef0123456789abcdef\n");

    cr_assert_eq(unlink(kept), 0); /* a torn write, and an initrd without one: random */
    free(put("var/lib/imgbuild/persist/etc/machine-id", "0123"));
    free(put("initrd", "uninitialized\n"));
    cr_assert_eq(ib_machine_id_restore(dir, initrd, NULL), 0);
    cr_assert_eq(ib_read_file(kept, 64, &text, NULL), 0);
    cr_assert(ib_machine_id_valid((char *)text.data));
    ib_buf_clear(&text);
    free(initrd);
    free(target);
    free(kept);
}

/* sysfs of a machine with two disks, the first of which holds root and its hashes. */
static void make_sysfs(const char *hash_disk)
{
    free(put("sys/devices/pci/nvme0n1/nvme0n1p2/partition", "2\n"));
    free(put("sys/devices/pci/nvme0n1/nvme0n1p3/partition", "3\n"));
    free(put("sys/devices/pci/nvme0n1/queue/depth", "1\n"));
    free(put("sys/devices/pci/nvme0n1/size", "16777216\n"));
    free(put("sys/devices/pci/nvme0n1/device/model", "QEMU NVMe Ctrl   \n"));
    free(put("sys/devices/pci/sda/sda3/partition", "3\n"));
    free(put("sys/devices/pci/sda/size", "2097152\n"));
    put_link("sys/block/nvme0n1", "../devices/pci/nvme0n1");
    put_link("sys/block/sda", "../devices/pci/sda");
    free(put("sys/block/dm-0/size", "1\n"));
    put_link("sys/class/block/dm-0/slaves/nvme0n1p2", "../../../../devices/pci/nvme0n1/nvme0n1p2");
    _cleanup_(ib_freep) char *link = ib_asprintf("sys/class/block/dm-0/slaves/%sp3", hash_disk);
    _cleanup_(ib_freep) char *target =
        ib_asprintf("../../../../devices/pci/%s/%s", hash_disk,
                    ib_streq(hash_disk, "sda") ? "sda3" : "nvme0n1p3");
    put_link(link, target);
    free(put("dev/dm-0", ""));
    put_link("dev/mapper/root", "../dm-0");
}

Test(disk, is_found_from_the_root, .init = set_up, .fini = tear_down)
{
    _cleanup_(ib_freep) char *mapping = ib_path_join(dir, "dev/mapper/root");
    _cleanup_(ib_freep) char *sysfs = ib_path_join(dir, "sys");
    struct ib_disk disk = {0};
    struct ib_strv partitions = {0};

    make_sysfs("nvme0n1");
    cr_assert_eq(ib_disk_find(mapping, sysfs, &disk, NULL), 0);
    cr_assert_str_eq(disk.path, "/dev/nvme0n1");
    cr_assert_eq(ib_disk_partitions(&disk, &partitions, NULL), 0);
    cr_assert_eq(partitions.count, 2);
    cr_assert_str_eq(partitions.items[1], "/dev/nvme0n1p3");
    ib_strv_clear(&partitions);
    ib_disk_clear(&disk);
}

Test(disk, a_root_on_two_disks_is_refused, .init = set_up, .fini = tear_down)
{
    _cleanup_(ib_freep) char *mapping = ib_path_join(dir, "dev/mapper/root");
    _cleanup_(ib_freep) char *sysfs = ib_path_join(dir, "sys");
    struct ib_disk disk = {0};
    struct ib_error *err = NULL;

    make_sysfs("sda");
    cr_assert_eq(ib_disk_find(mapping, sysfs, &disk, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0),
                     "root and its hashes lie on two disks, nvme0n1 and sda");
    ib_error_free(err);
}

static char *explain(const char *cmdline)
{
    _cleanup_(ib_freep) char *dev = ib_path_join(dir, "dev");
    _cleanup_(ib_freep) char *sysfs = ib_path_join(dir, "sys");
    struct ib_buf text = {0};

    ib_failed_explain_root(&(struct ib_failed){.cmdline = cmdline, .dev = dev, .sysfs = sysfs},
                           &text);
    return ib_buf_steal_string(&text);
}

Test(failed, says_what_is_missing, .init = set_up, .fini = tear_down)
{
    char *text = explain("ro quiet");
    cr_assert_not_null(strstr(text, "no valid roothash="));
    free(text);

    text = explain("roothash=" HASH);
    cr_assert_not_null(strstr(text, "no partition with the UUID "
                                    "4523265d-8b55-28c4-689b-7b5b10d4bf19 (the first half"));
    cr_assert_not_null(strstr(text, "no disk was found at all"));
    free(text);

    make_sysfs("nvme0n1");
    free(put("dev/disk/by-partuuid/4523265d-8b55-28c4-689b-7b5b10d4bf19", ""));
    text = explain("roothash=" HASH);
    cr_assert_not_null(strstr(text, "2355e50e-66a7-3eca-9707-9b12411a7496 (the second half"));
    cr_assert_not_null(strstr(text, "    nvme0n1  8.0 GiB  QEMU NVMe Ctrl\n    sda  1.0 GiB  \n"));
    cr_assert_null(strstr(text, "dm-0"));
    free(text);

    free(put("dev/disk/by-partuuid/2355e50e-66a7-3eca-9707-9b12411a7496", ""));
    text = explain("roothash=" HASH);
    cr_assert_str_eq(text, ""); /* the root was opened */
    free(text);

    _cleanup_(ib_freep) char *mapping = ib_path_join(dir, "dev/mapper/root");
    cr_assert_eq(unlink(mapping), 0);
    text = explain("roothash=" HASH);
    cr_assert_not_null(strstr(text, "does not have the hash " HASH));
    free(text);
}

Test(copy, trees_keep_modes_times_and_links, .init = set_up, .fini = tear_down)
{
    char *file = put("from/sub/file", "content");
    _cleanup_(ib_freep) char *from = ib_path_join(dir, "from");
    _cleanup_(ib_freep) char *to = ib_path_join(dir, "to");
    _cleanup_(ib_freep) char *copy = ib_path_join(dir, "to/sub/file");
    _cleanup_(ib_freep) char *leftover = put(".new-to/torn", "x");
    const struct timespec times[2] = {{1, 2}, {3, 4}};
    struct stat st;

    put_link("from/link", "/nowhere");
    cr_assert_eq(chmod(from, 0700), 0);
    cr_assert_eq(chmod(file, 04750), 0);
    cr_assert_eq(utimensat(AT_FDCWD, file, times, 0), 0);
    cr_assert_eq(ib_copy_tree_atomic(from, to, NULL), 0);
    cr_assert(stat(copy, &st) == 0 && (st.st_mode & 07777) == 04750);
    cr_assert(st.st_mtim.tv_sec == 3 && st.st_mtim.tv_nsec == 4);
    cr_assert(stat(to, &st) == 0 && (st.st_mode & 07777) == 0700);
    _cleanup_(ib_freep) char *link = ib_path_join(dir, "to/link");
    cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    cr_assert_not(ib_path_exists(leftover));
    _cleanup_(ib_freep) char *torn = ib_path_join(dir, "to/torn");
    cr_assert_not(ib_path_exists(torn));
    free(file);
}
