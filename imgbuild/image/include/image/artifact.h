/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Artifacts: NODE_VERSION.img.zst, a disk image as independent zstd frames with its manifest.
 *
 *     frame 0         the first 32 KiB of the disk (partition table): programs that look at the
 *                     first bytes see a zstd file; a flasher holds it back and writes it last
 *     skippable frame magic 0x184D2A5B: "IBMANIF1", JSON size (4), signature size (4; 0: none),
 *                     JSON, the text of its minisig file (io/minisign.h)
 *     frames 1 …      the rest of the disk in order; frames of stores are copied as they are
 *     skippable frame magic 0x184D2A5E: zstd's seekable format (contrib/seekable_format of the zstd
 *                     source, v0.1.1), without checksums; it counts all frames before it, the
 *                     manifest as one that unpacks to nothing
 *
 * Any zstd unpacks it to the disk image (RFC 8878 section 3.1.2 lets decoders skip our frames).
 */
#pragma once

#include "image/frames.h"
#include "io/minisign.h"
#include "io/trust.h"
#include "model/manifest.h"

#define IB_ARTIFACT_FIRST_FRAME (32 * IB_KIB)
#define IB_ARTIFACT_MANIFEST_MAGIC UINT32_C(0x184D2A5B)
#define IB_ARTIFACT_SEEK_TABLE_MAGIC UINT32_C(0x184D2A5E)

/* A stretch of the disk: bytes in memory, or frames. What no extent covers is zeros. */
struct ib_artifact_extent {
    uint64_t offset_bytes;
    const void *data; /* NULL: frames */
    size_t size;      /* of data */
    const struct ib_frames *frames;
    int fd; /* the file of frames whose `store` is NULL */
};

struct ib_artifact_result {
    uint64_t size_bytes;
    struct ib_sha256 sha256; /* of the artifact */
};

/*
 * Writes the artifact to `path` (through base/atomic.h). The manifest has everything but frames and
 * partitions' content, which are filled in; extents are in the order of the disk, begin at 0, and
 * every partition begins and ends where an extent or a gap does.
 */
int ib_artifact_write(struct ib_manifest *manifest, const struct ib_artifact_extent *extents,
                      size_t extent_count, const char *path, struct ib_progress *progress,
                      struct ib_artifact_result *ret, struct ib_error **err) _must_check_;
/* The same with the manifest signed; key NULL: not signed. */
int ib_artifact_write_signed(struct ib_manifest *manifest, const struct ib_artifact_extent *extents,
                             size_t extent_count, const char *path,
                             const struct ib_minisign_secret *key, struct ib_progress *progress,
                             struct ib_artifact_result *ret, struct ib_error **err) _must_check_;

/* Appends the signature (a minisig file's text) of the manifest whose JSON this is: the same key
 * and manifest give the same bytes. */
void ib_artifact_sign_manifest(const struct ib_manifest *manifest, const void *json, size_t size,
                               const struct ib_minisign_secret *key, struct ib_buf *ret);

/*
 * Signs the artifact at `path`: a copy with the signature in it takes its place at once. Its frames
 * are copied as they are, in the kernel, while the copy is hashed. One that bears this very
 * signature already is only hashed (*ret_changed false).
 */
int ib_artifact_sign(const char *path, const struct ib_minisign_secret *key,
                     struct ib_progress *progress, struct ib_artifact_result *ret,
                     bool *ret_changed, struct ib_error **err) _must_check_;

/* An artifact being read. It may come from anywhere: nothing in it is believed before it is checked
 * against the file's size, and no byte is handed out before its frame's SHA-256 fits. */
struct ib_artifact;

/* Whether a file begins as an artifact does, whatever follows. */
bool ib_artifact_is_ours_fd(int fd);

struct ib_artifact *ib_artifact_open(const char *path, struct ib_error **err) _must_check_;
/* The same for a file that is open; the artifact keeps its own duplicate. `name` is for messages.
 */
struct ib_artifact *ib_artifact_open_fd(int fd, const char *name,
                                        struct ib_error **err) _must_check_;
struct ib_artifact *ib_artifact_free(struct ib_artifact *artifact); /* returns NULL */
void ib_artifact_freep(struct ib_artifact **artifact);

const struct ib_manifest *ib_artifact_manifest(const struct ib_artifact *artifact);
/* The manifest's JSON as it stands in the artifact. Borrowed. */
const char *ib_artifact_json(const struct ib_artifact *artifact, size_t *ret_size);
uint64_t ib_artifact_size(const struct ib_artifact *artifact);
/* The text of its signature as it stands there, to be checked by ib_trust_verify; *ret_size is 0
 * when it is not signed. Borrowed. */
const char *ib_artifact_signature(const struct ib_artifact *artifact, size_t *ret_size);

/* Reads bytes of the disk image; the range must lie inside it (IB_E_INVALID). Not thread-safe. */
int ib_artifact_read(struct ib_artifact *artifact, void *data, size_t size, uint64_t offset,
                     struct ib_error **err) _must_check_;

/*
 * Unpacks size bytes of the disk from offset (size 0: all from there) to the start of out_fd, an
 * empty regular file that becomes exactly as long, with holes where frames are zeros. Checks every
 * frame. `step` is advanced by bytes of the disk; progress and step may be NULL.
 */
int ib_artifact_unpack(struct ib_artifact *artifact, uint64_t offset, uint64_t size, int out_fd,
                       struct ib_progress *progress, struct ib_step *step,
                       struct ib_error **err) _must_check_;

/* Called by several threads at once, in no order: bytes of the disk whose frame was checked. */
typedef int (*ib_artifact_data_fn)(const void *data, size_t size, uint64_t offset, void *userdata,
                                   struct ib_error **err);

struct ib_artifact_walk {
    uint64_t offset, size;  /* of the disk; size 0: all from there */
    ib_artifact_data_fn fn; /* not called for zeros; NULL: the frames are only checked */
    void *userdata;
    struct ib_sha256 *ret_file_sha256; /* also the artifact's own hash; NULL: not wanted */
    struct ib_progress *progress;
    struct ib_step *step; /* advanced by bytes of the disk */
};

/* Unpacks and checks every frame in the range, on all processors. Memory: 2 MiB a thread, unless
 * frames are larger than ours. */
int ib_artifact_walk(const struct ib_artifact *artifact, const struct ib_artifact_walk *walk,
                     struct ib_error **err) _must_check_;
