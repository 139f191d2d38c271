/* SPDX-License-Identifier: Apache-2.0 */
/* What of an image the target has already: read and hashed, on all threads (flash_internal.h). */
#include <errno.h>
#include <pthread.h>

#include "base/parallel.h"
#include "flash_internal.h"

enum { SAMPLES = 16, MEMORY_ALIGN = 4096 };
#define BATCH (4 * IB_MIB)

/* Claims go through the segments and then through the holes, BATCH bytes at a time. */
struct scan {
    struct flash_job *job;
    struct flash_map *map;
    bool holes;
    pthread_mutex_t lock; /* of all below, and of holes' `unchanged` */
    size_t segment, hole;
    uint64_t hole_at; /* in the hole */
    bool failed;
    struct ib_step *step;
};

struct claim {
    size_t first, count; /* segments */
    size_t hole;
    uint64_t offset, size;
};

static bool claim_segments(struct scan *s, struct claim *c)
{
    const struct flash_map *map = s->map;

    if (s->segment >= map->segment_count)
        return false;
    *c = (struct claim){.first = s->segment, .offset = map->segments[s->segment].offset};
    do {
        c->size += map->segments[s->segment++].size;
        c->count++;
    } while (s->segment < map->segment_count &&
             map->segments[s->segment].offset == c->offset + c->size &&
             c->size + map->segments[s->segment].size <= BATCH);
    return true;
}

static bool claim_hole(struct scan *s, struct claim *c)
{
    while (s->holes && s->hole < s->map->hole_count) {
        const struct flash_hole *hole = &s->map->holes[s->hole];
        if (hole->unchanged && s->hole_at < hole->size) {
            uint64_t n = IB_MIN(hole->size - s->hole_at, BATCH);
            *c = (struct claim){.hole = s->hole, .offset = hole->offset + s->hole_at, .size = n};
            s->hole_at += n;
            return true;
        }
        s->hole++;
        s->hole_at = 0;
    }
    return false;
}

static bool claim(struct scan *s, struct claim *c)
{
    pthread_mutex_lock(&s->lock);
    bool r = !s->failed && (claim_segments(s, c) || claim_hole(s, c));
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Reads the target's blocks around a range into `buffer`; returns where the range begins in it. */
static const uint8_t *read_around(struct ib_target *target, uint64_t offset, uint64_t size,
                                  uint8_t *buffer, struct ib_error **err)
{
    uint64_t block = ib_target_block(target), begin = offset - offset % block;
    uint64_t end = IB_MIN(ib_round_up(offset + size, block), ib_target_size(target));

    if (ib_target_read(target, buffer, (size_t)(end - begin), begin) < 0) {
        ib_fail(err, IB_E_IO, errno, ib_target_name(target), "read");
        return NULL;
    }
    return buffer + (offset - begin);
}

static bool segment_is(const struct flash_segment *segment, const uint8_t *data)
{
    struct ib_sha256 hash;

    if (!segment->frame)
        return ib_is_zero(data, segment->size);
    ib_sha256(data, segment->size, &hash);
    return ib_sha256_equal(&hash, &segment->frame->sha256);
}

static int scan_claim(struct scan *s, const struct claim *c, uint8_t *buffer, struct ib_error **err)
{
    if (ib_progress_check(s->job->options->progress, err) < 0)
        return -1;
    const uint8_t *data = read_around(s->job->target, c->offset, c->size, buffer, err);
    if (!data)
        return -1;
    if (c->count == 0 && !ib_is_zero(data, (size_t)c->size)) {
        pthread_mutex_lock(&s->lock);
        s->map->holes[c->hole].unchanged = false;
        pthread_mutex_unlock(&s->lock);
    }
    for (size_t i = 0; i < c->count; i++) {
        struct flash_segment *segment = &s->map->segments[c->first + i];
        segment->unchanged = segment_is(segment, data + (segment->offset - c->offset));
    }
    ib_step_advance(s->step, c->size);
    return 0;
}

static uint8_t *scan_buffer(void)
{
    uint8_t *buffer = aligned_alloc(MEMORY_ALIGN, BATCH + 2 * MEMORY_ALIGN);

    if (!buffer)
        abort();
    return buffer;
}

/* ib_parallel_fn */
static int scan_thread(void *userdata, struct ib_error **err)
{
    struct scan *s = userdata;
    _cleanup_(ib_freep) uint8_t *buffer = scan_buffer();
    struct claim c;

    while (claim(s, &c))
        if (scan_claim(s, &c, buffer, err) < 0) {
            pthread_mutex_lock(&s->lock);
            s->failed = true;
            pthread_mutex_unlock(&s->lock);
            return -1;
        }
    return 0;
}

int ib_flash_scan(struct flash_job *job, struct flash_map *map, struct ib_error **err)
{
    struct scan s = {.job = job, .map = map, .lock = PTHREAD_MUTEX_INITIALIZER};

    /* where zeros cost no writes, making them again is cheaper than reading them */
    s.holes = !ib_target_zeroes_cheaply(job->target);
    for (size_t i = 0; s.holes && i < map->hole_count; i++)
        map->holes[i].unchanged = true;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(job->options->progress, job->step, "compare", ib_target_name(job->target),
                      map->data_bytes + (s.holes ? map->hole_bytes : 0), IB_UNIT_BYTES);
    s.step = step;
    if (ib_parallel_run(job->threads, scan_thread, &s, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

/* The first two are among the samples: an interrupted run has written these at least. */
int ib_flash_scan_samples(const struct flash_job *job, const struct flash_map *map, bool *ret,
                          struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *buffer = scan_buffer();
    size_t n = map->segment_count;

    *ret = false;
    for (size_t i = 0; i < SAMPLES && i < n && !*ret; i++) {
        const struct flash_segment *segment =
            &map->segments[i < 2 ? i : (size_t)((n - 1) * (uint64_t)(i - 1) / (SAMPLES - 2))];
        if (!segment->frame || segment->offset < IB_FLASH_HEAD)
            continue;
        const uint8_t *data = read_around(job->target, segment->offset, segment->size, buffer, err);
        if (!data)
            return -1;
        *ret = segment_is(segment, data);
    }
    return 0;
}
