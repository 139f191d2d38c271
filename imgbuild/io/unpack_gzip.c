/* SPDX-License-Identifier: Apache-2.0 */
/* gzip members (RFC 1952) by zlib, which checks the header's and the content's CRC and the size. */
#include <zlib.h>

#include "unpacker_internal.h"

static bool begins(const uint8_t *data, size_t size)
{
    return size >= 3 && data[0] == 0x1f && data[1] == 0x8b && data[2] == 8; /* 8: deflate */
}

static void *new (void)
{
    z_stream *stream = ib_calloc(1, sizeof(*stream));

    if (inflateInit2(stream, 16 + MAX_WBITS) != Z_OK) /* 16: gzip and nothing else */
        abort();                                      /* memory */
    return stream;
}

static void restart(void *state)
{
    inflateReset(state);
}

static enum ib_unpack_result run(void *state, struct ib_unpack_io *io, struct ib_error **err)
{
    z_stream *stream = state;
    const uInt in = (uInt)IB_MIN(io->in_size, (size_t)1 << 30);
    const uInt out = (uInt)IB_MIN(io->out_size, (size_t)1 << 30);

    stream->next_in = (Bytef *)(uintptr_t)io->in; /* not written to */
    stream->avail_in = in;
    stream->next_out = io->out;
    stream->avail_out = out;
    const int r = inflate(stream, Z_NO_FLUSH);
    ib_unpack_advance(io, in - stream->avail_in, out - stream->avail_out);
    if (r == Z_STREAM_END)
        return IB_UNPACK_MEMBER_END;
    if (r == Z_OK || r == Z_BUF_ERROR) /* the latter: it needs more of one of them */
        return IB_UNPACK_MORE;
    ib_failf(err, IB_E_INVALID, "damaged gzip data: %s",
             stream->msg ? stream->msg : "wrong structure");
    return IB_UNPACK_FAILED;
}

static void release(void *state)
{
    inflateEnd(state);
    free(state);
}

/* The size at a member's end is modulo 4 GiB, and there may be several members. */
static uint64_t raw_size(const uint8_t *head _unused_, size_t size _unused_,
                         struct ib_source *source _unused_)
{
    return IB_SOURCE_SIZE_UNKNOWN;
}

const struct ib_unpack_format ib_unpack_gzip = {
    .name = "gzip",
    .begins = begins,
    .new = new,
    .restart = restart,
    .run = run,
    .free = release,
    .raw_size = raw_size,
};
