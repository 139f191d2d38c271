/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "artifact_fixture.h"
#include "base/subprocess.h"
#include "httpd.h"
#include "loop.h"
#include "ops/flash.h"

TestSuite(flash, .init = fixture_make_dir, .fini = fixture_remove_dir, .timeout = 100);

enum { LARGE = 80 << 20, TAIL = 33 * 512, TABLE = 34 * 512 };

/* One run as the program does it; the error's code or 0. */
static int flash(const char *image_path, const char *device, const char *file,
                 const struct ib_strv *keep, struct ib_flash_result *ret, char **ret_text)
{
    const struct ib_flash_options options = {.read_back = IB_FLASH_ALWAYS, .threads = 3};
    struct ib_error *err = NULL;
    struct ib_flash_plan plan = {0};
    struct ib_disk disk = {0};
    struct ib_target *target = NULL;
    struct ib_flash_image *image = ib_flash_image_open(image_path, NULL, &err);
    int r = image ? 0 : -1;

    if (r == 0 && device)
        r = ib_disk_look(device, true, &disk, &err);
    if (r == 0)
        r = ib_flash_plan_make(image, device ? &disk : NULL, 0, keep, &plan, &err);
    if (r == 0) {
        target = device ? ib_target_open_disk(&disk, &err)
                        : ib_target_open_file(file, plan.target_size, ib_path_exists(file), &err);
        r = target ? ib_flash_run(image, &plan, target, &options, ret, &err) : -1;
    }
    int code = r < 0 ? (int)ib_error_code(err) : 0;
    if (ret_text)
        *ret_text = err ? ib_error_text(err) : NULL;
    else if (err && code != 0)
        ib_error_print(err, "flash", stderr);
    ib_error_free(err);
    ib_target_free(target);
    ib_flash_plan_clear(&plan);
    ib_disk_clear(&disk);
    ib_flash_image_free(image);
    return code;
}

static uint8_t *load(const char *path, size_t size)
{
    uint8_t *data = ib_malloc(size);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(ib_pread_full(fd, data, size, 0), 0, "%s", path);
    close(fd);
    return data;
}

static void assert_files_equal(const char *a, const char *b, size_t from, size_t to)
{
    uint8_t *x = load(a, to), *y = load(b, to);

    for (size_t i = from; i < to; i++)
        if (x[i] != y[i])
            cr_assert_fail("'%s' and '%s' differ at byte %zu", a, b, i);
    free(x), free(y);
}

static struct loop need_loop(uint64_t size, uint32_t block)
{
    struct loop loop;
    const char *skip = loop_new(&loop, size, 0xa5, block, 0);

    if (skip)
        cr_skip_test("%s", skip);
    return loop;
}

/* Neither boot code nor a table that firmware could use at either end. */
static void assert_not_bootable(const char *path, size_t size)
{
    uint8_t *data = load(path, size);

    for (size_t i = 0; i < (1 << 20); i++)
        cr_assert_eq(data[i], 0, "byte %zu", i);
    cr_assert_neq(memcmp(data + size - 512, "EFI PART", 8), 0);
    free(data);
}

static void assert_table_good(const char *device)
{
    const char *const argv[] = {"sfdisk", "--verify", device, NULL};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", ib_error_text(err));
}

Test(flash, a_new_file_is_the_image)
{
    struct fixture f;
    struct ib_flash_result result;
    char *out = in_dir("out");

    setup(&f);
    cr_assert_eq(flash(f.path, NULL, out, NULL, &result, NULL), 0);
    assert_files_equal(f.raw, out, 0, DISK_SIZE);
    cr_assert_eq(flash(f.path, NULL, out, NULL, &result, NULL), 0);
    cr_assert(result.delta);
    cr_assert_eq(result.written_bytes, 0);
    assert_files_equal(f.raw, out, 0, DISK_SIZE);
    free(out), teardown(&f);
}

