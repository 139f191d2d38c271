/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking into an image, an artifact or a raw disk: partition table, manifest, and the UKIs in its
 * EFI system partition. What inspect shows and diff compares. Images may come from anywhere.
 */
#pragma once

#include "base/progress.h"
#include "image/artifact.h"
#include "image/gpt.h"
#include "image/pe.h"
#include "io/tree.h"

struct ib_image_uki {
    char *name; /* "EFI/Linux/odin_2026.11.22.efi" */
    uint64_t size_bytes;
    struct ib_sha256 sha256;
    struct ib_pe pe;
    char *cmdline, *os_release, *uname; /* NULL where there is no such section */
    bool is_signed;
    struct ib_tree *identity; /* NULL: none */
};

struct ib_image {
    char *path;
    uint64_t file_size_bytes;
    struct ib_artifact *artifact; /* NULL: a raw disk */
    struct ib_gpt gpt;            /* as the firmware will see it */
    struct ib_image_uki *ukis;    /* by name */
    size_t uki_count;
};

/*
 * Opens the image and reads all of the above. Temporary files (a sparse copy of the ESP) are made
 * under temp_dir and removed. IB_E_VERIFY when an artifact's partition table is not the one its
 * manifest lists. NULL and an error on failure.
 */
struct ib_image *ib_image_open(const char *path, const char *temp_dir, struct ib_progress *progress,
                               struct ib_error **err) _must_check_;
struct ib_image *ib_image_free(struct ib_image *image); /* returns NULL */
void ib_image_freep(struct ib_image **image);

/* Borrowed; NULL for a raw disk. */
const struct ib_manifest *ib_image_manifest(const struct ib_image *image);
/* The first partition of this type name ("esp", "root-x86-64"), or NULL. Borrowed. */
const struct ib_gpt_partition *ib_image_partition(const struct ib_image *image, const char *type);
/* A descriptor on the partition's bytes (from offset 0), in a temporary file where it must be
 * unpacked; -1 and an error on failure. *ret_offset is where the partition begins in it. */
int ib_image_open_partition(const struct ib_image *image, const struct ib_gpt_partition *partition,
                            const char *temp_dir, struct ib_progress *progress,
                            uint64_t *ret_offset, struct ib_error **err) _must_check_;

/* Totals for people. */
struct ib_image_sizes {
    uint64_t packed;  /* the file */
    uint64_t disk;    /* unpacked */
    uint64_t content; /* of that, not zeros; 0 where not known */
    size_t frames;
};
void ib_image_get_sizes(const struct ib_image *image, struct ib_image_sizes *ret);
/* Compressed bytes of the artifact's frames inside [offset, offset + size) of the disk. */
uint64_t ib_image_packed_size(const struct ib_image *image, uint64_t offset, uint64_t size);
