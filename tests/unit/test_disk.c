/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk is and what forbids writing to it: over recorded machines (tests/fixtures/disk-trees)
 * and over real loop devices, mounts and device-mapper devices. After every refusal of a real
 * device its bytes are those from before.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/subprocess.h"
#include "io/disk_roots.h"
#include "io/target.h"
#include "loop.h"

/* Recorded machines */

static char *trees;
static char *roots_of[3];

static void make_trees(void)
{
    trees = ib_make_temp_dir("/tmp", "ib-disks", NULL);
    const char *const argv[] = {IB_SOURCE_DIR "/tests/fixtures/disk-trees", trees, NULL};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s",
                 err ? ib_error_line(err, 0) : "");
}

static void remove_trees(void)
{
    for (int i = 0; i < 3; i++)
        free(roots_of[i]);
    ib_temp_dirp(&trees);
}

static struct ib_disk_roots machine(const char *name)
{
    static const char *const parts[] = {"sys", "proc", "dev"};

    for (int i = 0; i < 3; i++) {
        free(roots_of[i]);
        roots_of[i] = ib_asprintf("%s/%s/%s", trees, name, parts[i]);
    }
    return (struct ib_disk_roots){roots_of[0], roots_of[1], roots_of[2]};
}

static void look(const char *machine_name, const char *path, bool all, struct ib_disk *ret)
{
    struct ib_disk_roots roots = machine(machine_name);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_eq(ib_disk_look_at(&roots, path, all, false, ret, &err), 0, "%s: %s", path,
                 err ? ib_error_line(err, 0) : "");
}

struct expected {
    const char *machine, *path;
    const char *refusals[6]; /* all of them, in order */
    const char *cure;        /* its beginning */
    bool runs_system;
};

static void check(const struct expected *e)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};

    look(e->machine, e->path, false, &disk);
    _cleanup_(ib_freep) char *all = ib_strv_join(&disk.refusals, "\n");
    size_t count = 0;
    while (count < IB_ARRAY_SIZE(e->refusals) && e->refusals[count])
        count++;
    cr_assert_eq(disk.refusals.count, count, "%s %s: %s", e->machine, e->path, all);
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(disk.refusals.items[i], e->refusals[i]);
    cr_expect_eq(disk.runs_system, e->runs_system, "%s", e->path);
    cr_expect(e->cure ? ib_startswith(disk.cure, e->cure) : !disk.cure, "%s: %s", e->path,
              disk.cure);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    cr_expect_eq(ib_disk_check(&disk, &err), count ? -1 : 0);
    if (count) {
        cr_expect_eq(ib_error_code(err), IB_E_REFUSED);
        cr_expect_eq(ib_error_depth(err), count);
        cr_expect_str_eq(ib_error_hint(err), disk.cure);
    }
}

#define SYSTEM "this system runs from it: "

TestSuite(disk_trees, .init = make_trees, .fini = remove_trees);