Test(flash, a_dirty_disk_of_the_images_size_becomes_the_image)
{
    struct loop loop = need_loop(DISK_SIZE, 512);
    struct fixture f;
    struct ib_flash_result result;

    setup(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert_not(result.delta);
    assert_files_equal(f.raw, loop.path, 0, DISK_SIZE);
    teardown(&f), loop_clear(&loop);
}

Test(flash, on_a_larger_disk_the_backup_table_moves_to_its_end)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;

    setup(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
    assert_table_good(loop.path);
    uint8_t *data = load(loop.path, LARGE);
    cr_assert_eq(memcmp(data + LARGE - 512, "EFI PART", 8), 0);
    cr_assert_eq(data[DISK_SIZE], 0xa5, "what lies behind the image is left alone");
    cr_assert_eq(data[LARGE - TAIL - 1], 0xa5);
    free(data);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert_eq(result.written_bytes, 0, "an unchanged image is only read");
    teardown(&f), loop_clear(&loop);
}

Test(flash, only_what_differs_is_written_again)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;

    setup(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert_eq(ib_pwrite_full(loop.fd, "changed", 7, f.partitions[1].offset_bytes + 2345678), 0);
    cr_assert_eq(fsync(loop.fd), 0);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert(result.delta);
    /* one frame, the blocks around it, the first MiB's end and the table */
    cr_assert_lt(result.written_bytes, 1536 << 10);
    assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
    assert_table_good(loop.path);
    teardown(&f), loop_clear(&loop);
}

Test(flash, an_image_may_come_through_a_pipe)
{
    struct fixture f;
    char *out = in_dir("out"), *fifo = in_dir("fifo");
    struct ib_flash_result result;

    setup(&f);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int in = open(f.path, O_RDONLY), to = open(fifo, O_WRONLY);
        struct stat st;
        _exit(fstat(in, &st) < 0 || ib_copy_range(in, 0, to, (uint64_t)st.st_size) < 0);
    }
    cr_assert_eq(flash(fifo, NULL, out, NULL, &result, NULL), 0);
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "it was read to its end");
    assert_files_equal(f.raw, out, 0, DISK_SIZE);
    free(out), free(fifo), teardown(&f);
}

Test(flash, an_image_may_come_from_a_server)
{
    /* what the server does, and what is to come of it (0: the image) */
    static const struct {
        const char *fault;
        int code;
    } cases[] = {{"ok", 0},
                 {"weak", 0},
                 {"norange", 0},
                 {"short", 0},
                 {"404", IB_E_NOT_FOUND},
                 {"nolength", IB_E_NETWORK},
                 {"gzip", IB_E_NETWORK}};
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct httpd httpd = {0};
    struct ib_flash_result result;

    setup(&f);
    char *log = in_dir("log");
    if (!httpd_start_script(&httpd, "rangesd.py", dir, log))
        cr_skip_test("python3 is not installed");
    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        _cleanup_(ib_freep) char *path = ib_asprintf("%s/odin.img.zst", cases[i].fault);
        _cleanup_(ib_freep) char *url = httpd_url(&httpd, path);
        cr_assert_eq(ib_pwrite_full(loop.fd, "changed", 7, f.partitions[1].offset_bytes), 0);
        fsync(loop.fd);
        int code = flash(url, loop.path, NULL, NULL, &result, NULL);
        cr_assert_eq(code, cases[i].code, "%s: %d", cases[i].fault, code);
        if (code == 0) {
            assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
            assert_table_good(loop.path);
            cr_assert(i == 0 || result.written_bytes < 1536 << 10);
        }
    }
    httpd_stop(&httpd);
    free(log), teardown(&f), loop_clear(&loop);
}

/* A partition `var` behind the image, as systemd-repart makes it, with data in it. */
static void add_var(const struct loop *loop, uint64_t start)
{
    _cleanup_(ib_freep) char *script = ib_asprintf(
        "echo 'start=%llu, size=16384, name=var, uuid=11111111-2222-3333-4444-555555555555'"
        " | sfdisk -q --no-reread --append '%s'",
        (unsigned long long)start / 512, loop->path);
    const char *const argv[] = {"sh", "-c", script, NULL};
    uint8_t *data = ib_malloc(8 << 20);

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, NULL), 0);
    fill(data, 8 << 20, 99);
    cr_assert_eq(ib_pwrite_full(loop->fd, data, 8 << 20, start), 0);
    cr_assert_eq(fsync(loop->fd), 0);
    free(data);
}

