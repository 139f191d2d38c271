/* SPDX-License-Identifier: Apache-2.0 */
#include "io/zstd.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"

enum { HOLE_SIZE = 64 * 1024 };

struct unpacker {
    ZSTD_DCtx *dctx;
    uint8_t *in, *out;
    size_t in_size, out_size;
    uint64_t written;
};

static void unpacker_clear(struct unpacker *u)
{
    ZSTD_freeDCtx(u->dctx);
    free(u->in);
    free(u->out);
}

static bool is_zero(const uint8_t *p, size_t size)
{
    return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

/* Writes what is not zero, block by block; the file's end is set by the caller. */
static int write_sparse(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        size_t n = IB_MIN(size, HOLE_SIZE - (size_t)(offset % HOLE_SIZE));
        if (!is_zero(data, n) && ib_pwrite_full(fd, data, n, offset) < 0)
            return -1;
        data += n;
        offset += n;
        size -= n;
    }
    return 0;
}

/* Feeds one piece of input; *ret_open tells whether a frame is still unfinished. */
static int feed(struct unpacker *u, size_t size, int out_fd, uint64_t max_size, bool *ret_open,
                struct ib_error **err)
{
    ZSTD_inBuffer in = {u->in, size, 0};
    bool more = true;

    while (in.pos < in.size || more) {
        ZSTD_outBuffer out = {u->out, u->out_size, 0};
        size_t r = ZSTD_decompressStream(u->dctx, &out, &in);
        if (ZSTD_isError(r))
            return ib_failf(err, IB_E_INVALID, "damaged zstd stream: %s", ZSTD_getErrorName(r));
        *ret_open = r != 0;
        more = out.pos == out.size;
        if (u->written + out.pos > max_size)
            return ib_failf(err, IB_E_INVALID, "unpacks to more than %llu bytes",
                            (unsigned long long)max_size);
        if (write_sparse(out_fd, u->out, out.pos, u->written) < 0)
            return ib_fail(err, IB_E_IO, errno, NULL, "write the unpacked data");
        u->written += out.pos;
    }
    return 0;
}

int ib_zstd_unpack(int in_fd, int out_fd, uint64_t max_size_bytes, struct ib_progress *progress,
                   struct ib_step *step, uint64_t *ret_size_bytes, struct ib_error **err)
{
    _cleanup_(unpacker_clear) struct unpacker u = {
        .dctx = ZSTD_createDCtx(),
        .in_size = 1 << 20,
        .out_size = 4 << 20,
    };
    bool open = false;

    u.in = ib_malloc(u.in_size);
    u.out = ib_malloc(u.out_size);
    for (;;) {
        ssize_t n = read(in_fd, u.in, u.in_size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ib_fail(err, IB_E_IO, errno, NULL, "read the compressed data");
        if (n == 0)
            break;
        if (ib_progress_check(progress, err) < 0 ||
            feed(&u, (size_t)n, out_fd, max_size_bytes, &open, err) < 0)
            return -1;
        ib_step_advance(step, (uint64_t)n);
    }
    if (open)
        return ib_failf(err, IB_E_INVALID, "the zstd stream ends in the middle of a frame");
    if (ftruncate(out_fd, (off_t)u.written) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "set the size of the unpacked file");
    *ret_size_bytes = u.written;
    return 0;
}