Test(disk_trees, refuse_the_running_system)
{
    static const struct expected cases[] = {
        {"desktop",
         "/dev/nvme0n1",
         {SYSTEM "/dev/mapper/vg-root, which lies on /dev/nvme0n1p3, is mounted on '/'",
          SYSTEM "/dev/mapper/vg-home, which lies on /dev/nvme0n1p3, is mounted on '/home'",
          SYSTEM "/dev/nvme0n1p1 is mounted on '/boot/efi'",
          SYSTEM "/dev/nvme0n1p2 is mounted on '/boot'",
          "/dev/mapper/vg-swap, which lies on /dev/nvme0n1p3, is swap space in use"},
         "choose another disk",
         true},
        {"node",
         "/dev/vda",
         {SYSTEM "/dev/mapper/root, which lies on /dev/vda2, is mounted on '/'",
          SYSTEM "/dev/vda4 is mounted on '/var', '/home'"},
         "choose another disk",
         true},
        {"node", "/dev/vdb", {NULL}, NULL, false},
        {"live",
         "/dev/sda",
         {SYSTEM "/dev/loop0, which lies on /dev/sda1, is mounted on '/run/lower', '/'",
          "/dev/sda1 is mounted on '/run/medium'"},
         "choose another disk",
         true},
        {"live", "/dev/sdb", {NULL}, NULL, false},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

Test(disk_trees, refuse_what_is_in_use)
{
    static const struct expected cases[] = {
        {"desktop", "/dev/sda", {NULL}, NULL, false},
        {"desktop", "/dev/cciss/c0d0", {NULL}, NULL, false},
        {"desktop",
         "/dev/sdb",
         {"/dev/sdb is in use by the MD array /dev/md127"},
         "end what uses /dev/md127, then mdadm --stop /dev/md127",
         false},
        {"desktop",
         "/dev/sdc",
         {"/dev/sdc is in use by the MD array /dev/md127"},
         "end what uses /dev/md127, then mdadm --stop /dev/md127",
         false},
        {"desktop",
         "/dev/sdd",
         {"/dev/sdd1 is mounted on '/srv/pool one'"},
         "release it (umount '/srv/pool one')",
         false},
        {"desktop",
         "/dev/sde",
         {"/dev/sde is mounted on '/srv/pool one'"},
         "release it (umount '/srv/pool one')",
         false},
        {"desktop",
         "/dev/sdf",
         {"/dev/sdf is part of a mounted btrfs file system"},
         "unmount it",
         false},
        {"desktop",
         "/dev/sdg",
         {"/dev/loop0, which lies on /dev/sdg1, is mounted on '/mnt/loop'",
          "/dev/sdg1 is mounted on '/mnt/backup'",
          "/dev/sdg1 holds the swap file '/mnt/backup/swap file', which is in use"},
         "release it (umount '/mnt/loop', then losetup -d /dev/loop0)",
         false},
        {"desktop",
         "/dev/sdh",
         {"/dev/sdh is in use by the loop device /dev/loop1"},
         "end what uses /dev/loop1, then losetup -d /dev/loop1",
         false},
        {"desktop",
         "/dev/sdi",
         {"/dev/sdi is part of an active bcache set"},
         "detach and stop it",
         false},
        {"desktop",
         "/dev/sdj",
         {"/dev/sdj is in use by the multipath device /dev/mapper/mpatha"},
         "end what uses /dev/mapper/mpatha, then multipath -f mpatha",
         false},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

Test(disk_trees, refuse_what_cannot_be_written)
{
    static const struct expected cases[] = {
        {"desktop", "/dev/sdk", {"/dev/sdk is read-only"}, "look for its write-protect", false},
        {"desktop", "/dev/sdl", {"/dev/sdl holds no medium"}, "insert a medium", false},
        {"desktop",
         "/dev/sdm",
         {"/dev/sdm has blocks of 16384 bytes, more than an image can fit"},
         "choose another disk",
         false},
        {"desktop",
         "/dev/sdn",
         {"/dev/sdn can be written only zone by zone (host-managed)"},
         "choose another disk",
         false},
        {"desktop",
         "/dev/mmcblk0boot0",
         {"/dev/mmcblk0boot0 is the firmware's area of an eMMC, not a disk"},
         "choose another disk",
         false},
        {"desktop",
         "/dev/zram0",
         {"/dev/zram0 is a disk in memory, not a disk of this machine"},
         "say --all",
         false},
        {"desktop",
         "/dev/sr0",
         {"/dev/sr0 is an optical drive, not a disk of this machine"},
         "say --all",
         false},
        {"desktop",
         "/dev/mapper/mpatha",
         {"/dev/mapper/mpatha is a device-mapper device, not a disk of this machine"},
         "say --all",
         false},
        {"desktop",
         "/dev/sdg1",
         {"/dev/sdg1 is a partition, not a whole disk",
          "/dev/loop0, which lies on /dev/sdg1, is mounted on '/mnt/loop'",
          "/dev/sdg1 is mounted on '/mnt/backup'",
          "/dev/sdg1 holds the swap file '/mnt/backup/swap file', which is in use"},
         "name the disk: /dev/sdg",
         false},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++)
        check(&cases[i]);
}

Test(disk_trees, tell_what_a_disk_is)
{
    static const struct {
        const char *path, *model, *serial, *transport;
        bool removable, rotational;
    } cases[] = {
        {"/dev/nvme0n1", "Samsung SSD 980 PRO 1TB", "S5GXNX0R123456", "nvme", false, false},
        {"/dev/sda", "Ultra Fit", "4C531001", "usb", true, true},
        {"/dev/sdb", "WDC WD40EFRX-68N32N0", "WD-WCC7Kb", "sata", false, true},
        {"/dev/sdj", NULL, NULL, "fc", false, false},
        {"/dev/mmcblk0", "DG4064", "0x12345678", "mmc", false, false},
        {"/dev/mmcblk1", "SC32G", NULL, "mmc", true, false},
        {"/dev/cciss/c0d0", "Smart Array", NULL, NULL, false, false},
        {"/dev/sdo", "Evil?[2J??? Stick", NULL, "usb", true, false},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        _cleanup_(ib_disk_clear) struct ib_disk d = {0};
        look("desktop", cases[i].path, false, &d);
        cr_expect(ib_streq(d.model, cases[i].model), "%s: %s", cases[i].path, d.model);
        cr_expect(ib_streq(d.serial, cases[i].serial), "%s: %s", cases[i].path, d.serial);
        cr_expect(ib_streq(d.transport, cases[i].transport), "%s: %s", d.path, d.transport);
        cr_expect_eq(d.removable, cases[i].removable, "%s", cases[i].path);
        cr_expect_eq(d.rotational, cases[i].rotational, "%s", cases[i].path);
        cr_expect_eq(d.kind, IB_DISK_KIND_DISK);
        cr_expect_eq(d.logical_block, 512);
        cr_expect_eq(d.physical_block, 4096);
    }
    _cleanup_(ib_disk_clear) struct ib_disk d = {0};
    look("desktop", "/dev/disk/by-id/usb-SanDisk_Ultra_Fit_4C531001-0:0", false, &d);
    cr_expect_str_eq(d.path, "/dev/sda");
    cr_expect_eq(d.size_bytes, UINT64_C(60062500) * 512);
    cr_expect_eq(d.by_id.count, 1);
    cr_expect_eq(d.sequence, 1);
}

Test(disk_trees, list_disks)
{
    struct ib_disk_roots roots = machine("desktop");
    _cleanup_(ib_disks_clear) struct ib_disks disks = {0}, all = {0};

    cr_assert_eq(ib_disks_list_at(&roots, false, &disks, NULL), 0);
    cr_assert_eq(ib_disks_list_at(&roots, true, &all, NULL), 0);
    _cleanup_(ib_strv_clear) struct ib_strv names = {0}, others = {0};
    for (size_t i = 0; i < disks.count; i++)
        ib_strv_add(&names, disks.items[i].name);
    for (size_t i = 0; i < all.count; i++)
        if (!ib_strv_contains(&names, all.items[i].name))
            ib_strv_add(&others, all.items[i].name);
    _cleanup_(ib_freep) char *text = ib_strv_join(&names, " ");
    _cleanup_(ib_freep) char *more = ib_strv_join(&others, " ");
    cr_expect_str_eq(text,
                     "cciss!c0d0 mmcblk0 mmcblk0boot0 mmcblk1 nvme0n1 sda sdb sdc sdd sde sdf "
                     "sdg sdh sdi sdj sdk sdm sdn sdo");
    cr_expect_str_eq(more, "dm-0 dm-1 dm-2 dm-3 dm-4 loop0 loop1 md127 sr0 zram0");
}

/* What cannot be read is an error: a mount that is overlooked is a disk destroyed. */
Test(disk_trees, fail_where_the_mounts_are_not_known)
{
    struct ib_disk_roots roots = machine("node");
    _cleanup_(ib_freep) char *mountinfo = ib_path_join(roots.proc, "self/mountinfo");
    _cleanup_(ib_error_freep) struct ib_error *err = NULL, *gone = NULL;
    struct ib_disks disks = {0};

    cr_assert_eq(ib_write_file(mountinfo, 0600, "21 1 253:0 / /\n", 15, NULL), 0);
    cr_expect_lt(ib_disks_list_at(&roots, false, &disks, &err), 0);
    cr_expect_eq(ib_error_code(err), IB_E_INVALID);
    cr_assert_eq(unlink(mountinfo), 0);
    cr_expect_lt(ib_disks_list_at(&roots, false, &disks, &gone), 0);
}

/* Real devices */

#define SIZE (16 * IB_MIB)

static struct loop loop;

static void tear_down(void)
{
    loop_clear(&loop);
}

TestSuite(disk, .fini = tear_down);

static void run(const char *script, const char *argument)
{
    const char *const argv[] = {"sh", "-euc", script, "sh", argument, NULL};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    int result = ib_run(&(struct ib_run){.argv = argv}, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;

    cr_assert_eq(result, 0, "%s", text);
}

static bool has_programs(const char *names)
{
    _cleanup_(ib_strv_clear) struct ib_strv list = {0};

    ib_strv_split(&list, names, " ");
    for (size_t i = 0; i < list.count; i++) {
        _cleanup_(ib_freep) char *found = ib_find_program(list.items[i]);
        _cleanup_(ib_freep) char *sbin = ib_path_join("/usr/sbin", list.items[i]);
        if (!found && !ib_path_exists(sbin))
            return false;
    }
    return true;
}

static void need_loop(const char *programs, uint32_t flags)
{
    const char *skip = loop_new(&loop, SIZE, 0, 512, LO_FLAGS_PARTSCAN | flags);

    if (skip)
        cr_skip_test("%s", skip);
    if (!has_programs(programs))
        cr_skip_test("needs %s", programs);
}

/* Partition nodes are there already (devtmpfs) or made by hand, as in a container. */
static void make_partitions(const char *table)
{
    _cleanup_(ib_freep) char *script = ib_asprintf(
        "printf '%s' | PATH=$PATH:/sbin:/usr/sbin sfdisk -q --no-tell-kernel \"$1\"", table);

    run(script, loop.path);
    cr_assert(ioctl(loop.fd, BLKRRPART) == 0 || errno == EINVAL);
}

static void private_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        cr_skip_test("no mount namespace of its own: %s", strerror(errno));
}

/* The look refuses with these words, and so does the gate, and nothing is written. */
static void expect_refused(const char *words, bool runs_system)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    char before[65], after[65];

    loop_hash(&loop, before);
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, &err), 0);
    _cleanup_(ib_freep) char *all = ib_strv_join(&disk.refusals, "\n");
    cr_expect_not_null(strstr(all, words), "'%s' is not in: %s", words, all);
    cr_expect_not_null(disk.cure);
    cr_expect_eq(disk.runs_system, runs_system, "%s", all);
    /* also where the look was made before it came into use */
    ib_strv_clear(&disk.refusals);
    cr_assert_null(ib_target_open_disk(&disk, &err));
    cr_expect_eq(ib_error_code(err), IB_E_REFUSED);
    cr_expect_not_null(ib_error_hint(err));
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after, "bytes of the disk changed");
}