static void assert_var_there(const struct loop *loop, uint64_t start)
{
    struct ib_gpt gpt;
    struct ib_error *err = NULL;
    uint8_t *data = load(loop->path, LARGE), *expected = ib_malloc(8 << 20);
    char uuid[IB_UUID_TEXT_SIZE];
    size_t found = 0;

    fill(expected, 8 << 20, 99);
    cr_assert_eq(memcmp(data + start, expected, 8 << 20), 0, "var's content");
    cr_assert_eq(ib_gpt_read(loop->fd, loop->path, &gpt, &err), 0, "%s", ib_error_text(err));
    for (size_t i = 0; i < gpt.partition_count; i++)
        if (ib_streq(gpt.partitions[i].label, "var")) {
            cr_assert_eq(gpt.partitions[i].offset_bytes, start);
            cr_assert_str_eq(ib_uuid_format(&gpt.partitions[i].uuid, uuid),
                             "11111111-2222-3333-4444-555555555555");
            found++;
        }
    cr_assert_eq(found, 1);
    ib_gpt_clear(&gpt);
    free(data), free(expected);
}

Test(flash, what_is_to_be_kept_is_kept_also_by_a_run_that_fails)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;
    struct ib_strv keep = {0}, none = {0};
    const uint64_t start = 48 << 20;
    char before[65], after[65];

    setup(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    add_var(&loop, start);
    ib_strv_add(&keep, "var");
    cr_assert_eq(flash(f.path, loop.path, NULL, &keep, &result, NULL), 0);
    assert_var_there(&loop, start);
    assert_table_good(loop.path);
    assert_files_equal(f.raw, loop.path, TABLE, f.partitions[1].offset_bytes + ROOT_SIZE);

    /* an artifact whose last frame is damaged: found out when much is written */
    struct stat st;
    cr_assert_eq(stat(f.path, &st), 0);
    int fd = open(f.path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ib_pwrite_full(fd, "xxxxxxxx", 8, (uint64_t)st.st_size - 100000), 0);
    cr_assert_eq(ib_pwrite_full(loop.fd, "changed", 7, f.partitions[1].offset_bytes), 0);
    cr_assert_eq(
        ib_pwrite_full(loop.fd, "changed", 7, f.partitions[1].offset_bytes + (5 << 20) - 50000), 0);
    close(fd);
    fsync(loop.fd);
    cr_assert_neq(flash(f.path, loop.path, NULL, &keep, &result, NULL), 0);
    assert_var_there(&loop, start);
    write_artifact(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, &keep, &result, NULL), 0);
    assert_var_there(&loop, start);
    assert_table_good(loop.path);

    /* a label that is not there: not one byte is written */
    ib_strv_add(&none, "ceph");
    loop_hash(&loop, before);
    cr_assert_eq(flash(f.path, loop.path, NULL, &none, &result, NULL), IB_E_REFUSED);
    loop_hash(&loop, after);
    cr_assert_str_eq(before, after);
    ib_strv_clear(&keep), ib_strv_clear(&none);
    teardown(&f), loop_clear(&loop);
}

Test(flash, a_kept_partition_in_the_images_way_is_refused)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;
    struct ib_strv keep = {0};
    char before[65], after[65];
    const char *const argv[] = {"sh", "-c",
                                "printf 'label: gpt\\nstart=20480, size=16384, name=var\\n' | "
                                "sfdisk -q --no-reread \"$0\"",
                                loop.path, NULL};

    setup(&f);
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, NULL), 0);
    ib_strv_add(&keep, "var");
    loop_hash(&loop, before);
    cr_assert_eq(flash(f.path, loop.path, NULL, &keep, &result, NULL), IB_E_REFUSED);
    loop_hash(&loop, after);
    cr_assert_str_eq(before, after);
    ib_strv_clear(&keep), teardown(&f), loop_clear(&loop);
}

Test(flash, disks_that_do_not_fit_are_refused_untouched)
{
    struct loop small = need_loop(DISK_SIZE - 4096, 512), sectors = need_loop(LARGE, 4096);
    struct fixture f;
    struct ib_flash_result result;
    char before[65], after[65], *text;

    setup(&f);
    loop_hash(&small, before);
    cr_assert_eq(flash(f.path, small.path, NULL, NULL, &result, &text), IB_E_REFUSED);
    cr_assert_not_null(strstr(text, "unpacks to"), "%s", text);
    free(text);
    loop_hash(&small, after);
    cr_assert_str_eq(before, after);
    loop_hash(&sectors, before);
    cr_assert_eq(flash(f.path, sectors.path, NULL, NULL, &result, &text), IB_E_REFUSED);
    cr_assert_not_null(strstr(text, "sectors of 4096"), "%s", text);
    free(text);
    loop_hash(&sectors, after);
    cr_assert_str_eq(before, after);
    teardown(&f), loop_clear(&small), loop_clear(&sectors);
}

