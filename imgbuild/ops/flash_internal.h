/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `flash` share (ops/flash.h). */
#pragma once

#include "image/artifact_head.h"
#include "image/bmap_read.h"
#include "io/unpacker.h"
#include "io/writer.h"
#include "ops/flash.h"

/* The first bytes of a target that are zeroed at the start, and those of a foreign image that are
 * held back to the end: boot code and partition tables of any sector size. */
#define IB_FLASH_HEAD IB_MIB

struct ib_flash_image {
    struct ib_source *source;
    bool ours;
    struct ib_artifact_head head; /* of ours */
    struct ib_unpacker *unpacker; /* of others; it stands behind `first` */
    struct ib_buf first;          /* of others: the first IB_FLASH_HEAD bytes */
    bool ended;                   /* of others: `first` is all */
    bool has_bmap;                /* of others, if they have one */
    struct ib_bmap bmap;
};

/* The first bytes of the unpacked image: what frame 0 holds, or IB_FLASH_HEAD. Borrowed. */
const struct ib_buf *ib_flash_image_first(const struct ib_flash_image *image);

/* The size that the source itself tells, without a block map's word; or IB_SOURCE_SIZE_UNKNOWN. */
uint64_t ib_flash_image_raw_size(const struct ib_flash_image *image);

/* An image that is compared with its block map's checksums as it is read, if it has one. */
struct flash_bmap {
    const char *name;
    const struct ib_bmap *bmap; /* NULL: none */
    struct ib_bmap_hasher *hasher;
    uint64_t offset; /* what was fed */
    size_t next;     /* the range that is not complete */
};
void ib_flash_bmap_begin(struct flash_bmap *check, const struct ib_flash_image *image);
void ib_flash_bmap_end(struct flash_bmap *check);
/* The image's next bytes. IB_E_VERIFY where a range ends in them whose checksum is another. */
int ib_flash_bmap_feed(struct flash_bmap *check, const uint8_t *data, uint64_t size,
                       struct ib_error **err) _must_check_;
/* The image has ended: IB_E_INVALID where the map is of another length. */
int ib_flash_bmap_finish(const struct flash_bmap *check, struct ib_error **err) _must_check_;

/* A piece of an image of ours: a frame, or the rest of a hole that fills no whole block. */
struct flash_segment {
    uint64_t offset;                       /* of the target */
    const struct ib_manifest_frame *frame; /* NULL: zeros */
    uint32_t size;
    bool unchanged; /* the target has it already */
};

struct flash_hole {
    uint64_t offset, size; /* whole blocks */
    bool unchanged;
};

/* An image of ours as what is to be done, in the order of the target; without frame 0. */
struct flash_map {
    struct flash_segment *segments;
    size_t segment_count;
    struct flash_hole *holes;
    size_t hole_count;
    uint64_t data_bytes, hole_bytes;
};

struct flash_job {
    struct ib_flash_image *image;
    const struct ib_flash_plan *plan;
    struct ib_target *target;
    const struct ib_flash_options *options;
    unsigned threads;
    uint64_t end; /* what the image has behind this byte is not written where it stands */
    bool read_back;
    struct ib_step *step;
    struct ib_flash_result result;
    /* What the target's two ends hold when all is done, and are the last to be written. `last`
     * begins at `end` where the image's own backup table stays, else IB_GPT_TAIL_SIZE before the
     * target's end; it is empty where there is no table. */
    struct ib_buf first, last;
};

/* Makes the map, with holes in whole blocks before job->end. IB_E_INVALID where a frame that should
 * be zeros cannot be, or is larger than frames are. The caller clears. */
int ib_flash_map_make(const struct flash_job *job, struct flash_map *ret,
                      struct ib_error **err) _must_check_;
void ib_flash_map_clear(struct flash_map *map);

/* Whether samples of the target are as in the image. */
int ib_flash_scan_samples(const struct flash_job *job, const struct flash_map *map, bool *ret,
                          struct ib_error **err) _must_check_;
/* Reads the target and marks each segment that it has already; holes that read as zeros are dropped
 * where zeroing them again would cost writes. */
int ib_flash_scan(struct flash_job *job, struct flash_map *map, struct ib_error **err) _must_check_;

/* Zeroes the holes and writes the segments that are not there, then syncs and reads back. */
int ib_flash_write_map(struct flash_job *job, const struct flash_map *map,
                       struct ib_error **err) _must_check_;
/* The same for an image of others, whose first bytes are left in job->first. */
int ib_flash_write_stream(struct flash_job *job, struct ib_error **err) _must_check_;

/* Fills job->first, and job->last where the table moves; sets job->end. Checks the table. */
int ib_flash_ends_prepare(struct flash_job *job, struct ib_error **err) _must_check_;
/* Makes the target unbootable: zeros, or a table of nothing but what is kept, at both its ends. */
int ib_flash_ends_disarm(struct flash_job *job, struct ib_error **err) _must_check_;
/* Writes job->last, then job->first, each followed by a sync, and reads them back. */
int ib_flash_ends_write(struct flash_job *job, struct ib_error **err) _must_check_;
/* Whether the target's ends are what job->first and job->last say. */
int ib_flash_ends_same(const struct flash_job *job, bool *ret, struct ib_error **err) _must_check_;
/* Takes what the image has behind job->end: for job->last, or nowhere. */
void ib_flash_ends_take(struct flash_job *job, const void *data, size_t size, uint64_t offset);

/* IB_E_INVALID: the image is shorter than the partitions in it. Returns -1. */
int ib_flash_cut_off(const struct ib_flash_image *image, uint64_t size, struct ib_error **err);
