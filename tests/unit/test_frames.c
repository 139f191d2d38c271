/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "image/bytes.h"
#include "image/chunk.h"
#include "image/frames.h"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(frames, .init = make_dir, .fini = remove_dir, .timeout = 100);

static void fill_random(uint8_t *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++) { /* xorshift64 */
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        data[i] = (uint8_t)(seed >> 32);
    }
}

static int open_new(const char *name, char **ret_path)
{
    *ret_path = ib_path_join(dir, name);
    int fd = open(*ret_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0);
    return fd;
}

Test(chunk, the_gear_table_is_the_documented_one)
{
    struct ib_chunker c;

    ib_chunker_init(&c);
    /* sha256 of the byte 0 is 6e340b9cffb37a98…, of the byte 255 a8100ae6aa1940d0… */
    cr_assert_eq(c.gear[0], UINT64_C(0x987ab3ff9c0b346e));
    cr_assert_eq(c.gear[255], UINT64_C(0xd04019aae60a10a8));
}

static size_t cut_all(const uint8_t *data, size_t size, size_t *cuts, size_t max)
{
    struct ib_chunker c;
    size_t n = 0;

    ib_chunker_init(&c);
    for (size_t at = 0; at < size && n < max;) {
        size_t len = ib_chunker_next(&c, data + at, size - at);
        cr_assert(len > 0 && len <= IB_CHUNK_MAX && len <= size - at);
        cr_assert(len >= IB_CHUNK_MIN || at + len == size);
        cuts[n++] = at += len;
    }
    return n;
}

Test(chunk, sizes_and_recovery_after_an_insertion)
{
    enum { SIZE = 32 << 20, MAX = 1000, INSERTED = 13 };
    uint8_t *data = ib_malloc(SIZE + INSERTED);
    static size_t a[MAX], b[MAX];

    fill_random(data, SIZE, 42);
    size_t n = cut_all(data, SIZE, a, MAX);
    size_t average = SIZE / n;
    cr_assert(average > 200 * 1024 && average < 320 * 1024, "average is %zu", average);
    memmove(data + 1000000 + INSERTED, data + 1000000, SIZE - 1000000);
    size_t m = cut_all(data, SIZE + INSERTED, b, MAX), same = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++)
            same += a[i] + INSERTED == b[j] && a[i] > 1000000;
    cr_assert_gt(same, n - 10, "only %zu of %zu cuts are the same", same, n);
    free(data);
}

Test(chunk, zero_detection)
{
    uint8_t data[100] = {0};

    for (size_t size = 0; size <= sizeof(data); size++)
        cr_assert(ib_is_zero(data, size));
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = 1;
        cr_assert(ib_is_zero(data, i) && !ib_is_zero(data, i + 1) && !ib_is_zero(data, 100));
        data[i] = 0;
    }
}

/* A file with random data, text, a hole, a run of written zeros, and an odd end. */
enum { FILE_SIZE = 45 * 1024 * 1024 + 777 };

static int make_input(bool sparse)
{
    char *path;
    int fd = open_new("input", &path);
    uint8_t *data = ib_calloc(1, FILE_SIZE);

    fill_random(data + 512, 6 << 20, 1);
    memset(data + (7 << 20), 'x', 3 << 20);
    fill_random(data + (30 << 20), (15 << 20) + 777, 7);
    memset(data + (40 << 20), 0, 70000);
    if (sparse) {
        cr_assert_eq(ib_pwrite_full(fd, data, 10 << 20, 0), 0);
        cr_assert_eq(ib_pwrite_full(fd, data + (30 << 20), (15 << 20) + 777, 30 << 20), 0);
    } else {
        cr_assert_eq(ib_pwrite_full(fd, data, FILE_SIZE, 0), 0);
    }
    free(data), free(path);
    return fd;
}

static void make_frames(int fd, unsigned threads, const char *name, struct ib_frames *ret)
{
    struct ib_error *err = NULL;
    char *path, *index;
    int out = open_new(name, &path);

    const struct ib_frames_job job = {
        .fd = fd, .size = FILE_SIZE, .name = "input", .threads = threads};
    cr_assert_eq(ib_frames_make(&job, out, ret, &err), 0, "%s", ib_error_text(err));
    index = ib_asprintf("%s.idx", path);
    cr_assert_eq(ib_frames_save(ret, index, &err), 0);
    close(out), free(path), free(index);
}

