/* SPDX-License-Identifier: Apache-2.0 */
/* The gate, on real loop devices and files: what it opens, what it writes, and what it never does.
 */
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "io/disk_roots.h"
#include "io/target.h"
#include "loop.h"

#define SIZE (8 * IB_MIB)

static struct loop loop;
static struct ib_disk disk;

static void open_loop(uint32_t block_size, uint32_t flags)
{
    const char *skip = loop_new(&loop, SIZE, 0xa5, block_size, flags);
    struct ib_error *err = NULL;

    if (skip)
        cr_skip_test("%s", skip);
    cr_assert_eq(ib_disk_look(loop.path, true, &disk, &err), 0);
}

static void tear_down(void)
{
    ib_disk_clear(&disk);
    loop_clear(&loop);
}

static struct ib_target *open_target(void)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    struct ib_target *target = ib_target_open_disk(&disk, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;

    cr_assert_not_null(target, "%s", text);
    return target;
}

static void *aligned(size_t size, int fill)
{
    void *data = aligned_alloc(4096, size);

    memset(data, fill, size);
    return data;
}

TestSuite(target, .fini = tear_down);

Test(target, writes_reads_and_syncs_a_disk)
{
    open_loop(512, 0);
    struct ib_target *target = open_target();
    unsigned char *data = aligned(IB_MIB, 0x11), *back = aligned(IB_MIB, 0);

    cr_expect(ib_target_is_disk(target));
    cr_expect_eq(ib_target_size(target), SIZE);
    cr_expect_str_eq(ib_target_name(target), loop.path);
    cr_expect_geq(ib_target_block(target), 512);
    cr_expect_leq(ib_target_block(target), 4096);
    cr_expect(ib_target_is_direct(target), "a loop device takes direct I/O");
    cr_assert_eq(ib_target_write(target, data, IB_MIB, IB_MIB), 0);
    cr_assert_eq(ib_target_write(target, data + 1, 700, SIZE - 700), 0, "an odd end");
    cr_assert_eq(ib_target_read(target, back, IB_MIB, IB_MIB), 0);
    cr_expect_arr_eq(data, back, IB_MIB);
    cr_assert_eq(ib_target_read(target, back, 700, SIZE - 700), 0);
    cr_expect_arr_eq(data, back, 700);
    cr_expect_eq(ib_target_sync(target, NULL), 0);
    cr_expect_eq(ib_target_reread_table(target, NULL), 0);
    ib_target_free(target);

    _cleanup_(ib_buf_clear) struct ib_buf file = {0};
    cr_assert_eq(ib_read_file(loop.file, IB_GIB, &file, NULL), 0);
    for (size_t i = 0; i < SIZE; i++) {
        bool ours = (i >= IB_MIB && i < 2 * IB_MIB) || i >= SIZE - 700;
        cr_assert_eq(file.data[i], ours ? 0x11 : 0xa5, "byte %zu", i);
    }
    free(data);
    free(back);
}

Test(target, opening_writes_nothing)
{
    char before[65], after[65];

    open_loop(512, 0);
    loop_hash(&loop, before);
    ib_target_free(open_target());
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after);
}

Test(target, zeroes_exactly_the_range)
{
    uint64_t written = 0;

    open_loop(512, 0);
    struct ib_target *target = open_target();
    cr_expect(ib_target_zeroes_cheaply(target));
    cr_assert_eq(ib_target_zero(target, 512, 3 * IB_MIB, NULL, &written, NULL), 0);
    cr_expect_eq(written, 0);
    cr_expect_eq(ib_target_sync(target, NULL), 0);
    ib_target_free(target);

    _cleanup_(ib_buf_clear) struct ib_buf file = {0};
    cr_assert_eq(ib_read_file(loop.file, IB_GIB, &file, NULL), 0);
    for (size_t i = 0; i < SIZE; i++)
        cr_assert_eq(file.data[i], i >= 512 && i < 512 + 3 * IB_MIB ? 0 : 0xa5, "byte %zu", i);
}

