/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of zeros. The one operation that guarantees them is fallocate(2) with
 * FALLOC_FL_PUNCH_HOLE: a hole in a file; on a disk WRITE ZEROES with leave to unmap, which the
 * kernel refuses where the device cannot do it by itself (blkdev_issue_zeroout,
 * BLKDEV_ZERO_NOFALLBACK). BLKDISCARD promises nothing about what is read afterwards and is never
 * used. And since devices lie, samples are read back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "target_internal.h"

enum {
    PUNCH_PIECE = 256 << 20, /* between two looks at cancel: seconds at worst on a disk */
    WRITE_PIECE = 1 << 20,   /* for slow sticks, below a second */
    SAMPLE_STEP = 16 << 20,  /* one sample in each, and at both ends */
    SAMPLE_SIZE = 4096,
    SAMPLE_ALL_BELOW = 65536, /* not worth a look: a piece that small is cheap to get right */
};

static void free_aligned(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}

static void *new_aligned(size_t size)
{
    void *data = aligned_alloc(SAMPLE_SIZE, size);

    if (!data)
        abort(); /* as ib_malloc does */
    memset(data, 0, size);
    return data;
}

static int write_zeros(struct ib_target *target, uint64_t offset, uint64_t size,
                       struct ib_progress *progress, uint64_t *ret_written, struct ib_error **err)
{
    _cleanup_(free_aligned) void *zeros = new_aligned(WRITE_PIECE);

    while (size > 0) {
        size_t piece = (size_t)IB_MIN(size, (uint64_t)WRITE_PIECE);
        if (ib_progress_check(progress, err) < 0)
            return -1;
        if (ib_target_write(target, zeros, piece, offset) < 0)
            return ib_fail(err, IB_E_IO, errno, target->name, "write zeros to");
        if (ret_written)
            *ret_written += piece;
        offset += piece;
        size -= piece;
    }
    return 0;
}

/* 1: a hole; 0: not, or not possible here; -1: failed. */
static int punch(struct ib_target *target, uint64_t offset, uint64_t size, struct ib_error **err)
{
    for (;;) {
        if (fallocate(target->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                      (off_t)size) == 0)
            return 1;
        if (errno != EINTR)
            break;
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == EREMOTEIO) {
        atomic_store(&target->no_punch, true);
        return 0;
    }
    ib_fail(err, IB_E_IO, errno, target->name, "clear a range of");
    return -1;
}

/* 1: all samples are zeros; 0: one is not; -1: failed. */
static int sample(struct ib_target *target, uint64_t offset, uint64_t size, struct ib_error **err)
{
    _cleanup_(free_aligned) uint8_t *data = new_aligned(SAMPLE_SIZE);
    uint64_t last = size - IB_MIN(size, (uint64_t)SAMPLE_SIZE);
    uint64_t at = 0;

    if (size < SAMPLE_ALL_BELOW)
        return 1;
    for (;;) {
        if (ib_target_read(target, data, SAMPLE_SIZE, offset + at) < 0) {
            ib_fail(err, IB_E_IO, errno, target->name, "read back zeros from");
            return -1;
        }
        if (!ib_is_zero(data, SAMPLE_SIZE))
            return 0;
        if (at == last)
            return 1;
        at = IB_MIN(at + SAMPLE_STEP, last);
    }
}

static int zero_piece(struct ib_target *target, uint64_t offset, uint64_t size,
                      struct ib_progress *progress, uint64_t *ret_written, struct ib_error **err)
{
    if (!atomic_load(&target->no_punch)) {
        int punched = punch(target, offset, size, err);
        int zero = punched == 1 ? sample(target, offset, size, err) : punched;
        if (zero)
            return zero < 0 ? -1 : 0;
        if (punched == 1) {
            atomic_store(&target->no_punch, true);
            ib_progress_note(progress,
                             "%s says that it cleared a range and did not: zeros are "
                             "written instead",
                             target->name);
        }
    }
    return write_zeros(target, offset, size, progress, ret_written, err);
}

int ib_target_zero(struct ib_target *target, uint64_t offset, uint64_t size,
                   struct ib_progress *progress, uint64_t *ret_written, struct ib_error **err)
{
    if (offset > target->size_bytes || size > target->size_bytes - offset ||
        offset % target->logical_block ||
        (size % target->logical_block && offset + size != target->size_bytes))
        return ib_failf(err, IB_E_INTERNAL, "a range to be cleared does not fit '%s'",
                        target->name);
    while (size > 0) {
        uint64_t piece = IB_MIN(size, (uint64_t)PUNCH_PIECE);
        if (ib_progress_check(progress, err) < 0 ||
            zero_piece(target, offset, piece, progress, ret_written, err) < 0)
            return -1;
        offset += piece;
        size -= piece;
    }
    return 0;
}

bool ib_target_zeroes_cheaply(const struct ib_target *target)
{
    return !atomic_load(&target->no_punch);
}
