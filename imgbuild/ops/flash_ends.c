/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ends of a target: boot code and partition tables, which decide whether it boots. They are
 * made harmless before the first write and are the last to be written (flash_internal.h).
 */
#include <errno.h>
#include <string.h>

#include "flash_internal.h"

enum { MEMORY_ALIGN = 4096 };

/* Where a backup table stands on this target; 0: the target is too small for one. */
static uint64_t tail_offset(const struct flash_job *job)
{
    uint64_t size = ib_target_size(job->target);

    return size > IB_GPT_FIT_HEAD + IB_GPT_TAIL_SIZE ? size - IB_GPT_TAIL_SIZE : 0;
}

static uint64_t last_offset(const struct flash_job *job)
{
    return ib_target_size(job->target) - job->last.size;
}

int ib_flash_ends_prepare(struct flash_job *job, struct ib_error **err)
{
    const struct ib_buf *first = ib_flash_image_first(job->image);
    const struct ib_flash_plan *plan = job->plan;
    uint64_t size = ib_target_size(job->target);
    unsigned sector = ib_gpt_find(first->data, first->size);

    ib_buf_append(&job->first, first->data, first->size);
    job->end = UINT64_MAX;
    if (plan->moves_table) {
        _cleanup_(ib_buf_clear) struct ib_buf head = {0};
        const struct ib_gpt_fit fit = {
            .head = first->data,
            .name = ib_flash_image_name(job->image),
            .disk_size_bytes = size,
            .kept = plan->kept,
            .kept_count = plan->kept_count,
        };
        if (first->size < IB_GPT_FIT_HEAD)
            return ib_failf(err, IB_E_INVALID, "the first frame of '%s' is shorter than its table",
                            fit.name);
        if (ib_gpt_fit(&fit, &head, &job->last, err) < 0)
            return -1;
        memcpy(job->first.data, head.data, head.size);
        job->end = size - IB_GPT_TAIL_SIZE;
        if (plan->kept_count > 0)
            job->end = IB_MIN(job->end, plan->image_end);
    } else if (sector == IB_GPT_SECTOR_SIZE && tail_offset(job) > 0) {
        ib_buf_append_zeros(&job->last, IB_GPT_TAIL_SIZE);
        job->end = size - IB_GPT_TAIL_SIZE;
    }
    return 0;
}

void ib_flash_ends_take(struct flash_job *job, const void *data, size_t size, uint64_t offset)
{
    uint64_t begin = last_offset(job);

    if (job->plan->moves_table || offset < begin || offset - begin >= job->last.size)
        return;
    uint64_t at = offset - begin;
    memcpy(job->last.data + at, data, IB_MIN(size, job->last.size - at));
}

static uint8_t *aligned_buffer(size_t size)
{
    uint8_t *buffer =
        aligned_alloc(MEMORY_ALIGN, ib_round_up(IB_MAX(size, (size_t)1), MEMORY_ALIGN));

    if (!buffer)
        abort();
    return buffer;
}

static int write_end(struct flash_job *job, const void *data, size_t size, uint64_t offset,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *buffer = aligned_buffer(size);

    if (size == 0)
        return 0;
    memcpy(buffer, data, size);
    if (ib_target_write(job->target, buffer, size, offset) < 0)
        return ib_fail(err, IB_E_IO, errno, ib_target_name(job->target), "write to");
    job->result.written_bytes += size;
    return ib_target_sync(job->target, err);
}

static int end_is(const struct flash_job *job, const struct ib_buf *wanted, uint64_t offset,
                  bool *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *buffer = aligned_buffer(wanted->size);

    if (ib_target_read(job->target, buffer, wanted->size, offset) < 0)
        return ib_fail(err, IB_E_IO, errno, ib_target_name(job->target), "read");
    *ret = memcmp(buffer, wanted->data, wanted->size) == 0;
    return 0;
}

/* A backup table that stays where the image has it was compared with the image's other frames. */
int ib_flash_ends_same(const struct flash_job *job, bool *ret, struct ib_error **err)
{
    if (end_is(job, &job->first, 0, ret, err) < 0)
        return -1;
    if (!*ret || !job->plan->moves_table)
        return 0;
    return end_is(job, &job->last, last_offset(job), ret, err);
}

/* While it is written, the disk shows the kept partitions and nothing else: what was kept can be
 * found again whatever happens, and nothing boots. The backup goes first, so that at every instant
 * one of the two tables is whole. */
static int show_only_kept(struct flash_job *job, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf head = {0}, tail = {0};
    const struct ib_gpt_fit fit = {
        .name = ib_target_name(job->target),
        .disk = job->plan->old_disk,
        .disk_size_bytes = ib_target_size(job->target),
        .kept = job->plan->kept,
        .kept_count = job->plan->kept_count,
    };

    if (ib_gpt_fit(&fit, &head, &tail, err) < 0 ||
        write_end(job, tail.data, tail.size, fit.disk_size_bytes - tail.size, err) < 0)
        return -1;
    ib_buf_append_zeros(&head, IB_FLASH_HEAD - head.size);
    return write_end(job, head.data, head.size, 0, err);
}

int ib_flash_ends_disarm(struct flash_job *job, struct ib_error **err)
{
    static const uint8_t zeros[IB_FLASH_HEAD];
    uint64_t size = ib_target_size(job->target), tail = tail_offset(job);

    if (job->plan->kept_count > 0)
        return show_only_kept(job, err);
    /* a backup table is as good as the first: firmware and kernels put it back */
    if (write_end(job, zeros, (size_t)IB_MIN(size, IB_FLASH_HEAD), 0, err) < 0)
        return -1;
    return tail > 0 ? write_end(job, zeros, IB_GPT_TAIL_SIZE, tail, err) : 0;
}

static int check_end(struct flash_job *job, const struct ib_buf *wanted, uint64_t offset,
                     struct ib_error **err)
{
    bool same;

    if (end_is(job, wanted, offset, &same, err) < 0)
        return -1;
    job->result.read_back_bytes += wanted->size;
    if (same)
        return 0;
    ib_failf(err, IB_E_VERIFY, "'%s' does not give back the partition table written to it",
             ib_target_name(job->target));
    return ib_hint(err, "the medium is worn out or not of the size it claims: use another");
}

int ib_flash_ends_write(struct flash_job *job, struct ib_error **err)
{
    if (write_end(job, job->last.data, job->last.size, last_offset(job), err) < 0 ||
        write_end(job, job->first.data, job->first.size, 0, err) < 0)
        return -1;
    if (!job->read_back)
        return 0;
    if (check_end(job, &job->first, 0, err) < 0)
        return -1;
    return job->last.size > 0 ? check_end(job, &job->last, last_offset(job), err) : 0;
}