Test(target, touches_nothing_outside)
{
    unsigned char data[512] = {0};
    char before[65], after[65];

    open_loop(512, 0);
    loop_hash(&loop, before);
    struct ib_target *target = open_target();
    cr_expect_lt(ib_target_write(target, data, 512, SIZE), 0);
    cr_expect_eq(errno, ERANGE);
    cr_expect_lt(ib_target_write(target, data, 512, SIZE - 511), 0);
    cr_expect_lt(ib_target_write(target, data, 512, UINT64_MAX - 100), 0);
    cr_expect_lt(ib_target_read(target, data, 512, SIZE), 0);
    cr_expect_lt(ib_target_zero(target, SIZE, 512, NULL, NULL, NULL), 0);
    cr_expect_lt(ib_target_zero(target, 0, SIZE + 512, NULL, NULL, NULL), 0);
    cr_expect_lt(ib_target_zero(target, 100, 512, NULL, NULL, NULL), 0);
    ib_target_free(target);
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after);
}

Test(target, stops_zeroing_when_asked)
{
    volatile sig_atomic_t cancel = 1;
    _cleanup_(ib_progress_freep) struct ib_progress *progress =
        ib_progress_new(NULL, NULL, &cancel);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    char before[65], after[65];

    open_loop(512, 0);
    loop_hash(&loop, before);
    struct ib_target *target = open_target();
    cr_expect_lt(ib_target_zero(target, 0, SIZE, progress, NULL, &err), 0);
    cr_expect_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_target_free(target);
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after);
}

Test(target, knows_large_blocks)
{
    open_loop(4096, 0);
    cr_expect_eq(disk.logical_block, 4096);
    struct ib_target *target = open_target();
    cr_expect_eq(ib_target_logical_block(target), 4096);
    cr_expect_eq(ib_target_block(target), 4096);
    unsigned char *data = aligned(8192, 0x77);
    cr_expect_eq(ib_target_write(target, data, 8192, 4096), 0);
    cr_expect_eq(ib_target_write(target, data, 512, 512), 0, "through the cache");
    cr_expect_eq(ib_target_sync(target, NULL), 0);
    free(data);
    ib_target_free(target);
}

/* Each case changes one thing between the look and the opening. */
static void expect_refused(enum ib_error_code code, const char *words)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    char before[65], after[65];

    loop_hash(&loop, before);
    cr_assert_null(ib_target_open_disk(&disk, &err));
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_expect_eq(ib_error_code(err), code, "%s", text);
    cr_expect_not_null(strstr(text, words), "%s", text);
    cr_expect_not_null(ib_error_hint(err), "%s", text);
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after, "bytes of the disk changed");
}

Test(target, refuses_another_medium)
{
    open_loop(512, 0);
    disk.sequence++;
    expect_refused(IB_E_REFUSED, "the medium was changed");
}

Test(target, refuses_another_size)
{
    open_loop(512, 0);
    disk.size_bytes += 512;
    expect_refused(IB_E_REFUSED, "its size changed");
}

Test(target, refuses_another_model)
{
    open_loop(512, 0);
    disk.model = ib_strdup("Samsung SSD 980 PRO");
    expect_refused(IB_E_REFUSED, "its model is another");
}

Test(target, refuses_another_serial)
{
    open_loop(512, 0);
    disk.serial = ib_strdup("S5GXNX0R123456");
    expect_refused(IB_E_REFUSED, "its serial number is another");
}

Test(target, refuses_another_number)
{
    open_loop(512, 0);
    disk.devno++;
    expect_refused(IB_E_REFUSED, "its device number changed");
}

Test(target, refuses_what_was_refused_when_shown)
{
    open_loop(512, 0);
    int fd = open(loop.file, O_RDONLY | O_CLOEXEC);
    ib_strv_add(&disk.refusals, "it holds 'image.zst'");
    disk.cure = ib_strdup("copy it away");
    expect_refused(IB_E_REFUSED, "it holds 'image.zst'");
    close(fd);
}

Test(target, refuses_a_loop_device_that_was_not_asked_for)
{
    open_loop(512, 0);
    disk.all = false;
    expect_refused(IB_E_REFUSED, "not a disk of this machine");
}

