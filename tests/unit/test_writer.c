/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parallel.h"
#include "io/writer.h"

static char *dir, *path;
enum { SIZE = 24 << 20 };

static void setup(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
    path = ib_path_join(dir, "target");
}

static void teardown(void)
{
    free(path);
    ib_temp_dirp(&dir);
}

TestSuite(writer, .init = setup, .fini = teardown, .timeout = 100);

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void fill(uint8_t *data, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)next_random(&seed);
}

/* Pieces of every size and gap, filled by several threads and committed out of order. */
struct work {
    struct ib_writer *writer;
    uint8_t *expected; /* what the target must hold in the end */
    uint64_t size, offset;
    uint32_t seed;
    pthread_mutex_t lock;
};

static bool take(struct work *w, struct ib_writer_piece *piece, uint64_t *ret_offset,
                 uint32_t *ret_seed, struct ib_error **err, int *ret)
{
    static const uint32_t sizes[] = {1, 511, 512, 4096, 5000, 65536, 300000, 1 << 20, 3 << 20};
    static const uint32_t gaps[] = {0, 0, 0, 1, 100, 512, 4095, 4096, 70000};
    bool more = false;

    pthread_mutex_lock(&w->lock);
    uint64_t at = w->offset + gaps[next_random(&w->seed) % IB_ARRAY_SIZE(gaps)];
    uint64_t size = sizes[next_random(&w->seed) % IB_ARRAY_SIZE(sizes)];
    if (at < w->size) {
        size = IB_MIN(size, w->size - at);
        *ret = ib_writer_reserve(w->writer, at, (size_t)size, piece, err);
        *ret_offset = at;
        *ret_seed = next_random(&w->seed);
        w->offset = at + size;
        more = *ret == 0;
    }
    pthread_mutex_unlock(&w->lock);
    return more;
}

static int work_thread(void *userdata, struct ib_error **err)
{
    struct work *w = userdata;
    struct ib_writer_piece piece;
    uint64_t offset;
    uint32_t seed;
    int r = 0;

    while (take(w, &piece, &offset, &seed, err, &r)) {
        fill(piece.data, piece.size, seed);
        memcpy(w->expected + offset, piece.data, piece.size);
        if (seed % 7 == 0)
            usleep(seed % 3000);
        ib_writer_commit(w->writer, &piece);
    }
    return r;
}

static void run_random(uint64_t size, uint32_t seed, bool read_back, bool trails)
{
    struct ib_error *err = NULL;
    uint8_t *expected = ib_malloc(size), *got = ib_malloc(size);

    fill(expected, size, seed ^ 77);
    cr_assert_eq(ib_write_file(path, 0600, expected, size, NULL), 0);
    struct ib_target *target = ib_target_open_file(path, size, true, &err);
    cr_assert_not_null(target, "%s", ib_error_text(err));
    const struct ib_writer_options options = {
        .read_back = read_back, .read_trails = trails, .ring_bytes = 8 * IB_MIB};
    struct ib_writer_result result;
    struct work w = {.writer = ib_writer_new(target, &options, &err),
                     .expected = expected,
                     .size = size,
                     .seed = seed,
                     .lock = PTHREAD_MUTEX_INITIALIZER};
    cr_assert_not_null(w.writer, "%s", ib_error_text(err));
    cr_assert_eq(ib_parallel_run(3, work_thread, &w, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_writer_finish(w.writer, &result, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(result.read_back_bytes > 0, read_back);
    ib_writer_free(w.writer);
    ib_target_free(target);
    int fd = ib_open_read(path, NULL);
    cr_assert_eq(ib_pread_full(fd, got, size, 0), 0);
    for (uint64_t i = 0; i < size; i++)
        if (got[i] != expected[i])
            cr_assert_fail("byte %llu differs, seed %u", (unsigned long long)i, seed);
    close(fd);
    free(expected), free(got);
}

Test(writer, pieces_of_any_size_land_where_they_belong_and_nothing_else_changes)
{
    for (uint32_t seed = 1; seed <= 12; seed++)
        run_random(SIZE, seed, seed % 3 > 0, seed % 3 == 1);
}

Test(writer, a_target_may_end_inside_a_block)
{
    for (uint32_t seed = 1; seed <= 6; seed++)
        run_random((1 << 20) + 777 * seed, seed, true, false);
}

Test(writer, a_piece_outside_the_target_is_refused)
{
    struct ib_error *err = NULL;
    struct ib_target *target = ib_target_open_file(path, IB_MIB, false, &err);
    struct ib_writer *w = ib_writer_new(target, &(struct ib_writer_options){0}, &err);
    struct ib_writer_piece piece;

    cr_assert_eq(ib_writer_reserve(w, IB_MIB - 10, 11, &piece, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERNAL);
    ib_error_clear(&err);
    cr_assert_eq(ib_writer_reserve(w, UINT64_MAX - 5, 11, &piece, &err), -1);
    ib_error_clear(&err);
    cr_assert_eq(ib_writer_reserve(w, 0, 0, &piece, &err), -1);
    ib_error_free(err);
    ib_writer_free(w);
    ib_target_free(target);
}

Test(writer, given_up_in_the_middle_it_ends)
{
    struct ib_error *err = NULL;
    struct ib_target *target = ib_target_open_file(path, 4 * IB_MIB, false, &err);
    struct ib_writer *w = ib_writer_new(
        target, &(struct ib_writer_options){.read_back = true, .read_trails = true}, &err);
    struct ib_writer_piece a, b;

    cr_assert_eq(ib_writer_reserve(w, 0, 2 << 20, &a, &err), 0);
    cr_assert_eq(ib_writer_reserve(w, 2 << 20, 1 << 20, &b, &err), 0);
    memset(a.data, 1, a.size);
    ib_writer_commit(w, &a);
    ib_writer_free(w); /* b was never filled */
    ib_target_free(target);
}
