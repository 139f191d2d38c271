/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing an image to a disk or a file: artifacts of ours, and any raw image, packed or not.
 *
 *     ib_flash_image_open   what is to be written
 *     ib_flash_plan_make    what would happen to this disk; nothing is written
 *     (show it, ask)
 *     ib_target_open_disk   the gate (io/target.h)
 *     ib_flash_run          writes
 *
 * While it runs, the target does not look bootable: the first MiB is zeroed at the start, and the
 * first frame and the partition tables are written after everything else is on the medium. A frame
 * of ours is written only after its SHA-256 was checked. Interrupted at any instant, the next run
 * finds what is there already and writes the rest.
 */
#pragma once

#include "image/gpt.h"
#include "io/source.h"
#include "io/target.h"
#include "model/manifest.h"

enum ib_flash_choice { IB_FLASH_AUTO, IB_FLASH_ALWAYS, IB_FLASH_NEVER };

struct ib_flash_image;

/* spec: see ib_source_open. */
struct ib_flash_image *ib_flash_image_open(const char *spec,
                                           const struct ib_source_options *options,
                                           struct ib_error **err) _must_check_;
/* The source is taken, also on failure. */
struct ib_flash_image *ib_flash_image_open_source(struct ib_source *source,
                                                  struct ib_error **err) _must_check_;
struct ib_flash_image *ib_flash_image_free(struct ib_flash_image *image); /* returns NULL */
void ib_flash_image_freep(struct ib_flash_image **image);

/* Compares an image of others with the block map `path` (image/bmap_read.h) as it is written; the
 * map also tells its size. IB_E_INVALID where the map is not of this image. */
int ib_flash_image_use_bmap(struct ib_flash_image *image, const char *path,
                            struct ib_error **err) _must_check_;
/* The block map that lies beside an image; the caller frees. NULL: none. */
char *ib_flash_find_bmap(const char *image_path);

const char *ib_flash_image_name(const struct ib_flash_image *image);
int ib_flash_image_fd(const struct ib_flash_image *image); /* -1: not a file */
/* NULL: not one of ours. */
const struct ib_manifest *ib_flash_image_manifest(const struct ib_flash_image *image);
/* The manifest's text and signature, for checking it. Borrowed; of ours only. */
const struct ib_buf *ib_flash_image_json(const struct ib_flash_image *image);
const struct ib_buf *ib_flash_image_signature(const struct ib_flash_image *image);
/* "imgbuild", "plain", "zstd", "xz", … */
const char *ib_flash_image_format(const struct ib_flash_image *image);
/* Of the unpacked image; IB_SOURCE_SIZE_UNKNOWN where only unpacking tells. */
uint64_t ib_flash_image_size(const struct ib_flash_image *image);

struct ib_flash_options {
    enum ib_flash_choice delta; /* compare with the target first, write what differs; AUTO: where
                                   samples show that it holds much the same */
    enum ib_flash_choice read_back; /* AUTO: on removable media */
    unsigned threads;               /* 0: one a processor, at most 8 */
    struct ib_progress *progress;
};

/* What flashing would do to a target of that size. */
struct ib_flash_plan {
    uint64_t target_size;
    uint64_t image_size;             /* or IB_SOURCE_SIZE_UNKNOWN */
    uint64_t data_bytes, hole_bytes; /* of the image; 0: not known before */
    bool moves_table;                /* the backup table goes to the end of a larger disk */
    uint64_t image_end;              /* where the image's last partition ends; used with `kept` */
    struct ib_uuid old_disk;         /* of the table on the target; used with `kept` */
    struct ib_gpt_partition *kept;
    size_t kept_count;
};

/*
 * Plans the image for a disk, or, where that is NULL, for a file that has file_size bytes already
 * (0: a new one, as large as the image). `keep` names partitions of the
 * disk by label, or is "all" for every one behind the image's own. IB_E_REFUSED with the reason
 * where it cannot be done: too small, sectors of another size, a kept partition that is missing or
 * in the way. The caller clears.
 */
int ib_flash_plan_make(struct ib_flash_image *image, const struct ib_disk *disk, uint64_t file_size,
                       const struct ib_strv *keep, struct ib_flash_plan *ret,
                       struct ib_error **err) _must_check_;
void ib_flash_plan_clear(struct ib_flash_plan *plan);

/* Appends the plan in lines for people: the image, the disk (NULL: the file), what the disk loses
 * and keeps. */
void ib_flash_plan_describe(const struct ib_flash_image *image, const struct ib_flash_plan *plan,
                            const struct ib_disk *disk, const char *file, struct ib_buf *ret);

struct ib_flash_result {
    uint64_t written_bytes;   /* data written to the target */
    uint64_t zeroed_bytes;    /* made zeros without writing data */
    uint64_t unchanged_bytes; /* found on the target, not written */
    uint64_t read_back_bytes; /* read and compared after writing */
    bool delta;
};

/* Memory: at most 128 MiB, whatever the image's size. After an error the target is not bootable. */
int ib_flash_run(struct ib_flash_image *image, const struct ib_flash_plan *plan,
                 struct ib_target *target, const struct ib_flash_options *options,
                 struct ib_flash_result *ret, struct ib_error **err) _must_check_;
