/* SPDX-License-Identifier: Apache-2.0 */
/* The order of things when an image is written (ops/flash.h). */
#include "flash_internal.h"

enum { THREADS_MAX = 8 };

static void job_clear(struct flash_job *job)
{
    ib_buf_clear(&job->first);
    ib_buf_clear(&job->last);
}

/* What making the target unbootable overwrites must be written again. */
static void mark_disarmed(struct flash_job *job, struct flash_map *map)
{
    uint64_t size = ib_target_size(job->target);
    uint64_t tail = size > IB_GPT_TAIL_SIZE ? IB_MIN(job->end, size - IB_GPT_TAIL_SIZE) : 0;

    for (size_t i = 0; i < map->segment_count; i++) {
        struct flash_segment *segment = &map->segments[i];
        if (segment->offset < IB_FLASH_HEAD || segment->offset + segment->size > tail)
            segment->unchanged = false;
    }
}

static bool all_unchanged(const struct flash_map *map, bool zeroes_cheaply)
{
    for (size_t i = 0; i < map->segment_count; i++)
        if (!map->segments[i].unchanged)
            return false;
    for (size_t i = 0; i < map->hole_count; i++)
        if (!map->holes[i].unchanged && !zeroes_cheaply)
            return false;
    return true;
}

/* Compares where that is wanted. *ret_done: the target holds the image already. */
static int compare(struct flash_job *job, struct flash_map *map, bool *ret_done,
                   struct ib_error **err)
{
    enum ib_flash_choice choice = job->options->delta;
    bool delta = choice == IB_FLASH_ALWAYS;

    *ret_done = false;
    if (choice == IB_FLASH_AUTO && ib_flash_scan_samples(job, map, &delta, err) < 0)
        return -1;
    if (!delta)
        return 0;
    job->result.delta = true;
    if (ib_flash_scan(job, map, err) < 0)
        return -1;
    if (all_unchanged(map, ib_target_zeroes_cheaply(job->target)))
        return ib_flash_ends_same(job, ret_done, err);
    return 0;
}

static int flash_ours(struct flash_job *job, struct flash_map *map, bool *ret_done,
                      struct ib_error **err)
{
    if (ib_flash_map_make(job, map, err) < 0 || compare(job, map, ret_done, err) < 0)
        return -1;
    if (*ret_done) {
        job->result.unchanged_bytes = map->data_bytes;
        return 0;
    }
    if (ib_flash_ends_disarm(job, err) < 0)
        return -1;
    mark_disarmed(job, map);
    return ib_flash_write_map(job, map, err);
}

/* Whoever pipes an image into us may be told that its reader went away; reading to the end costs
 * nothing. */
static int drain(struct ib_source *source, uint64_t offset, struct ib_error **err)
{
    uint8_t rest[4096];
    size_t n;

    if (!ib_source_is_sequential(source) || ib_source_size(source) != IB_SOURCE_SIZE_UNKNOWN)
        return 0;
    do {
        if (ib_source_read_some(source, rest, sizeof(rest), offset, &n, err) < 0)
            return -1;
        offset += n;
    } while (n > 0);
    return 0;
}

static int flash(struct flash_job *job, struct ib_error **err)
{
    _cleanup_(ib_flash_map_clear) struct flash_map map = {0};
    struct ib_flash_image *image = job->image;
    bool done = false;

    if (ib_flash_ends_prepare(job, err) < 0)
        return -1;
    int r = image->ours                          ? flash_ours(job, &map, &done, err)
            : ib_flash_ends_disarm(job, err) < 0 ? -1
                                                 : ib_flash_write_stream(job, err);
    if (r < 0)
        return -1;
    if (image->ours && drain(image->source, image->head.frames_end, err) < 0)
        return -1;
    if (done)
        return 0;
    if (ib_flash_ends_write(job, err) < 0)
        return -1;
    return ib_target_reread_table(job->target, err);
}

int ib_flash_run(struct ib_flash_image *image, const struct ib_flash_plan *plan,
                 struct ib_target *target, const struct ib_flash_options *options,
                 struct ib_flash_result *ret, struct ib_error **err)
{
    unsigned threads = options->threads ? options->threads : ib_cpu_count();
    uint64_t size = ib_source_size(image->source);
    bool counts = !image->ours && size != IB_SOURCE_SIZE_UNKNOWN; /* else its parts do */
    const char *name = ib_flash_image_name(image);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(options->progress, NULL, "flash", ib_target_name(target), counts ? size : 0,
                      counts ? IB_UNIT_BYTES : IB_UNIT_NONE);
    _cleanup_(job_clear) struct flash_job job = {
        .image = image,
        .plan = plan,
        .target = target,
        .options = options,
        .threads = IB_MIN(threads, (unsigned)THREADS_MAX),
        .read_back = options->read_back == IB_FLASH_ALWAYS ||
                     (options->read_back == IB_FLASH_AUTO && ib_target_is_removable(target)),
        .step = step,
    };

    if (plan->target_size != ib_target_size(target))
        return ib_failf(err, IB_E_INTERNAL, "the plan for '%s' was made for another size",
                        ib_target_name(target));
    if (flash(&job, err) < 0)
        return ib_wrapf(err, "cannot flash '%s' to '%s'", name, ib_target_name(target));
    *ret = job.result;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