static void hash_of(const char *name, struct ib_sha256 *ret)
{
    char *path = ib_path_join(dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(ib_sha256_fd(fd, ret, NULL), 0);
    close(fd), free(path);
}

Test(frames, hold_the_file_and_read_back)
{
    struct ib_error *err = NULL;
    struct ib_frames frames = {0};
    uint8_t *raw = ib_malloc(IB_FRAME_RAW_MAX), *expected = ib_malloc(IB_FRAME_RAW_MAX);
    int fd = make_input(true);
    uint64_t zeros = 0;

    make_frames(fd, 2, "store", &frames);
    char *path = ib_path_join(dir, "store");
    struct ib_frame_store *store = ib_frame_store_open(path, &err);
    cr_assert_not_null(store, "%s", ib_error_text(err));
    const struct ib_frames *read = ib_frame_store_frames(store);
    cr_assert_eq(read->raw_size, FILE_SIZE);
    for (size_t i = 0; i < read->count; i++) {
        const struct ib_frame *f = &read->items[i];
        uint8_t *data = ib_malloc(f->size);
        cr_assert_eq(ib_pread_full(ib_frame_store_fd(store), data, f->size, f->offset), 0);
        cr_assert_eq(ib_frame_decompress(f, data, raw, "store", &err), 0);
        cr_assert_eq(ib_pread_full(fd, expected, f->raw_size, f->raw_offset), 0);
        cr_assert_eq(memcmp(raw, expected, f->raw_size), 0);
        cr_assert_eq(f->zero, ib_is_zero(raw, f->raw_size));
        if (f->zero)
            zeros += f->raw_size;
        else
            cr_assert_leq(f->raw_size, IB_CHUNK_MAX);
        data[f->size / 2] ^= 1;
        cr_assert_eq(ib_frame_decompress(f, data, raw, "store", &err), -1);
        ib_error_clear(&err);
        free(data);
    }
    /* 10 to 30 MiB, 6 MiB + 512 to 7 MiB in whole blocks; 40 MiB to one block behind */
    cr_assert_eq(zeros, 20 * IB_MIB + IB_MIB - 64 * IB_KIB + 64 * IB_KIB);
    ib_frame_store_free(store), ib_frames_clear(&frames);
    free(path), free(raw), free(expected), close(fd);
}

Test(frames, same_bytes_on_any_number_of_threads_and_without_holes)
{
    struct ib_sha256 hash[3];
    struct ib_frames frames = {0};
    size_t count = 0;

    for (int i = 0; i < 3; i++) {
        int fd = make_input(i == 0);
        make_frames(fd, i == 1 ? 1 : 5, "store", &frames);
        hash_of("store", &hash[i]);
        cr_assert(ib_sha256_equal(&hash[0], &hash[i]));
        count = count ? count : frames.count;
        cr_assert_eq(frames.count, count);
        close(fd), ib_frames_clear(&frames);
    }
}

/* What the second node of a role does: everything but the identity is there already. */
Test(frames, a_store_is_reused_and_the_bytes_are_the_same)
{
    struct ib_error *err = NULL;
    struct ib_frames frames = {0}, linked = {0}, copied = {0};
    struct ib_sha256 with, without;
    char *path = ib_path_join(dir, "store"), *other;
    int fd = make_input(true);

    make_frames(fd, 0, "store", &frames);
    struct ib_frame_store *store = ib_frame_store_open(path, &err);
    const struct ib_frame_store *const reuse[] = {store};
    cr_assert_eq(ib_pwrite_full(fd, "freyja", 6, 3 << 20), 0);
    struct ib_frames_job job = {.fd = fd,
                                .size = FILE_SIZE,
                                .name = "input",
                                .reuse = reuse,
                                .reuse_count = 1,
                                .link_reused = true};
    int out = open_new("linked", &other);
    cr_assert_eq(ib_frames_make(&job, out, &linked, &err), 0);
    size_t made = 0;
    for (size_t i = 0; i < linked.count; i++)
        made += linked.items[i].store == NULL;
    cr_assert(made >= 1 && made <= 3, "%zu frames were made", made);
    close(out), free(other);

    job.link_reused = false;
    out = open_new("with", &other);
    cr_assert_eq(ib_frames_make(&job, out, &copied, &err), 0);
    hash_of("with", &with);
    ib_frames_clear(&frames);
    make_frames(fd, 0, "without", &frames);
    hash_of("without", &without);
    cr_assert(ib_sha256_equal(&with, &without));
    close(out), free(other), free(path), close(fd);
    ib_frames_clear(&frames), ib_frames_clear(&linked), ib_frames_clear(&copied);
    ib_frame_store_free(store);
}

Test(frames, a_damaged_index_is_refused)
{
    static const size_t flips[] = {0, 8, 17, 24, 33, 36, 50, 71};
    struct ib_error *err = NULL;
    struct ib_frames frames = {0}, again = {0};
    struct ib_buf index = {0};
    uint32_t version;
    char *path = ib_path_join(dir, "x.idx");

    for (int i = 0; i < 3; i++)
        ib_frames_add(&frames, &(struct ib_frame){.raw_size = 1000, .size = 100});
    cr_assert_eq(ib_frames_save(&frames, path, &err), 0);
    cr_assert_eq(ib_read_file(path, IB_MIB, &index, &err), 0);
    cr_assert_eq(ib_frames_parse(index.data, index.size, "x", &again, &version, &err), 0);
    cr_assert_eq(again.raw_size, 3000);
    ib_frames_clear(&again);
    for (size_t i = 0; i < IB_ARRAY_SIZE(flips); i++) {
        index.data[flips[i]] ^= 4;
        cr_assert_eq(ib_frames_parse(index.data, index.size, "x", &again, &version, &err), -1);
        ib_error_clear(&err);
        struct ib_sha256 hash; /* and with a checksum that fits */
        ib_sha256(index.data, index.size - 32, &hash);
        memcpy(index.data + index.size - 32, hash.bytes, 32);
        if (flips[i] != 36 && flips[i] != 50 && flips[i] != 71) {
            cr_assert_eq(ib_frames_parse(index.data, index.size, "x", &again, &version, &err), -1);
            ib_error_clear(&err);
        }
        index.data[flips[i]] ^= 4;
    }
    for (size_t size = 0; size < index.size; size++) {
        cr_assert_eq(ib_frames_parse(index.data, size, "x", &again, &version, &err), -1);
        ib_error_clear(&err);
    }
    ib_frames_clear(&frames), ib_buf_clear(&index), free(path);
}