Test(flash, damage_is_found_before_it_is_written_and_leaves_nothing_that_boots)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;
    struct stat st;

    setup(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert_eq(
        ib_pwrite_full(loop.fd, "changed", 7, f.partitions[1].offset_bytes + (5 << 20) - 50000), 0);
    fsync(loop.fd);
    cr_assert_eq(stat(f.path, &st), 0);
    int fd = open(f.path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(ib_pwrite_full(fd, "xxxxxxxx", 8, (uint64_t)st.st_size - 100000), 0);
    int code = flash(f.path, loop.path, NULL, NULL, &result, NULL);
    cr_assert(code == IB_E_VERIFY || code == IB_E_INVALID, "%d", code);
    assert_not_bootable(loop.path, LARGE);

    /* cut off behind its manifest: known before anything is written */
    write_artifact(&f);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    char before[65], after[65];
    loop_hash(&loop, before);
    cr_assert_eq(truncate(f.path, st.st_size / 2), 0);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), IB_E_INVALID);
    loop_hash(&loop, after);
    cr_assert_str_eq(before, after);
    close(fd), teardown(&f), loop_clear(&loop);
}

Test(flash, images_of_other_programs)
{
    static const char *const pack[] = {"zstd -q -c", "zstd -q --long=27 -c", "gzip -c",
                                       "xz -0 -c",   "bzip2 -1 -c",          "cat"};
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;

    setup(&f);
    char *packed = in_dir("packed");
    for (size_t i = 0; i < IB_ARRAY_SIZE(pack); i++) {
        _cleanup_(ib_freep) char *script = ib_asprintf("%s <'%s' >'%s'", pack[i], f.raw, packed);
        const char *const argv[] = {"sh", "-c", script, NULL};
        struct stat st;
        cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, NULL), 0, "%s", script);
        memset(&st, 0, sizeof(st));
        cr_assert_eq(ib_pwrite_full(loop.fd, "dirty", 5, 30 << 20), 0); /* in a hole */
        fsync(loop.fd);
        cr_assert_eq(flash(packed, loop.path, NULL, NULL, &result, NULL), 0, "%s", script);
        assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
        assert_table_good(loop.path);

        if (i == IB_ARRAY_SIZE(pack) - 1)
            break; /* nothing tells that a plain image was cut off … */
        cr_assert_eq(stat(packed, &st), 0);
        cr_assert_eq(truncate(packed, st.st_size - 9), 0);
        cr_assert_eq(flash(packed, loop.path, NULL, NULL, &result, NULL), IB_E_INVALID, "%s",
                     script);
        assert_not_bootable(loop.path, LARGE);
    }
    /* … but its own table does */
    cr_assert_eq(truncate(packed, 20 << 20), 0);
    cr_assert_eq(flash(packed, loop.path, NULL, NULL, &result, NULL), IB_E_INVALID);
    free(packed), teardown(&f), loop_clear(&loop);
}

/* A disk whose medium fails in the middle: a sparse file on a file system that is too small for it.
 */
Test(flash, a_write_that_fails_leaves_nothing_that_boots)
{
    struct loop loop = {.fd = -1};
    struct fixture f;
    struct ib_flash_result result;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        cr_skip_test("needs root, to mount");
    setup(&f);
    char *place = in_dir("small"), *file = in_dir("small/disk"), *other = in_dir("small/file");
    cr_assert_eq(mkdir(place, 0700), 0);
    cr_assert_eq(mount("none", place, "tmpfs", 0, "size=6m"), 0);
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, LARGE), 0);
    close(fd);
    const char *skip = loop_attach(&loop, file, 512, 0);
    if (skip)
        cr_skip_test("%s", skip);
    int code = flash(f.path, loop.path, NULL, NULL, &result, NULL);
    cr_assert(code == IB_E_NO_SPACE || code == IB_E_IO, "%d", code);
    assert_not_bootable(loop.path, LARGE);
    cr_assert_eq(flash(f.path, NULL, other, NULL, &result, NULL), IB_E_NO_SPACE);
    unlink(other);

    cr_assert_eq(mount("none", place, "tmpfs", MS_REMOUNT, "size=200m"), 0);
    cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
    cr_assert(result.delta, "what was written before the failure is found");
    assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
    assert_table_good(loop.path);
    close(loop.fd);
    umount2(place, MNT_DETACH);
    free(place), free(file), free(other), teardown(&f);
}