Test(disk, names_what_would_be_lost)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0}, empty = {0};

    need_loop("sfdisk mkfs.vfat mkfs.ext4", 0);
    cr_assert_eq(ib_disk_look(loop.path, true, &empty, NULL), 0);
    _cleanup_(ib_freep) char *nothing = ib_disk_loss(&empty);
    cr_expect_str_eq(nothing, "nothing known");

    make_partitions("label: gpt\\nsize=4M,type=uefi,name=esp\\nsize=6M,name=data\\nsize=1M\\n");
    run("PATH=$PATH:/sbin:/usr/sbin; d=$(mktemp -d); truncate -s 4M $d/esp; truncate -s 6M $d/ext\n"
        "mkfs.vfat -n BOOT $d/esp >/dev/null; mkfs.ext4 -q -L fedora $d/ext\n"
        "dd if=$d/esp of=$1 bs=1M seek=1 conv=notrunc status=none\n"
        "dd if=$d/ext of=$1 bs=1M seek=5 conv=notrunc,fsync status=none; rm -r $d",
        loop.path);
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, NULL), 0);
    cr_expect_str_eq(disk.table, "gpt");
    cr_assert_eq(disk.content_count, 3);
    cr_expect_eq(disk.contents[1].offset_bytes, 5 * IB_MIB);
    cr_expect_eq(disk.contents[1].size_bytes, 6 * IB_MIB);
    cr_expect_str_eq(disk.contents[1].part_label, "data");
    _cleanup_(ib_freep) char *device = ib_asprintf("%sp2", loop.path);
    cr_expect_str_eq(disk.contents[1].device, device);
    _cleanup_(ib_freep) char *loss = ib_disk_loss(&disk);
    cr_expect_str_eq(loss, "gpt table with 3 partitions: 1 'BOOT' (vfat), 2 'fedora' (ext4), 3 "
                           "(content not known)");
    cr_expect_eq(disk.refusals.count, 0);
}

