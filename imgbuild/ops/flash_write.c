/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an image of ours: holes by one thread, and the frames, which the others unpack and check,
 * in the order of the target (flash_internal.h).
 */
#include <pthread.h>
#include <string.h>

#include "base/parallel.h"
#include "flash_internal.h"

#define HOLE_PIECE (256 * IB_MIB) /* zeroed at once: bounds the time until Ctrl-C is heard */

struct writing {
    struct flash_job *job;
    const struct flash_map *map;
    struct ib_writer *writer;
    pthread_mutex_t lock; /* of all below, of reserving, and of a sequential source */
    size_t next;
    bool holes_taken; /* one thread makes the holes first, while the others write */
    bool failed;
};

/* What one thread works with. */
struct hand {
    struct ib_frame_decoder *decoder;
    struct ib_buf packed;
    struct ib_buf raw; /* of a segment that goes beyond job->end */
};

static void hand_clear(struct hand *hand)
{
    ib_frame_decoder_free(hand->decoder);
    ib_buf_clear(&hand->packed);
    ib_buf_clear(&hand->raw);
}

static int zero_holes(struct flash_job *job, const struct flash_map *map, struct ib_error **err)
{
    for (size_t i = 0; i < map->hole_count; i++) {
        const struct flash_hole *hole = &map->holes[i];
        for (uint64_t at = 0; !hole->unchanged && at < hole->size;) {
            uint64_t n = IB_MIN(hole->size - at, HOLE_PIECE), written = 0;
            if (ib_progress_check(job->options->progress, err) < 0 ||
                ib_target_zero(job->target, hole->offset + at, n, job->options->progress, &written,
                               err) < 0)
                return -1;
            job->result.written_bytes += written;
            job->result.zeroed_bytes += n - written;
            at += n;
        }
    }
    return 0;
}

static int read_packed(struct writing *w, const struct flash_segment *segment, struct hand *hand,
                       struct ib_error **err)
{
    const struct ib_manifest_frame *f = segment->frame;

    if (!f)
        return 0;
    hand->packed.size = 0;
    return ib_source_read(w->job->image->source, ib_buf_reserve(&hand->packed, f->size), f->size,
                          f->offset, err);
}

/*
 * The next segment, its packed bytes where the source is sequential, and its place on the target.
 * Pieces must be reserved in order, so all of it is done by one thread at a time. False: none left.
 */
static bool take(struct writing *w, struct hand *hand, const struct flash_segment **ret,
                 struct ib_writer_piece *piece, struct ib_error **err)
{
    const struct flash_map *map = w->map;
    bool taken = false;

    pthread_mutex_lock(&w->lock);
    while (w->next < map->segment_count && map->segments[w->next].unchanged)
        w->next++;
    if (!w->failed && w->next < map->segment_count) {
        const struct flash_segment *segment = &map->segments[w->next++];
        uint64_t end = w->job->end;
        *ret = segment;
        piece->size = 0;
        taken = true;
        if (ib_source_is_sequential(w->job->image->source) &&
            read_packed(w, segment, hand, err) < 0)
            w->failed = true;
        else if (segment->offset < end &&
                 ib_writer_reserve(w->writer, segment->offset,
                                   (size_t)IB_MIN(segment->size, end - segment->offset), piece,
                                   err) < 0)
            w->failed = true;
    }
    taken = taken && !w->failed;
    pthread_mutex_unlock(&w->lock);
    return taken;
}

static int unpack(struct writing *w, const struct flash_segment *segment, struct hand *hand,
                  uint8_t *raw, struct ib_error **err)
{
    const struct ib_manifest_frame *f = segment->frame;

    if (!f) {
        memset(raw, 0, segment->size);
        return 0;
    }
    const struct ib_frame frame = {.raw_size = f->raw_size, .size = f->size, .sha256 = f->sha256};
    return ib_frame_decode(hand->decoder, &frame, hand->packed.data, raw,
                           ib_flash_image_name(w->job->image), err);
}

