/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: what an artifact holds, as JSON inside it and beside it.
 *
 * It names every frame in order with the SHA-256 of what it unpacks to, so that a reader of a pipe
 * can check each piece before using it, and the partitions, packages and sources for people. The
 * format is ours, version 1; docs/formats.md describes each key. Parsing is strict: an unknown key,
 * a wrong type, frames that do not add up to the disk, or partitions that overlap are errors.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"

#define IB_MANIFEST_FORMAT 1
/* Bounds of what a reader may have to hold in memory: some 40 GiB of data in frames of 256 KiB. */
#define IB_MANIFEST_MAX_SIZE (16 * IB_MIB) /* of the JSON */
#define IB_MANIFEST_FRAMES_MAX 160000
#define IB_MANIFEST_FRAME_RAW_MAX (16 * IB_MIB)
enum { IB_MANIFEST_PARTITIONS_MAX = 128, IB_MANIFEST_PACKAGES_MAX = 100000 };

/* A frame's place in the artifact: offset is computed (see ib_manifest_place_frames). */
struct ib_manifest_frame {
    uint64_t raw_offset; /* in the disk image */
    uint64_t offset;     /* in the artifact; not part of the JSON */
    uint32_t raw_size;
    uint32_t size;
    bool zero; /* it holds only zeros: a hole */
    struct ib_sha256 sha256;
};

struct ib_manifest_partition {
    unsigned number; /* from 1, as in the table */
    char *label;
    char *type_name; /* "root-x86-64"; NULL where it has no name */
    struct ib_uuid type, uuid;
    uint64_t attributes;
    uint64_t offset_bytes, size_bytes;
    /* SHA-256 of the SHA-256s of its frames, one after the other: equal for equal content. */
    struct ib_sha256 content;
    bool has_root_hash; /* the verity root hash that covers it (root and verity partitions) */
    struct ib_sha256 root_hash;
};

struct ib_manifest_source {
    char *name, *url;
    struct ib_sha256 sha256;
};

struct ib_manifest_package {
    char *name, *version, *arch;
};

struct ib_manifest {
    char *tool; /* "imgbuild 0.1.0" */
    char *node, *role;
    char *version;      /* the artifact's */
    char *base;         /* "debian-13" */
    char *architecture; /* "x86-64", "arm64" */
    char *kernel;       /* its release, as `uname -r` gives it */
    char *cmdline;
    bool has_uki; /* the SHA-256 of the UKI that lies in the ESP */
    struct ib_sha256 uki;
    struct ib_uuid disk;
    uint64_t disk_size_bytes;
    uint32_t sector_size;
    struct ib_manifest_partition *partitions; /* by offset */
    size_t partition_count;
    struct ib_manifest_source *sources; /* by name */
    size_t source_count;
    struct ib_manifest_package *packages; /* by name, then arch */
    size_t package_count;
    struct ib_strv without; /* payloads that were left out */
    struct ib_manifest_frame *frames;
    size_t frame_count;
};

struct ib_manifest *ib_manifest_new(void);
struct ib_manifest *ib_manifest_free(struct ib_manifest *manifest); /* returns NULL */
void ib_manifest_freep(struct ib_manifest **manifest);

/* Add one; texts are copied. Frames: raw_offset is set, the array grows. */
struct ib_manifest_partition *ib_manifest_add_partition(struct ib_manifest *manifest);
void ib_manifest_add_source(struct ib_manifest *manifest, const char *name, const char *url,
                            const struct ib_sha256 *sha256);
void ib_manifest_add_package(struct ib_manifest *manifest, const char *name, const char *version,
                             const char *arch);
void ib_manifest_set_frames(struct ib_manifest *manifest, struct ib_manifest_frame *frames,
                            size_t count); /* takes the array */

/* Sorts sources and packages, and computes each partition's `content` from the frames. Partitions
 * must begin and end where frames do, or it is IB_E_INTERNAL. */
int ib_manifest_finish(struct ib_manifest *manifest, struct ib_error **err) _must_check_;

/* Appends the JSON: the same manifest gives the same bytes. One line per frame, package, …. */
void ib_manifest_print(const struct ib_manifest *manifest, struct ib_buf *ret);

/*
 * Parses JSON that may come from anywhere. `name` is for messages. On success everything in the
 * struct holds what this header says of it.
 */
struct ib_manifest *ib_manifest_parse(const void *data, size_t size, const char *name,
                                      struct ib_error **err) _must_check_;

/*
 * Computes each frame's offset in the artifact: the first at 0, the others from `second` on (behind
 * the manifest). Returns the end of the last.
 */
uint64_t ib_manifest_place_frames(struct ib_manifest *manifest, uint64_t second);

/* The frame that holds this byte of the disk image, or NULL behind its end. */
const struct ib_manifest_frame *ib_manifest_frame_at(const struct ib_manifest *manifest,
                                                     uint64_t raw_offset);
