/* SPDX-License-Identifier: Apache-2.0 */
/* bzip2 streams by libbz2, which checks each block's and the whole stream's CRC. */
#include <bzlib.h>
#include <string.h>

#include "unpacker_internal.h"

struct bzip2 {
    bz_stream stream;
    bool open;
};

/* The magic number and the level, then that of a block or of the end of an empty stream. */
static bool begins(const uint8_t *data, size_t size)
{
    return size >= 10 && memcmp(data, "BZh", 3) == 0 && data[3] >= '1' && data[3] <= '9' &&
           (memcmp(data + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0 ||
            memcmp(data + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0);
}

static void *new (void)
{
    return ib_calloc(1, sizeof(struct bzip2));
}

static void restart(void *state)
{
    struct bzip2 *bzip2 = state;

    if (bzip2->open)
        BZ2_bzDecompressEnd(&bzip2->stream);
    memset(&bzip2->stream, 0, sizeof(bzip2->stream));
    if (BZ2_bzDecompressInit(&bzip2->stream, 0, 0) != BZ_OK)
        abort(); /* memory */
    bzip2->open = true;
}

static enum ib_unpack_result run(void *state, struct ib_unpack_io *io, struct ib_error **err)
{
    bz_stream *stream = &((struct bzip2 *)state)->stream;
    const unsigned in = (unsigned)IB_MIN(io->in_size, (size_t)1 << 30);
    const unsigned out = (unsigned)IB_MIN(io->out_size, (size_t)1 << 30);

    stream->next_in = (char *)(uintptr_t)io->in; /* not written to */
    stream->avail_in = in;
    stream->next_out = (char *)io->out;
    stream->avail_out = out;
    const int r = BZ2_bzDecompress(stream);
    ib_unpack_advance(io, in - stream->avail_in, out - stream->avail_out);
    if (r == BZ_MEM_ERROR)
        abort();
    if (r == BZ_STREAM_END)
        return IB_UNPACK_MEMBER_END;
    if (r == BZ_OK)
        return IB_UNPACK_MORE;
    ib_failf(err, IB_E_INVALID, "damaged bzip2 data: %s",
             r == BZ_DATA_ERROR ? "wrong checksum or structure" : "wrong magic number");
    return IB_UNPACK_FAILED;
}

static void release(void *state)
{
    struct bzip2 *bzip2 = state;

    if (bzip2->open)
        BZ2_bzDecompressEnd(&bzip2->stream);
    free(bzip2);
}

static uint64_t raw_size(const uint8_t *head _unused_, size_t size _unused_,
                         struct ib_source *source _unused_)
{
    return IB_SOURCE_SIZE_UNKNOWN; /* the format does not have it */
}

const struct ib_unpack_format ib_unpack_bzip2 = {
    .name = "bzip2",
    .begins = begins,
    .new = new,
    .restart = restart,
    .run = run,
    .free = release,
    .raw_size = raw_size,
};