Test(flash, block_maps_of_bmaptool_are_checked)
{
    struct loop loop = need_loop(LARGE, 512);
    _cleanup_(ib_freep) char *bmaptool = ib_find_program("bmaptool");
    struct fixture f;
    struct ib_error *err = NULL;
    struct ib_disk disk = {0};

    if (!bmaptool)
        cr_skip_test("bmaptool is not installed");
    setup(&f);
    char *map = in_dir("raw.bmap"), *packed = in_dir("raw.zst");
    const char *const make[] = {"bmaptool", "-q", "create", "-o", map, f.raw, NULL};
    const char *const pack[] = {"zstd", "-q", "-o", packed, f.raw, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = make}, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_run(&(struct ib_run){.argv = pack}, &err), 0, "%s", ib_error_text(err));
    _cleanup_(ib_freep) char *found = ib_flash_find_bmap(packed);
    cr_assert_str_eq(found, map);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (damaged) { /* another image, of the same size */
            int fd = open(f.raw, O_RDWR | O_CLOEXEC);
            cr_assert_eq(ib_pwrite_full(fd, "changed", 7, f.partitions[1].offset_bytes), 0);
            close(fd), unlink(packed);
            cr_assert_eq(ib_run(&(struct ib_run){.argv = pack}, &err), 0);
        }
        struct ib_flash_plan plan = {0};
        struct ib_flash_result result;
        struct ib_flash_image *image = ib_flash_image_open(packed, NULL, &err);
        cr_assert_eq(ib_flash_image_use_bmap(image, map, &err), 0, "%s", ib_error_text(err));
        cr_assert_eq(ib_disk_look(loop.path, true, &disk, &err), 0);
        cr_assert_eq(ib_flash_plan_make(image, &disk, 0, NULL, &plan, &err), 0);
        cr_assert_eq(plan.image_size, DISK_SIZE);
        struct ib_target *target = ib_target_open_disk(&disk, &err);
        cr_assert_not_null(target);
        int r = ib_flash_run(image, &plan, target, &(struct ib_flash_options){0}, &result, &err);
        ib_target_free(target);
        if (damaged) {
            cr_assert_eq(r, -1);
            cr_assert_eq(ib_error_code(err), IB_E_VERIFY, "%s", ib_error_text(err));
            assert_not_bootable(loop.path, LARGE);
        } else {
            cr_assert_eq(r, 0, "%s", ib_error_text(err));
            assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
        }
        ib_flash_plan_clear(&plan), ib_disk_clear(&disk), ib_flash_image_free(image);
    }
    ib_error_free(err);
    free(map), free(packed), teardown(&f), loop_clear(&loop);
}

Test(flash, killed_at_any_instant_the_next_run_completes_it)
{
    struct loop loop = need_loop(LARGE, 512);
    struct fixture f;
    struct ib_flash_result result;
    uint32_t seed = 7;
    unsigned killed = 0;

    setup(&f);
    for (int i = 0; i < 20; i++) {
        uint8_t dirt[4096];
        memset(dirt, 0xa5, sizeof(dirt));
        for (uint64_t at = 0; i % 4 == 0 && at < LARGE; at += sizeof(dirt))
            cr_assert_eq(ib_pwrite_full(loop.fd, dirt, sizeof(dirt), at), 0);
        fsync(loop.fd);
        pid_t pid = fork();
        if (pid == 0)
            _exit(flash(f.path, loop.path, NULL, NULL, &result, NULL) != 0);
        seed = seed * 1664525 + 1013904223;
        usleep((seed >> 8) % 60000);
        kill(pid, SIGKILL);
        int status;
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status))
            continue;
        killed++;
        uint8_t *data = load(loop.path, LARGE);
        bool table = memcmp(data + 512, "EFI PART", 8) == 0;
        free(data);
        if (table) /* then all of it is there */
            assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
        cr_assert_eq(flash(f.path, loop.path, NULL, NULL, &result, NULL), 0);
        assert_files_equal(f.raw, loop.path, TABLE, DISK_SIZE);
        assert_table_good(loop.path);
    }
    cr_assert_gt(killed, 5, "%u were killed in time", killed);
    teardown(&f), loop_clear(&loop);
}