/* The name stays, the device behind it is a new one: what an unplugged and replaced stick does. */
Test(target, refuses_a_replaced_medium)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    struct loop_config config = {.info.lo_flags = LO_FLAGS_AUTOCLEAR};
    char before[65], after[65];

    open_loop(512, 0);
    loop_hash(&loop, before);
    cr_assert_eq(ioctl(loop.fd, LOOP_CLR_FD), 0);
    close(loop.fd); /* the last one detaches it */
    loop.fd = -1;
    for (int tries = 0; tries < 50 && loop.fd < 0; tries++) {
        int file = open(loop.file, O_RDWR | O_CLOEXEC);
        loop.fd = open(loop.path, O_RDWR | O_CLOEXEC);
        config.fd = (uint32_t)file;
        if (ioctl(loop.fd, LOOP_CONFIGURE, &config) < 0) {
            close(loop.fd);
            loop.fd = -1;
            usleep(20000);
        }
        close(file);
    }
    if (loop.fd < 0)
        cr_skip_test("the loop device was taken by somebody else");
    cr_assert_null(ib_target_open_disk(&disk, &err));
    cr_expect_eq(ib_error_code(err), IB_E_REFUSED);
    cr_expect_not_null(strstr(ib_error_line(err, 0), "the medium was changed"));
    loop_hash(&loop, after);
    cr_expect_str_eq(before, after);
}

Test(target, refuses_a_disk_that_is_gone)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    open_loop(512, 0);
    free(disk.path);
    disk.path = ib_strdup("/dev/ib-no-such-disk");
    cr_assert_null(ib_target_open_disk(&disk, &err));
    cr_expect_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_expect_not(ib_path_exists(disk.path), "a file was made below /dev");
}

Test(target, refuses_what_others_hold_exclusively)
{
    open_loop(512, 0);
    int holder = open(loop.path, O_RDONLY | O_EXCL | O_CLOEXEC);
    cr_assert_geq(holder, 0);
    expect_refused(IB_E_REFUSED, "in exclusive use");
    close(holder);
}

/* As QEMU does with the disks of its machines, which it does not open exclusively. */
Test(target, refuses_what_a_virtual_machine_uses)
{
    struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 1};

    open_loop(512, 0);
    int machine = open(loop.path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(fcntl(machine, F_OFD_SETLK, &range), 0);
    expect_refused(IB_E_REFUSED, "is locked by another program");
    close(machine);
    ib_target_free(open_target());
}

Test(target, keeps_others_away)
{
    open_loop(512, 0);
    struct ib_target *target = open_target();
    cr_expect_lt(open(loop.path, O_RDWR | O_EXCL | O_CLOEXEC), 0);
    cr_expect_eq(errno, EBUSY);
    int other = open(loop.path, O_RDONLY | O_CLOEXEC);
    cr_expect_lt(flock(other, LOCK_SH | LOCK_NB), 0, "udev would probe it");
    close(other);
    ib_target_free(target);
    ib_target_free(open_target());
}

/* Files */

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-target", NULL);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(target_file, .init = make_dir, .fini = remove_dir);

static void expect_no_file(const char *path, bool existing, enum ib_error_code code)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_null(ib_target_open_file(path, IB_MIB, existing, &err));
    cr_expect_eq(ib_error_code(err), code, "%s: %s", path, ib_error_line(err, 0));
}

Test(target_file, makes_a_sparse_file_of_the_size)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "disk.raw");
    struct ib_target *target = ib_target_open_file(path, 5 * IB_MIB + 512, false, NULL);
    unsigned char *data = aligned(IB_MIB, 0x42), *back = aligned(IB_MIB, 0);
    uint64_t written = 0;
    struct stat st;

    cr_assert_not_null(target);
    cr_expect_not(ib_target_is_disk(target));
    cr_expect_not(ib_target_is_removable(target));
    cr_expect_eq(ib_target_size(target), 5 * IB_MIB + 512);
    cr_assert_eq(ib_target_write(target, data, IB_MIB, 2 * IB_MIB), 0);
    cr_assert_eq(ib_target_write(target, data, 512, 5 * IB_MIB), 0);
    cr_assert_eq(ib_target_zero(target, 2 * IB_MIB, IB_MIB / 2, NULL, &written, NULL), 0);
    cr_assert_eq(ib_target_zero(target, 5 * IB_MIB, 512, NULL, &written, NULL), 0);
    cr_assert_eq(ib_target_read(target, back, IB_MIB, 2 * IB_MIB), 0);
    for (size_t i = 0; i < IB_MIB; i++)
        cr_assert_eq(back[i], i < IB_MIB / 2 ? 0 : 0x42);
    cr_expect_eq(ib_target_sync(target, NULL), 0);
    cr_expect_eq(ib_target_reread_table(target, NULL), 0);
    ib_target_free(target);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, (off_t)(5 * IB_MIB + 512));
    cr_expect_leq((uint64_t)st.st_blocks * 512, 2 * IB_MIB);
    free(data);
    free(back);
}

