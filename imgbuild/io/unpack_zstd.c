/* SPDX-License-Identifier: Apache-2.0 */
/* zstd frames (RFC 8878). */
#include <zstd.h>
#include <zstd_errors.h>

#include "unpacker_internal.h"

/* What the zstd program accepts without --long: a window of 128 MiB. Bounds our memory. */
enum { WINDOW_LOG_MAX = 27 };

static bool begins(const uint8_t *data, size_t size)
{
    return size >= 4 && data[0] == 0x28 && data[1] == 0xb5 && data[2] == 0x2f && data[3] == 0xfd;
}

static void *new (void)
{
    ZSTD_DCtx *dctx = ZSTD_createDCtx();

    if (!dctx)
        abort(); /* memory */
    ZSTD_DCtx_setParameter(dctx, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    return dctx;
}

static void restart(void *state)
{
    ZSTD_DCtx_reset(state, ZSTD_reset_session_only);
}

static enum ib_unpack_result fail(size_t code, struct ib_error **err)
{
    if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge) {
        ib_failf(err, IB_E_UNSUPPORTED, "it was packed with a window of more than 128 MiB");
        ib_hint(err, "pipe it in: zstd -dc --long=31 FILE | imgbuild flash - DEVICE");
    } else {
        ib_failf(err, IB_E_INVALID, "damaged zstd data: %s", ZSTD_getErrorName(code));
    }
    return IB_UNPACK_FAILED;
}

static enum ib_unpack_result run(void *state, struct ib_unpack_io *io, struct ib_error **err)
{
    ZSTD_inBuffer in = {io->in, io->in_size, 0};
    ZSTD_outBuffer out = {io->out, io->out_size, 0};
    const size_t left = ZSTD_decompressStream(state, &out, &in);

    ib_unpack_advance(io, in.pos, out.pos);
    if (ZSTD_isError(left))
        return fail(left, err);
    return left == 0 ? IB_UNPACK_MEMBER_END : IB_UNPACK_MORE;
}

static void release(void *state)
{
    ZSTD_freeDCtx(state);
}

static uint64_t raw_size(const uint8_t *head, size_t size, struct ib_source *source _unused_)
{
    const unsigned long long content = ZSTD_getFrameContentSize(head, size);

    return content == ZSTD_CONTENTSIZE_ERROR || content == ZSTD_CONTENTSIZE_UNKNOWN
               ? IB_SOURCE_SIZE_UNKNOWN
               : content;
}

const struct ib_unpack_format ib_unpack_zstd = {
    .name = "zstd",
    .begins = begins,
    .skippable = true,
    .new = new,
    .restart = restart,
    .run = run,
    .free = release,
    .raw_size = raw_size,
};
