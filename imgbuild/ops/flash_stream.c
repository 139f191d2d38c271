/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an image of others as it unpacks: data is written, zeros become holes. */
#include <string.h>

#include "flash_internal.h"

#define BUFFER IB_MIB
#define GRAIN (64 * IB_KIB) /* zeros are looked for in pieces of so much */

struct stream {
    struct flash_job *job;
    struct ib_writer *writer;
    uint64_t offset; /* of the next byte of the image */
    uint64_t zeros;  /* where the zeros before it begin; equal: none */
    uint64_t consumed;
    struct flash_bmap check;
};

/* A whole number of blocks of zeros; what does not fill a block is written. */
static int flush_zeros(struct stream *s, struct ib_error **err)
{
    struct flash_job *job = s->job;
    uint64_t block = ib_target_block(job->target), end = s->offset - s->offset % block;
    uint64_t written = 0, size = end - s->zeros;

    if (s->zeros < end) {
        if (ib_target_zero(job->target, s->zeros, size, job->options->progress, &written, err) < 0)
            return -1;
        job->result.written_bytes += written;
        job->result.zeroed_bytes += size - written;
        s->zeros = end;
    }
    if (s->zeros < s->offset) {
        struct ib_writer_piece piece;
        if (ib_writer_reserve(s->writer, s->zeros, (size_t)(s->offset - s->zeros), &piece, err) < 0)
            return -1;
        memset(piece.data, 0, piece.size);
        ib_writer_commit(s->writer, &piece);
        s->zeros = s->offset;
    }
    return 0;
}

static int put_data(struct stream *s, const uint8_t *data, size_t size, struct ib_error **err)
{
    struct ib_writer_piece piece;

    if (flush_zeros(s, err) < 0 || ib_writer_reserve(s->writer, s->offset, size, &piece, err) < 0)
        return -1;
    memcpy(piece.data, data, size);
    ib_writer_commit(s->writer, &piece);
    s->offset += size;
    s->zeros = s->offset;
    return 0;
}

static int put(struct stream *s, const uint8_t *data, size_t size, struct ib_error **err)
{
    uint64_t end = s->job->end;

    if (s->offset + size > end) { /* behind it stands the backup table */
        size_t before = s->offset < end ? (size_t)(end - s->offset) : 0;
        ib_flash_ends_take(s->job, data + before, size - before, s->offset + before);
        size = before;
    }
    while (size > 0) {
        size_t n = IB_MIN(size, GRAIN), data_size = 0;
        if (ib_is_zero(data, n)) {
            s->offset += n;
        } else {
            while (data_size < size &&
                   !ib_is_zero(data + data_size, IB_MIN(size - data_size, GRAIN)))
                data_size += IB_MIN(size - data_size, GRAIN);
            n = data_size;
            if (put_data(s, data, n, err) < 0)
                return -1;
        }
        data += n;
        size -= n;
    }
    return 0;
}

static int too_large(const struct stream *s, struct ib_error **err)
{
    char text[16];

    ib_failf(err, IB_E_NO_SPACE, "'%s' unpacks to more than the %s of '%s'",
             ib_flash_image_name(s->job->image),
             ib_format_size(ib_target_size(s->job->target), text), ib_target_name(s->job->target));
    return ib_hint(err, "choose a larger disk; this one was not made bootable");
}

static int copy(struct stream *s, struct ib_error **err)
{
    struct ib_flash_image *image = s->job->image;
    _cleanup_(ib_freep) uint8_t *buffer = ib_malloc(BUFFER);
    uint64_t total = image->first.size;
    size_t n = BUFFER;

    s->offset = s->zeros = total;
    if (ib_flash_bmap_feed(&s->check, image->first.data, total, err) < 0)
        return -1;
    while (!image->ended && n == BUFFER) {
        if (ib_progress_check(s->job->options->progress, err) < 0 ||
            ib_unpacker_read(image->unpacker, buffer, BUFFER, &n, err) < 0)
            return -1;
        if (n > ib_target_size(s->job->target) - total)
            return too_large(s, err);
        if (ib_flash_bmap_feed(&s->check, buffer, n, err) < 0)
            return -1;
        if (total >= s->job->end)
            ib_flash_ends_take(s->job, buffer, n, total);
        else if (put(s, buffer, n, err) < 0)
            return -1;
        total += n;
        uint64_t consumed = ib_unpacker_consumed(image->unpacker);
        ib_step_advance(s->job->step, consumed - s->consumed);
        s->consumed = consumed;
    }
    if (total < s->job->plan->image_end)
        return ib_flash_cut_off(image, total, err);
    if (ib_flash_bmap_finish(&s->check, err) < 0)
        return -1;
    return flush_zeros(s, err);
}

int ib_flash_write_stream(struct flash_job *job, struct ib_error **err)
{
    struct ib_progress *progress = job->options->progress;
    struct ib_writer_result written;
    _cleanup_(ib_step_failp) struct ib_step *read_step =
        job->read_back ? ib_step_begin(progress, job->step, "read back",
                                       ib_target_name(job->target), 0, IB_UNIT_BYTES)
                       : NULL;
    const struct ib_writer_options options = {
        .read_back = job->read_back,
        .read_trails = !ib_target_is_removable(job->target),
        .progress = progress,
        .read_step = read_step,
    };
    _cleanup_(ib_writer_freep) struct ib_writer *writer = ib_writer_new(job->target, &options, err);
    struct stream s = {.job = job, .writer = writer};

    ib_flash_bmap_begin(&s.check, job->image);
    int r = writer ? copy(&s, err) : -1;
    ib_flash_bmap_end(&s.check);
    if (r < 0 || ib_writer_finish(writer, &written, err) < 0)
        return -1;
    job->result.written_bytes += written.written_bytes;
    job->result.read_back_bytes += written.read_back_bytes;
    ib_step_end(ib_steal(&read_step), IB_STEP_DONE);
    return 0;
}
