/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact_fixture.h"
#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image/artifact.h"
#include "image/bmap.h"
#include "image/bytes.h"
#include "image/gpt.h"

TestSuite(artifact, .init = fixture_make_dir, .fini = fixture_remove_dir, .timeout = 100);

Test(artifact, zstd_unpacks_it_to_the_disk)
{
    struct fixture f;
    struct ib_error *err = NULL;
    struct ib_sha256 expected, got;
    char *zstd = ib_find_program("zstd");

    if (!zstd)
        cr_skip_test("zstd is not installed");
    setup(&f);
    char *out = in_dir("out");
    const char *const test[] = {"zstd", "-tq", f.path, NULL};
    const char *const unpack[] = {"zstd", "-dqo", out, f.path, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = test}, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_run(&(struct ib_run){.argv = unpack}, &err), 0);
    hash_file(f.raw, &expected);
    hash_file(out, &got);
    cr_assert(ib_sha256_equal(&expected, &got));
    hash_file(f.path, &got);
    cr_assert(ib_sha256_equal(&f.result.sha256, &got));
    free(out), free(zstd), teardown(&f);
}

Test(artifact, any_range_reads_back)
{
    static const struct {
        uint64_t offset;
        size_t size;
    } ranges[] = {{0, 512},           {0, DISK_SIZE},      {DISK_SIZE, 0},     {DISK_SIZE - 1, 1},
                  {(1 << 20) - 1, 2}, {41 << 20, 5 << 20}, {12345678, 1234567}};
    struct fixture f;
    struct ib_error *err = NULL;
    uint8_t *a = ib_malloc(DISK_SIZE), *b = ib_malloc(DISK_SIZE);

    setup(&f);
    struct ib_artifact *artifact = ib_artifact_open(f.path, &err);
    cr_assert_not_null(artifact, "%s", ib_error_text(err));
    int raw = open(f.raw, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < IB_ARRAY_SIZE(ranges); i++) {
        cr_assert_eq(ib_pread_full(raw, a, ranges[i].size, ranges[i].offset), 0);
        cr_assert_eq(ib_artifact_read(artifact, b, ranges[i].size, ranges[i].offset, &err), 0);
        cr_assert_eq(memcmp(a, b, ranges[i].size), 0);
    }
    cr_assert_eq(ib_artifact_read(artifact, a, 2, DISK_SIZE - 1, &err), -1);
    ib_error_clear(&err);
    int out = make_file("part", 0);
    cr_assert_eq(
        ib_artifact_unpack(artifact, f.partitions[0].offset_bytes, ESP_SIZE, out, NULL, NULL, &err),
        0);
    cr_assert_eq(ib_pread_full(f.esp_fd, a, ESP_SIZE, 0), 0);
    cr_assert_eq(ib_pread_full(out, b, ESP_SIZE, 0), 0);
    cr_assert_eq(memcmp(a, b, ESP_SIZE), 0);
    struct stat st;
    cr_assert(fstat(out, &st) == 0 && st.st_blocks * 512 < 8 << 20); /* holes stayed holes */
    close(out), close(raw), free(a), free(b);
    ib_artifact_free(artifact), teardown(&f);
}

/* A reader of contrib/seekable_format, which knows nothing of our manifest. */
Test(artifact, the_seek_table_finds_every_frame)
{
    struct fixture f;
    struct stat st;
    uint8_t footer[9], *table, *raw = ib_malloc(IB_FRAME_RAW_MAX);
    uint64_t at = 0, raw_at = 0;

    setup(&f);
    int fd = open(f.path, O_RDONLY | O_CLOEXEC), disk = open(f.raw, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(fstat(fd, &st), 0);
    uint64_t size = (uint64_t)st.st_size;
    cr_assert_eq(ib_pread_full(fd, footer, 9, size - 9), 0);
    cr_assert_eq(ib_le32(footer + 5), 0x8F92EAB1);
    uint32_t count = ib_le32(footer);
    uint64_t table_size = 8 + 8 * (uint64_t)count + 9;
    table = ib_malloc(table_size);
    cr_assert_eq(ib_pread_full(fd, table, table_size, size - table_size), 0);
    cr_assert_eq(ib_le32(table), 0x184D2A5E);
    cr_assert_eq(ib_le32(table + 4), table_size - 8);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t packed = ib_le32(table + 8 + 8 * i), plain = ib_le32(table + 12 + 8 * i);
        uint8_t *data = ib_malloc(packed), *expected = ib_malloc(plain);
        cr_assert_eq(ib_pread_full(fd, data, packed, at), 0);
        if (i == 1) {
            cr_assert(plain == 0 && ib_le32(data) == 0x184D2A5B);
        } else {
            struct ib_frame frame = {.raw_size = plain, .size = packed};
            cr_assert_eq(ib_pread_full(disk, expected, plain, raw_at), 0);
            ib_sha256(expected, plain, &frame.sha256);
            cr_assert_eq(ib_frame_decompress(&frame, data, raw, "x", NULL), 0, "frame %u", i);
        }
        at += packed;
        raw_at += plain;
        free(data), free(expected);
    }
    cr_assert(at == size - table_size && raw_at == DISK_SIZE);
    close(fd), close(disk), free(table), free(raw), teardown(&f);
}

