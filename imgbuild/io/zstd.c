/* SPDX-License-Identifier: Apache-2.0 */
#include "io/zstd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "io/unpacker.h"
#include "source_internal.h"

enum { HOLE_SIZE = 64 * 1024, OUT_SIZE = 4 << 20 };

/* Writes what is not zero, block by block; the file's end is set by the caller. */
static int write_sparse(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        size_t n = IB_MIN(size, HOLE_SIZE - (size_t)(offset % HOLE_SIZE));
        if (!ib_is_zero(data, n) && ib_pwrite_full(fd, data, n, offset) < 0)
            return -1;
        data += n;
        offset += n;
        size -= n;
    }
    return 0;
}

/* All of it, in steps; *ret_size is how much that was. */
static int unpack(struct ib_unpacker *unpacker, int out_fd, uint64_t max_size,
                  struct ib_progress *progress, struct ib_step *step, uint64_t *ret_size,
                  struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *out = ib_malloc(OUT_SIZE);
    uint64_t written = 0, consumed = 0;
    size_t n = OUT_SIZE;

    while (n == OUT_SIZE) {
        if (ib_progress_check(progress, err) < 0 ||
            ib_unpacker_read(unpacker, out, OUT_SIZE, &n, err) < 0)
            return -1;
        if (n > max_size - written)
            return ib_failf(err, IB_E_INVALID, "unpacks to more than %llu bytes",
                            (unsigned long long)max_size);
        if (write_sparse(out_fd, out, n, written) < 0)
            return ib_fail(err, IB_E_IO, errno, NULL, "write the unpacked data");
        written += n;
        ib_step_advance(step, ib_unpacker_consumed(unpacker) - consumed);
        consumed = ib_unpacker_consumed(unpacker);
    }
    *ret_size = written;
    return 0;
}

int ib_zstd_unpack(int in_fd, int out_fd, uint64_t max_size_bytes, struct ib_progress *progress,
                   struct ib_step *step, uint64_t *ret_size_bytes, struct ib_error **err)
{
    _cleanup_(ib_source_freep) struct ib_source *source =
        ib_source_file_new(in_fd, "the packed file", true, progress, err);
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker =
        source ? ib_unpacker_new(source, err) : NULL;
    uint64_t size = 0;

    if (!unpacker)
        return -1;
    if (!ib_streq(ib_unpacker_format(unpacker), "zstd"))
        return ib_failf(err, IB_E_INVALID, "it is not packed by zstd");
    if (unpack(unpacker, out_fd, max_size_bytes, progress, step, &size, err) < 0)
        return -1;
    if (ftruncate(out_fd, (off_t)size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "set the size of the unpacked file");
    *ret_size_bytes = size;
    return 0;
}
