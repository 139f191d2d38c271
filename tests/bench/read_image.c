/* SPDX-License-Identifier: Apache-2.0 */
/* read_image SOURCE: unpacks an image into nothing, as `imgbuild flash` would, for
 * tests/bench/sources. With -r: reads the bytes as they are. */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "io/unpacker.h"

enum { CHUNK = 4 << 20 };

static int read_raw(struct ib_source *source, uint8_t *chunk, uint64_t *ret, struct ib_error **err)
{
    size_t n = 1;

    for (*ret = 0; n > 0; *ret += n)
        if (ib_source_read_some(source, chunk, CHUNK, *ret, &n, err) < 0)
            return -1;
    return 0;
}

static int unpack(struct ib_source *source, uint8_t *chunk, uint64_t *ret, struct ib_error **err)
{
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(source, err);
    size_t n = CHUNK;

    if (!unpacker)
        return -1;
    for (*ret = 0; n == CHUNK; *ret += n)
        if (ib_unpacker_read(unpacker, chunk, CHUNK, &n, err) < 0)
            return -1;
    return 0;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    const bool raw = argc == 3 && ib_streq(argv[1], "-r");
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);
    struct ib_error *err = NULL;
    struct rusage usage;
    uint64_t size = 0;

    if (argc < 2)
        return 2;
    const double begin = now();
    _cleanup_(ib_source_freep) struct ib_source *source =
        ib_source_open(argv[argc - 1], NULL, &err);
    if (!source || (raw ? read_raw : unpack)(source, chunk, &size, &err) < 0) {
        ib_error_print(err, "read_image", stderr);
        ib_error_free(err);
        return 1;
    }
    const double seconds = now() - begin;
    getrusage(RUSAGE_SELF, &usage);
    printf("%.3f s, %.0f MB/s, %ld MiB of memory at most\n", seconds, (double)size / 1e6 / seconds,
           usage.ru_maxrss / 1024);
    return 0;
}