Test(disk, is_not_stopped_by_a_damaged_table)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    unsigned char garbage[4096];

    need_loop("sfdisk", 0);
    make_partitions("label: gpt\\nsize=4M\\n");
    memset(garbage, 0xff, sizeof(garbage));
    cr_assert_eq(ib_pwrite_full(loop.fd, garbage, sizeof(garbage), 512), 0);
    cr_assert_eq(ib_pwrite_full(loop.fd, garbage, sizeof(garbage), SIZE - sizeof(garbage)), 0);
    cr_assert_eq(fsync(loop.fd), 0);
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, NULL), 0);
    cr_expect_eq(disk.refusals.count, 0);
    struct ib_target *target = ib_target_open_disk(&disk, NULL);
    cr_expect_not_null(target);
    ib_target_free(target);
}

Test(disk, refuses_a_read_only_one)
{
    need_loop("true", LO_FLAGS_READ_ONLY);
    expect_refused("is read-only", false);
}

Test(disk, refuses_a_partition)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    char before[65], after[65];

    need_loop("sfdisk", 0);
    make_partitions("label: gpt\\nsize=4M\\n");
    _cleanup_(ib_freep) char *partition = ib_asprintf("%sp1", loop.path);
    if (!ib_path_exists(partition))
        cr_skip_test("%s did not appear: no devtmpfs here", partition);
    loop_hash(&loop, before);
    cr_assert_eq(ib_disk_look(partition, true, &disk, NULL), 0);
    cr_expect_eq(disk.kind, IB_DISK_KIND_PARTITION);
    cr_assert_null(ib_target_open_disk(&disk, &err));
    cr_expect_eq(ib_error_code(err), IB_E_REFUSED);
    cr_expect_not_null(strstr(ib_error_line(err, 0), "is a partition, not a whole disk"));
    cr_expect_not_null(strstr(ib_error_hint(err), loop.path));
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after);
}

