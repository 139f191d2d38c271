/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts a file's range into zeros and chunks, and writes what the pool makes of them. */
#include "image/frames.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "frame_pool.h"
#include "image/bytes.h"
#include "image/chunk.h"

enum { BLOCK = 64 * 1024, WINDOW = 4 * 1024 * 1024 };

/* What has been read and not yet cut: a stretch of data, or behind it a run of zeros. */
struct cutter {
    const struct ib_frames_job *job;
    struct frame_pool *pool;
    struct ib_chunker chunker;
    uint8_t *window;
    size_t start, end; /* of the data in the window */
    uint64_t zeros;    /* read behind the data */
    uint64_t hole_end; /* file offset up to which the file system says there is a hole */
};

static int cut_chunks(struct cutter *c, size_t keep, struct ib_error **err)
{
    while (c->end - c->start > keep) {
        size_t n = ib_chunker_next(&c->chunker, c->window + c->start, c->end - c->start);
        if (ib_frame_pool_add(c->pool, c->window + c->start, n, err) < 0)
            return -1;
        ib_step_advance(c->job->step, n);
        c->start += n;
    }
    return 0;
}

static int flush_data(struct cutter *c, struct ib_error **err)
{
    int r = cut_chunks(c, 0, err);

    c->start = c->end = 0;
    return r;
}

static int flush_zeros(struct cutter *c, struct ib_error **err)
{
    while (c->zeros > 0) {
        size_t n = (size_t)IB_MIN(c->zeros, IB_FRAME_RAW_MAX);
        if (ib_frame_pool_add_zeros(c->pool, n, err) < 0)
            return -1;
        ib_step_advance(c->job->step, n);
        c->zeros -= n;
    }
    return 0;
}

/* True when the file system knows that [offset, offset + size) is a hole: nothing to read. */
static bool in_hole(struct cutter *c, uint64_t offset, size_t size)
{
    if (offset + size <= c->hole_end)
        return true;
    off_t data = lseek(c->job->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO)
        data = (off_t)(c->job->offset + c->job->size); /* a hole to the end */
    if (data < 0) /* the file system does not tell: read everything */
        return false;
    c->hole_end = (uint64_t)data;
    return offset + size <= c->hole_end;
}

/* Reads one block and puts it to the data or the zeros. */
static int take_block(struct cutter *c, uint64_t offset, size_t size, struct ib_error **err)
{
    /* only whole blocks, read or not: the tail of a stretch stays with its data */
    bool zero = size == BLOCK && in_hole(c, offset, size);

    if (c->end + size > WINDOW) {
        memmove(c->window, c->window + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    uint8_t *block = c->window + c->end;
    if (!zero) {
        if (ib_pread_full(c->job->fd, block, size, offset) < 0)
            return ib_fail(err, IB_E_IO, errno, c->job->name, "read");
        zero = size == BLOCK && ib_is_zero(block, size);
    }
    if (zero) {
        c->zeros += size;
        return flush_data(c, err);
    }
    if (flush_zeros(c, err) < 0)
        return -1;
    c->end += size;
    return cut_chunks(c, IB_CHUNK_MAX, err);
}

static int cut_all(struct cutter *c, struct ib_error **err)
{
    uint64_t offset = c->job->offset, left = c->job->size;

    while (left > 0) {
        size_t n = (size_t)IB_MIN(left, (uint64_t)BLOCK);
        if (take_block(c, offset, n, err) < 0)
            return -1;
        offset += n;
        left -= n;
    }
    if (flush_data(c, err) < 0 || flush_zeros(c, err) < 0)
        return -1;
    return ib_frame_pool_finish(c->pool, err);
}

struct output {
    const struct ib_frames_job *job;
    int fd;
    uint64_t offset;
    struct ib_frames frames;
};

/* frame_pool_fn */
static int write_frame(const struct ib_frame *frame, const void *data, void *userdata,
                       struct ib_error **err)
{
    struct output *out = userdata;
    struct ib_frame f = *frame;

    if (out->frames.count == IB_FRAMES_MAX)
        return ib_failf(err, IB_E_INVALID, "'%s' needs more than %d frames", out->job->name,
                        IB_FRAMES_MAX);
    if (data || !out->job->link_reused) {
        int r = data ? ib_write_full(out->fd, data, f.size)
                     : ib_copy_range(ib_frame_store_fd(f.store), f.offset, out->fd, f.size);
        if (r < 0)
            return ib_fail(err, IB_E_IO, errno, out->job->name, "write the frames of");
        f.store = NULL;
        f.offset = out->offset;
        out->offset += f.size;
    }
    ib_frames_add(&out->frames, &f);
    return 0;
}

int ib_frames_make(const struct ib_frames_job *job, int out_fd, struct ib_frames *ret,
                   struct ib_error **err)
{
    struct output out = {.job = job, .fd = out_fd};
    struct cutter cutter = {.job = job};
    _cleanup_(ib_freep) uint8_t *window = ib_malloc(WINDOW);
    _cleanup_(ib_frame_pool_freep) struct frame_pool *pool =
        ib_frame_pool_new(job, write_frame, &out);

    cutter.pool = pool;
    cutter.window = window;
    ib_chunker_init(&cutter.chunker);
    if (cut_all(&cutter, err) < 0) {
        ib_frames_clear(&out.frames);
        return -1;
    }
    *ret = out.frames;
    return 0;
}

struct ib_frame_decoder {
    ZSTD_DCtx *context;
};

struct ib_frame_decoder *ib_frame_decoder_new(void)
{
    struct ib_frame_decoder *decoder = ib_calloc(1, sizeof(*decoder));

    decoder->context = ZSTD_createDCtx();
    if (!decoder->context)
        abort();
    return decoder;
}

struct ib_frame_decoder *ib_frame_decoder_free(struct ib_frame_decoder *decoder)
{
    if (decoder) {
        ZSTD_freeDCtx(decoder->context);
        free(decoder);
    }
    return NULL;
}

void ib_frame_decoder_freep(struct ib_frame_decoder **decoder)
{
    *decoder = ib_frame_decoder_free(*decoder);
}

int ib_frame_decode(struct ib_frame_decoder *decoder, const struct ib_frame *frame,
                    const void *data, void *raw, const char *name, struct ib_error **err)
{
    struct ib_sha256 hash;

    /* no streaming into less: the frame must say its size and hold just that */
    if (ZSTD_getFrameContentSize(data, frame->size) != frame->raw_size ||
        ZSTD_findFrameCompressedSize(data, frame->size) != frame->size)
        return ib_failf(err, IB_E_INVALID, "a frame of '%s' is not the one its index describes",
                        name);
    size_t n = ZSTD_decompressDCtx(decoder->context, raw, frame->raw_size, data, frame->size);
    if (ZSTD_isError(n) || n != frame->raw_size)
        return ib_failf(err, IB_E_INVALID, "a frame of '%s' is damaged: %s", name,
                        ZSTD_isError(n) ? ZSTD_getErrorName(n) : "it is too short");
    ib_sha256(raw, n, &hash);
    if (!ib_sha256_equal(&hash, &frame->sha256))
        return ib_failf(err, IB_E_VERIFY, "a frame of '%s' has the wrong SHA-256", name);
    return 0;
}

int ib_frame_decompress(const struct ib_frame *frame, const void *data, void *raw, const char *name,
                        struct ib_error **err)
{
    _cleanup_(ib_frame_decoder_freep) struct ib_frame_decoder *decoder = ib_frame_decoder_new();

    return ib_frame_decode(decoder, frame, data, raw, name, err);
}