static void expect_damage(const struct fixture *f, uint64_t at, uint8_t mask, bool at_open)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_closep) int fd = open(f->path, O_RDWR | O_CLOEXEC);
    uint8_t *all = ib_malloc(DISK_SIZE), byte, changed;

    cr_assert_eq(ib_pread_full(fd, &byte, 1, at), 0);
    changed = byte ^ mask;
    cr_assert_eq(ib_pwrite_full(fd, &changed, 1, at), 0);
    struct ib_artifact *artifact = ib_artifact_open(f->path, &err);
    if (at_open)
        cr_assert_null(artifact, "byte %llu", (unsigned long long)at);
    else
        cr_assert_eq(ib_artifact_read(artifact, all, DISK_SIZE, 0, &err), -1, "byte %llu",
                     (unsigned long long)at);
    cr_assert(ib_error_code(err) == IB_E_INVALID || ib_error_code(err) == IB_E_VERIFY);
    cr_assert_eq(ib_pwrite_full(fd, &byte, 1, at), 0);
    ib_error_clear(&err), ib_artifact_free(artifact), free(all);
}

Test(artifact, a_flipped_byte_is_found)
{
    struct fixture f;
    uint64_t size;

    setup(&f);
    size = f.result.size_bytes;
    uint64_t second = f.manifest->frames[0].size;
    expect_damage(&f, 0, 1, true);             /* zstd's magic */
    expect_damage(&f, second, 1, true);        /* the manifest's */
    expect_damage(&f, second + 5, 0x80, true); /* its frame's size */
    expect_damage(&f, second + 8, 1, true);    /* "IBMANIF1" */
    expect_damage(&f, second + 18, 1, true);   /* its JSON's size */
    expect_damage(&f, second + 24, 1, true);   /* its JSON */
    expect_damage(&f, size - 1, 1, true);      /* the seek table */
    expect_damage(&f, size - 20, 1, true);
    for (uint64_t at = second + 100000; at < size - 10000; at += (size - 200000) / 7)
        expect_damage(&f, at, 0x10, false); /* frames */
    for (uint64_t cut = 1; cut < size; cut = cut * 3) {
        struct ib_error *err = NULL;
        char *path = in_dir("cut");
        _cleanup_(ib_closep) int in = open(f.path, O_RDONLY | O_CLOEXEC), out = make_file("cut", 0);
        cr_assert_eq(ib_copy_range(in, 0, out, size - cut), 0);
        cr_assert_null(ib_artifact_open(path, &err));
        ib_error_clear(&err), free(path);
    }
    teardown(&f);
}

Test(artifact, bmaptool_copies_and_checks_by_our_map)
{
    struct fixture f;
    struct ib_error *err = NULL;
    struct ib_sha256 expected, got;
    struct ib_buf map = {0};
    char *bmaptool = ib_find_program("bmaptool");

    if (!bmaptool)
        cr_skip_test("bmaptool is not installed");
    setup(&f);
    char *map_path = in_dir("odin.bmap"), *out = in_dir("out");
    ib_bmap_print(f.manifest, &map);
    cr_assert_eq(ib_atomic_write(map_path, 0600, map.data, map.size, NULL), 0);
    const char *const argv[] = {"bmaptool", "--quiet", "copy", "--bmap",
                                map_path,   f.path,    out,    NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", ib_error_text(err));
    hash_file(f.raw, &expected);
    hash_file(out, &got);
    cr_assert(ib_sha256_equal(&expected, &got));
    ib_buf_clear(&map), free(map_path), free(out), free(bmaptool), teardown(&f);
}

Test(artifact, extents_that_overlap_are_our_mistake)
{
    struct fixture f;
    struct ib_error *err = NULL;
    struct ib_artifact_result result;

    setup(&f);
    const struct ib_artifact_extent extents[] = {
        {.offset_bytes = 0, .data = f.head.data, .size = f.head.size},
        {.offset_bytes = 512, .data = f.tail.data, .size = f.tail.size},
    };
    char *path = in_dir("never");
    cr_assert_eq(ib_artifact_write(f.manifest, extents, 2, path, NULL, &result, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERNAL);
    cr_assert_not(ib_path_exists(path));
    ib_error_clear(&err), free(path), teardown(&f);
}