static void make_and_mount(const char *device, const char *point)
{
    cr_assert_eq(mkdir(point, 0700), 0);
    if (mount(device, point, "ext4", MS_RDONLY, NULL) < 0)
        cr_skip_test("cannot mount ext4 here: %s", strerror(errno));
}

Test(disk, refuses_a_mounted_one)
{
    need_loop("mkfs.ext4", 0);
    run("PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q $1", loop.path);
    private_mounts();
    _cleanup_(ib_freep) char *point = ib_path_join(loop.dir, "a b");
    make_and_mount(loop.path, point);
    _cleanup_(ib_freep) char *words = ib_asprintf("%s is mounted on '%s'", loop.path, point);
    expect_refused(words, false);
    cr_assert_eq(mount(point, "/opt", NULL, MS_BIND, NULL), 0);
    expect_refused("this system runs from it", true);
    umount2("/opt", MNT_DETACH);
    umount2(point, MNT_DETACH);
}

/* Mounted where we do not see it: in a container's namespace. The kernel's word counts. */
Test(disk, refuses_what_another_namespace_has_mounted)
{
    int ready[2], done[2];
    char byte = 0;

    need_loop("mkfs.ext4", 0);
    run("PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q $1", loop.path);
    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(done), 0);
    pid_t child = fork();
    if (child == 0) {
        _cleanup_(ib_freep) char *point = ib_path_join(loop.dir, "elsewhere");
        byte = unshare(CLONE_NEWNS) == 0 &&
               mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mkdir(point, 0700) == 0 &&
               mount(loop.path, point, "ext4", MS_RDONLY, NULL) == 0;
        close(done[1]);
        if (write(ready[1], &byte, 1) == 1 && read(done[0], &byte, 1) >= 0)
            umount2(point, MNT_DETACH);
        _exit(0);
    }
    close(done[0]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    if (byte)
        expect_refused("is in exclusive use by another program or by the kernel", false);
    close(done[1]);
    waitpid(child, NULL, 0);
    if (!byte)
        cr_skip_test("cannot mount ext4 here");
}

Test(disk, refuses_one_below_a_mapping)
{
    need_loop("dmsetup", 0);
    _cleanup_(ib_freep) char *name = ib_asprintf("ib-test-%d", (int)getpid());
    _cleanup_(ib_freep) char *script = ib_asprintf(
        "PATH=$PATH:/sbin:/usr/sbin; echo 0 1000 linear $1 0 | dmsetup create --noudevsync %s",
        name);
    const char *const argv[] = {"sh", "-euc", script, "sh", loop.path, NULL};
    if (ib_run(&(struct ib_run){.argv = argv}, NULL) < 0)
        cr_skip_test("no device-mapper here");
    _cleanup_(ib_freep) char *words = ib_asprintf("%s is in use by the device-mapper device "
                                                  "/dev/mapper/%s",
                                                  loop.path, name);
    expect_refused(words, false);
    _cleanup_(ib_freep) char *end =
        ib_asprintf("PATH=$PATH:/sbin:/usr/sbin; dmsetup remove --noudevsync %s", name);
    run(end, "");
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, NULL), 0);
    cr_expect_eq(disk.refusals.count, 0);
}

