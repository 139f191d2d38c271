/* SPDX-License-Identifier: Apache-2.0 */
/* An image of ours as pieces to write and holes to make (flash_internal.h). */
#include "flash_internal.h"

/* Frames of data are cut at 1 MiB (image/chunk.h); memory is planned for that. */
#define DATA_FRAME_MAX IB_MIB

struct mapper {
    const struct flash_job *job;
    const char *name;
    struct flash_map map;
    size_t capacity, hole_capacity;
    uint64_t zeros_begin, zeros_end; /* zeros not in the map yet; equal: none */
    uint32_t checked_size;           /* of the frame of zeros whose hash is … */
    struct ib_sha256 checked;
};

static void add_segment(struct mapper *m, uint64_t offset, uint32_t size,
                        const struct ib_manifest_frame *frame)
{
    if (m->map.segment_count == m->capacity) {
        m->capacity = m->capacity ? 2 * m->capacity : 1024;
        m->map.segments = ib_reallocarray(m->map.segments, m->capacity, sizeof(*m->map.segments));
    }
    m->map.segments[m->map.segment_count++] =
        (struct flash_segment){.offset = offset, .frame = frame, .size = size};
    m->map.data_bytes += size;
}

static void add_hole(struct mapper *m, uint64_t offset, uint64_t size)
{
    if (m->map.hole_count == m->hole_capacity) {
        m->hole_capacity = m->hole_capacity ? 2 * m->hole_capacity : 64;
        m->map.holes = ib_reallocarray(m->map.holes, m->hole_capacity, sizeof(*m->map.holes));
    }
    m->map.holes[m->map.hole_count++] = (struct flash_hole){.offset = offset, .size = size};
    m->map.hole_bytes += size;
}

/* Zeros as far as they fill whole blocks are a hole; the rest is written. */
static void flush_zeros(struct mapper *m)
{
    uint64_t block = ib_target_block(m->job->target);
    uint64_t begin = m->zeros_begin, end = IB_MIN(m->zeros_end, m->job->end);

    if (begin < end) {
        uint64_t first = ib_round_up(begin, block), last = end - end % block;
        if (first < last) {
            if (begin < first)
                add_segment(m, begin, (uint32_t)(first - begin), NULL);
            add_hole(m, first, last - first);
            begin = last;
        }
        if (begin < end) /* less than two blocks */
            add_segment(m, begin, (uint32_t)(end - begin), NULL);
    }
    m->zeros_begin = m->zeros_end = 0;
}

static int check_zeros(struct mapper *m, const struct ib_manifest_frame *f, struct ib_error **err)
{
    if (m->checked_size != f->raw_size) {
        _cleanup_(ib_freep) uint8_t *zeros = ib_calloc(1, f->raw_size);
        ib_sha256(zeros, f->raw_size, &m->checked);
        m->checked_size = f->raw_size;
    }
    if (ib_sha256_equal(&m->checked, &f->sha256))
        return 0;
    return ib_failf(err, IB_E_INVALID, "'%s' is damaged: a frame that should be zeros is not",
                    m->name);
}

static int add_frame(struct mapper *m, const struct ib_manifest_frame *f, struct ib_error **err)
{
    if (f->zero) {
        if (check_zeros(m, f, err) < 0)
            return -1;
        if (m->zeros_begin == m->zeros_end)
            m->zeros_begin = f->raw_offset;
        m->zeros_end = f->raw_offset + f->raw_size;
        return 0;
    }
    flush_zeros(m);
    if (f->raw_size > DATA_FRAME_MAX)
        return ib_failf(err, IB_E_INVALID, "'%s' has a frame of %u bytes, more than frames have",
                        m->name, (unsigned)f->raw_size);
    /* where the table moves, what lies behind `end` is of no use */
    if (!m->job->plan->moves_table || f->raw_offset < m->job->end)
        add_segment(m, f->raw_offset, f->raw_size, f);
    return 0;
}

int ib_flash_map_make(const struct flash_job *job, struct flash_map *ret, struct ib_error **err)
{
    const struct ib_manifest *manifest = job->image->head.manifest;
    struct mapper m = {.job = job, .name = ib_flash_image_name(job->image)};

    for (size_t i = 1; i < manifest->frame_count; i++)
        if (add_frame(&m, &manifest->frames[i], err) < 0) {
            ib_flash_map_clear(&m.map);
            return -1;
        }
    flush_zeros(&m);
    *ret = m.map;
    return 0;
}

void ib_flash_map_clear(struct flash_map *map)
{
    free(map->segments);
    free(map->holes);
    *map = (struct flash_map){0};
}