Test(target_file, says_that_the_file_system_is_full)
{
    _cleanup_(ib_freep) char *mount_point = ib_path_join(dir, "tmpfs");

    cr_assert_eq(mkdir(mount_point, 0700), 0);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", mount_point, "tmpfs", 0, "size=4m") < 0)
        cr_skip_test("needs root, for a mount of its own");
    _cleanup_(ib_freep) char *file = ib_path_join(mount_point, "disk.raw");
    struct ib_target *target = ib_target_open_file(file, 8 * IB_MIB, false, NULL);
    unsigned char *data = aligned(IB_MIB, 0x42);
    cr_assert_not_null(target);
    int result = 0;
    for (int i = 0; i < 8 && result == 0; i++)
        result = ib_target_write(target, data, IB_MIB, (uint64_t)i * IB_MIB);
    cr_expect_lt(result, 0, "8 MiB do not fit in 4");
    cr_expect_eq(errno, ENOSPC);
    free(data);
    ib_target_free(target);
    cr_expect_eq(umount2(mount_point, MNT_DETACH), 0);
}

Test(target_file, takes_an_existing_file_and_enlarges_it)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "disk.raw");
    _cleanup_(ib_freep) char *link = ib_path_join(dir, "link");

    cr_assert_eq(ib_write_file(path, 0600, "abc", 3, NULL), 0);
    cr_assert_eq(symlink(path, link), 0);
    struct ib_target *target = ib_target_open_file(link, IB_MIB, true, NULL);
    cr_assert_not_null(target);
    cr_expect_eq(ib_target_size(target), IB_MIB);
    expect_no_file(path, true, IB_E_REFUSED); /* it is locked */
    ib_target_free(target);
    target = ib_target_open_file(path, 512, true, NULL);
    cr_assert_not_null(target);
    cr_expect_eq(ib_target_size(target), IB_MIB);
    ib_target_free(target);
}

Test(target_file, makes_nothing_where_it_must_not)
{
    _cleanup_(ib_freep) char *file = ib_path_join(dir, "file");
    _cleanup_(ib_freep) char *to_dev = ib_path_join(dir, "dev");
    _cleanup_(ib_freep) char *through = ib_path_join(to_dev, "ib-no-such-disk");
    _cleanup_(ib_freep) char *null = ib_path_join(dir, "null");
    _cleanup_(ib_freep) char *fifo = ib_path_join(dir, "fifo");
    _cleanup_(ib_freep) char *absent = ib_path_join(dir, "absent");
    _cleanup_(ib_freep) char *no_dir = ib_path_join(dir, "absent/file");
    _cleanup_(ib_freep) char *dangling = ib_path_join(dir, "dangling");

    cr_assert_eq(ib_write_file(file, 0600, "abc", 3, NULL), 0);
    cr_assert_eq(symlink("/dev", to_dev), 0);
    cr_assert_eq(symlink("/dev/null", null), 0);
    cr_assert_eq(symlink("/dev/ib-no-such-disk", dangling), 0);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    expect_no_file("/dev/ib-no-such-disk", false, IB_E_REFUSED);
    expect_no_file(through, false, IB_E_REFUSED);
    expect_no_file(null, true, IB_E_REFUSED);
    expect_no_file(fifo, true, IB_E_REFUSED);
    expect_no_file(dangling, false, IB_E_REFUSED);
    expect_no_file(dangling, true, IB_E_NOT_FOUND);
    expect_no_file(file, false, IB_E_REFUSED);
    expect_no_file(dir, true, IB_E_REFUSED);
    expect_no_file(absent, true, IB_E_NOT_FOUND);
    expect_no_file(no_dir, false, IB_E_NOT_FOUND);
    cr_expect_not(ib_path_exists("/dev/ib-no-such-disk"));
    cr_expect_not(ib_path_exists(absent));
}