static int write_segment(struct writing *w, const struct flash_segment *segment, struct hand *hand,
                         const struct ib_writer_piece *piece, struct ib_error **err)
{
    uint8_t *raw = piece->data;

    if (!ib_source_is_sequential(w->job->image->source) && read_packed(w, segment, hand, err) < 0)
        return -1;
    if (piece->size < segment->size) { /* some of it, or all, goes beyond the end */
        hand->raw.size = 0;
        raw = ib_buf_reserve(&hand->raw, segment->size);
    }
    if (unpack(w, segment, hand, raw, err) < 0)
        return -1;
    if (piece->size < segment->size) {
        memcpy(piece->data, raw, piece->size);
        ib_flash_ends_take(w->job, raw + piece->size, segment->size - piece->size,
                           segment->offset + piece->size);
    }
    if (piece->size > 0)
        ib_writer_commit(w->writer, piece);
    return 0;
}

/* True for the one thread that is to make the holes. */
static bool take_holes(struct writing *w)
{
    pthread_mutex_lock(&w->lock);
    bool mine = !w->holes_taken;
    w->holes_taken = true;
    pthread_mutex_unlock(&w->lock);
    return mine;
}

static void fail(struct writing *w)
{
    pthread_mutex_lock(&w->lock);
    w->failed = true;
    pthread_mutex_unlock(&w->lock);
}

/* ib_parallel_fn */
static int write_thread(void *userdata, struct ib_error **err)
{
    struct writing *w = userdata;
    _cleanup_(hand_clear) struct hand hand = {.decoder = ib_frame_decoder_new()};
    const struct flash_segment *segment;
    struct ib_writer_piece piece;
    struct ib_error *error = NULL;

    if (take_holes(w) && zero_holes(w->job, w->map, &error) < 0)
        fail(w);
    while (!error && take(w, &hand, &segment, &piece, &error))
        if (write_segment(w, segment, &hand, &piece, &error) < 0)
            fail(w);
    if (!error)
        return 0;
    if (err)
        *err = error;
    else
        ib_error_free(error);
    return -1;
}

/* Tells a server which frames will be asked for. */
static void plan_source(const struct flash_job *job, const struct flash_map *map)
{
    _cleanup_(ib_freep) struct ib_source_range *ranges =
        ib_calloc(IB_MAX(map->segment_count, (size_t)1), sizeof(*ranges));
    size_t n = 0;

    for (size_t i = 0; i < map->segment_count; i++) {
        const struct flash_segment *segment = &map->segments[i];
        if (!segment->unchanged && segment->frame)
            ranges[n++] = (struct ib_source_range){segment->frame->offset, segment->frame->size};
    }
    ib_source_plan(job->image->source, ranges, n);
}

static uint64_t count_bytes(const struct flash_map *map)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < map->segment_count; i++)
        sum += map->segments[i].unchanged ? 0 : map->segments[i].size;
    return sum;
}

int ib_flash_write_map(struct flash_job *job, const struct flash_map *map, struct ib_error **err)
{
    struct ib_progress *progress = job->options->progress;
    uint64_t bytes = count_bytes(map);
    struct ib_writer_result written;

    /* zeros that are data go first: a disk that has to write them seeks less so */
    bool cheaply = ib_target_zeroes_cheaply(job->target);
    if (!cheaply && zero_holes(job, map, err) < 0)
        return -1;
    plan_source(job, map);
    _cleanup_(ib_step_failp) struct ib_step *write_step = ib_step_begin(
        progress, job->step, "write", ib_target_name(job->target), bytes, IB_UNIT_BYTES);
    _cleanup_(ib_step_failp) struct ib_step *read_step =
        job->read_back ? ib_step_begin(progress, job->step, "read back",
                                       ib_target_name(job->target), bytes, IB_UNIT_BYTES)
                       : NULL;
    const struct ib_writer_options options = {
        .read_back = job->read_back,
        .read_trails = !ib_target_is_removable(job->target),
        .progress = progress,
        .write_step = write_step,
        .read_step = read_step,
    };
    _cleanup_(ib_writer_freep) struct ib_writer *writer = ib_writer_new(job->target, &options, err);
    struct writing w = {
        .job = job, .map = map, .writer = writer, .lock = PTHREAD_MUTEX_INITIALIZER};
    w.holes_taken = !cheaply;
    if (!writer || ib_parallel_run(job->threads + cheaply, write_thread, &w, err) < 0 ||
        ib_writer_finish(writer, &written, err) < 0)
        return -1;
    job->result.written_bytes += written.written_bytes;
    job->result.read_back_bytes += written.read_back_bytes;
    job->result.unchanged_bytes = map->data_bytes - bytes;
    ib_step_end(ib_steal(&write_step), IB_STEP_DONE);
    ib_step_end(ib_steal(&read_step), IB_STEP_DONE);
    return 0;
}