/* A loop device on a file of a file system on the device: three layers up. */
Test(disk, refuses_one_below_files_of_loop_devices)
{
    struct loop inner = {.fd = -1};

    need_loop("mkfs.ext4", 0);
    run("PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q $1", loop.path);
    private_mounts();
    _cleanup_(ib_freep) char *point = ib_path_join(loop.dir, "outer");
    cr_assert_eq(mkdir(point, 0700), 0);
    if (mount(loop.path, point, "ext4", 0, NULL) < 0)
        cr_skip_test("cannot mount ext4 here: %s", strerror(errno));
    _cleanup_(ib_freep) char *file = ib_path_join(point, "inner.raw");
    run("truncate -s 1M \"$1\"", file);
    const char *skip = loop_attach(&inner, file, 512, 0);
    if (skip)
        cr_skip_test("%s", skip);
    _cleanup_(ib_freep) char *words =
        ib_asprintf("holds '%s', which is in use by the loop device %s", file, inner.path);
    sync();
    expect_refused(words, false);
    close(inner.fd);
    umount2(point, MNT_DETACH);
}

Test(disk, refuses_the_disk_of_the_source)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0}, other = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    need_loop("mkfs.ext4", 0);
    run("PATH=$PATH:/sbin:/usr/sbin; mkfs.ext4 -q $1", loop.path);
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, NULL), 0);
    cr_expect_eq(disk.refusals.count, 0);
    /* itself, as a device */
    cr_assert_eq(ib_disk_refuse_if_holds(&disk, loop.fd, loop.path, NULL), 0);
    cr_assert_eq(disk.refusals.count, 1);
    cr_expect_null(ib_target_open_disk(&disk, &err));
    cr_expect_eq(ib_error_code(err), IB_E_REFUSED);
    /* a file on it; the mount is covered, so that its path says nothing */
    private_mounts();
    _cleanup_(ib_freep) char *point = ib_path_join(loop.dir, "source");
    cr_assert_eq(mkdir(point, 0700), 0);
    if (mount(loop.path, point, "ext4", 0, NULL) < 0)
        cr_skip_test("cannot mount ext4 here: %s", strerror(errno));
    _cleanup_(ib_freep) char *image = ib_path_join(point, "image.zst");
    cr_assert_eq(ib_write_file(image, 0600, "abc", 3, NULL), 0);
    int fd = open(image, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(mount("tmpfs", point, "tmpfs", 0, NULL), 0);
    cr_assert_eq(ib_disk_look(loop.path, true, &other, NULL), 0);
    size_t count = other.refusals.count;
    cr_assert_eq(ib_disk_refuse_if_holds(&other, fd, "image.zst", NULL), 0);
    cr_assert_eq(other.refusals.count, count + 1);
    cr_expect_str_eq(other.refusals.items[count],
                     "it holds 'image.zst', which is what would be written");
    /* and one that is elsewhere */
    int elsewhere = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(ib_disk_refuse_if_holds(&other, elsewhere, "us", NULL), 0);
    cr_expect_eq(other.refusals.count, count + 1);
    close(elsewhere);
    close(fd);
    umount2(point, MNT_DETACH);
    umount2(point, MNT_DETACH);
}

Test(disk, says_what_is_no_disk)
{
    static const struct {
        const char *path;
        enum ib_error_code code;
    } cases[] = {
        {"/dev/ib-no-such-disk", IB_E_NOT_FOUND},
        {"/dev/null", IB_E_USAGE},
        {"/", IB_E_USAGE},
        {"/proc/version", IB_E_USAGE},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        cr_expect_lt(ib_disk_look(cases[i].path, true, &disk, &err), 0, "%s", cases[i].path);
        cr_expect_eq(ib_error_code(err), cases[i].code, "%s", ib_error_line(err, 0));
        cr_expect_not_null(ib_error_hint(err));
    }
    cr_expect_not(ib_path_exists("/dev/ib-no-such-disk"));
}
