/* SPDX-License-Identifier: Apache-2.0 */
/* lz4 frames (LZ4 Frame Format 1.6) by liblz4, which checks the header's, the blocks' and the
 * content's checksums and the content's size, as far as the frame has them. */
#include <lz4frame.h>

#include "unpacker_internal.h"

static bool begins(const uint8_t *data, size_t size)
{
    return size >= 4 && data[0] == 0x04 && data[1] == 0x22 && data[2] == 0x4d && data[3] == 0x18;
}

static void *new (void)
{
    LZ4F_dctx *dctx = NULL;

    if (LZ4F_isError(LZ4F_createDecompressionContext(&dctx, LZ4F_VERSION)))
        abort(); /* memory */
    return dctx;
}

static void restart(void *state)
{
    LZ4F_resetDecompressionContext(state);
}

static enum ib_unpack_result run(void *state, struct ib_unpack_io *io, struct ib_error **err)
{
    size_t in = io->in_size, out = io->out_size;
    const size_t left = LZ4F_decompress(state, io->out, &out, io->in, &in, NULL);

    if (LZ4F_isError(left)) {
        ib_failf(err, IB_E_INVALID, "damaged lz4 data: %s", LZ4F_getErrorName(left));
        return IB_UNPACK_FAILED;
    }
    ib_unpack_advance(io, in, out);
    return left == 0 ? IB_UNPACK_MEMBER_END : IB_UNPACK_MORE;
}

static void release(void *state)
{
    LZ4F_freeDecompressionContext(state);
}

static uint64_t raw_size(const uint8_t *head, size_t size, struct ib_source *source _unused_)
{
    LZ4F_frameInfo_t info = {0};
    LZ4F_dctx *dctx = new ();
    const size_t r = LZ4F_getFrameInfo(dctx, &info, head, &size);

    release(dctx);
    return LZ4F_isError(r) || info.contentSize == 0 ? IB_SOURCE_SIZE_UNKNOWN : info.contentSize;
}

const struct ib_unpack_format ib_unpack_lz4 = {
    .name = "lz4",
    .begins = begins,
    .skippable = true,
    .new = new,
    .restart = restart,
    .run = run,
    .free = release,
    .raw_size = raw_size,
};
