/* SPDX-License-Identifier: Apache-2.0 */
/* A packed image from outside, read in two ways: both must say the same. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "io/unpacker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAW_MAX = 8 << 20 };

/* 0: whole; 1: more than we look at; -1: refused. */
static int unpack(const uint8_t *data, size_t size, size_t step, struct ib_sha256 *ret)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    _cleanup_(ib_source_freep) struct ib_source *source = NULL;
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = NULL;
    _cleanup_(ib_hasher_freep) struct ib_hasher *hasher = ib_hasher_new();
    _cleanup_(ib_freep) uint8_t *raw = ib_malloc(step);
    size_t total = 0, n = step;

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return -1;
    source = ib_source_open_fd(fd, "fuzz", NULL);
    unpacker = source ? ib_unpacker_new(source, NULL) : NULL;
    if (!unpacker)
        return -1;
    for (; n == step; total += n) {
        if (total > RAW_MAX)
            return 1;
        if (ib_unpacker_read(unpacker, raw, step, &n, NULL) < 0)
            return -1;
        ib_hasher_update(hasher, raw, n);
    }
    if (ib_unpacker_consumed(unpacker) != size)
        abort(); /* something was not looked at */
    ib_hasher_final(hasher, ret);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ib_sha256 once, again;
    const int r = unpack(data, size, 1 << 20, &once), s = unpack(data, size, 1021, &again);

    if (r != s && r != 1 && s != 1)
        abort();
    if (r == 0 && s == 0 && !ib_sha256_equal(&once, &again))
        abort();
    return 0;
}
