/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the only place that opens a device for writing.
 *
 * A target is a whole disk, checked and opened exclusively (O_EXCL: the kernel then refuses mounts
 * and other exclusive users, open(2)), or a regular file. Order: ib_disk_look, show the user what
 * would be lost, ask, then ib_target_open_disk, which looks again and compares: names like sdb move
 * when a device is unplugged, so path, device number, diskseq, size, model and serial must still be
 * those that were shown, and every check of io/disk.h must still pass. Nothing is written by
 * opening.
 *
 * Reads and writes beyond the target's size fail with ERANGE and do nothing.
 */
#pragma once

#include "base/progress.h"
#include "io/disk.h"

struct ib_target;

/* `shown` is what the user agreed to. IB_E_REFUSED with the reason and the cure; IB_E_NOT_FOUND
 * when it is gone. A device node that does not exist is never made. */
struct ib_target *ib_target_open_disk(const struct ib_disk *shown,
                                      struct ib_error **err) _must_check_;
/*
 * A regular file: a new one of exactly size_bytes, sparse (IB_E_REFUSED where the name is taken),
 * or with `existing` one that is there, enlarged to size_bytes if shorter. Symbolic links are
 * followed only to regular files; anything below /dev is refused. Locked against a second writer
 * (flock).
 */
struct ib_target *ib_target_open_file(const char *path, uint64_t size_bytes, bool existing,
                                      struct ib_error **err) _must_check_;
struct ib_target *ib_target_free(struct ib_target *target); /* closes; returns NULL */
void ib_target_freep(struct ib_target **target);

const char *ib_target_name(const struct ib_target *target);
uint64_t ib_target_size(const struct ib_target *target);
bool ib_target_is_disk(const struct ib_target *target);
bool ib_target_is_removable(const struct ib_target *target);
/* What offsets, sizes and memory must be multiples of for direct I/O; at least the logical block,
 * at most 4096. I/O that is not (the odd end of an image) goes through the page cache. */
uint32_t ib_target_block(const struct ib_target *target);
uint32_t ib_target_logical_block(const struct ib_target *target);

/* Aligned I/O past the page cache where the target allows it, through it elsewhere (EINVAL on
 * O_DIRECT: said once by ib_target_is_direct). Any thread. 0, or -1 with errno. */
int ib_target_write(struct ib_target *target, const void *data, size_t size,
                    uint64_t offset) _must_check_;
/* Reads from the medium where that can be: directly, or after dropping the cached pages. */
int ib_target_read(struct ib_target *target, void *data, size_t size, uint64_t offset) _must_check_;
bool ib_target_is_direct(const struct ib_target *target);

/*
 * Makes a range read as zeros: discard with zeroing or a hole where the target can, else written
 * zeros; a sample of each big range is read back, and where it is not zeros the range is written.
 * `progress` is asked whether to stop. Block-aligned range. *ret_written (may be NULL) grows by the
 * bytes that had to be written as data.
 */
int ib_target_zero(struct ib_target *target, uint64_t offset, uint64_t size,
                   struct ib_progress *progress, uint64_t *ret_written,
                   struct ib_error **err) _must_check_;
/* Whether ib_target_zero costs no data writes. */
bool ib_target_zeroes_cheaply(const struct ib_target *target);

/* Everything written so far is on the medium, or an error (fsync, and its error). */
int ib_target_sync(struct ib_target *target, struct ib_error **err) _must_check_;

/* After the last write: the kernel reads the partition table again (BLKRRPART, retried while busy)
 * and udev settles (bounded). Nothing for files. */
int ib_target_reread_table(struct ib_target *target, struct ib_error **err) _must_check_;
