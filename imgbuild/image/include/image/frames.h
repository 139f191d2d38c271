/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: a stretch of raw image cut into chunks, each an independent zstd frame with the SHA-256
 * of what it holds. A *frame store* is a file of such frames, one after the other, with an index
 * beside it: made once per root, then copied into every node's artifact as it is.
 *
 * A run of zeros of at least 64 KiB (at a multiple of 64 KiB) becomes frames of zeros of at most
 * 16 MiB; what lies between is cut by its content (image/chunk.h). Frames carry content size and
 * checksum (RFC 8878). One level for all, 3: measured on what images hold, it stores data that is
 * compressed already at 1 to 2 GB/s a core, no slower than level 1, while 6 falls to 90 MB/s there;
 * on the rest 6 saves 3 % more for twice the time. The same bytes and the same libzstd give the
 * same frames, on any number of threads.
 *
 * Index ("IBFRAMES", version 1, little-endian): magic 8, version 4, libzstd version 4, count 8,
 * raw size 8; per frame raw size 4 (bit 31: zeros), size 4, SHA-256 32; at the end SHA-256 of all.
 */
#pragma once

#include "base/buffer.h"
#include "base/hash.h"
#include "base/progress.h"

#define IB_FRAME_RAW_MAX (16 * IB_MIB)
#define IB_FRAMES_MAX 160000 /* in one store or artifact (model/manifest.h) */
#define IB_FRAMES_HOLE_MIN (64 * IB_KIB)
enum { IB_FRAMES_LEVEL = 3 };

struct ib_frame_store;

struct ib_frame {
    uint64_t raw_offset; /* from the start of the stretch */
    uint64_t offset;     /* of the compressed frame in its file */
    uint32_t raw_size;
    uint32_t size; /* compressed */
    bool zero;
    struct ib_sha256 sha256;            /* of the raw bytes */
    const struct ib_frame_store *store; /* the file; NULL: the one being made */
};

struct ib_frames { /* contiguous, by raw_offset */
    struct ib_frame *items;
    size_t count;
    size_t capacity;
    uint64_t raw_size;
};

void ib_frames_clear(struct ib_frames *frames);
/* Adds a frame at the end: raw_offset is set to, and raw_size grown from, the end so far. */
void ib_frames_add(struct ib_frames *frames, const struct ib_frame *frame);

struct ib_frames_job {
    int fd; /* a regular file; its range is cut into frames */
    uint64_t offset, size;
    const char *name; /* for messages */
    unsigned threads; /* 0: as many as there are CPUs, at most 16 */
    /* Stores whose frames are taken where the raw bytes are the same, instead of compressing. */
    const struct ib_frame_store *const *reuse;
    size_t reuse_count;
    bool link_reused; /* leave a reused frame in its store (frame.store) instead of copying it */
    struct ib_progress *progress;
    struct ib_step *step; /* advanced by raw bytes; may be NULL */
};

/*
 * Appends the frames of job's range to out_fd, at its current position, and lists them in *ret,
 * with offsets from that position. Memory: about 5 MiB a thread.
 */
int ib_frames_make(const struct ib_frames_job *job, int out_fd, struct ib_frames *ret,
                   struct ib_error **err) _must_check_;

/* One frame of raw_size bytes in memory, appended to `ret`; offset and raw_offset are 0. */
void ib_frame_compress(const void *raw, uint32_t raw_size, struct ib_buf *ret,
                       struct ib_frame *ret_frame);

/*
 * Decompresses one whole frame into exactly raw_size bytes and compares the SHA-256. `name` is for
 * messages. IB_E_VERIFY or IB_E_INVALID when it is not what it should be.
 */
int ib_frame_decompress(const struct ib_frame *frame, const void *data, void *raw, const char *name,
                        struct ib_error **err) _must_check_;

/* The same for many frames, one thread at a time: a decoder keeps its memory between them. */
struct ib_frame_decoder;
struct ib_frame_decoder *ib_frame_decoder_new(void);
struct ib_frame_decoder *ib_frame_decoder_free(struct ib_frame_decoder *decoder); /* NULL */
void ib_frame_decoder_freep(struct ib_frame_decoder **decoder);
int ib_frame_decode(struct ib_frame_decoder *decoder, const struct ib_frame *frame,
                    const void *data, void *raw, const char *name,
                    struct ib_error **err) _must_check_;

/* Writes and reads the index; reading checks everything against the bounds above. */
int ib_frames_save(const struct ib_frames *frames, const char *path,
                   struct ib_error **err) _must_check_;
int ib_frames_parse(const void *data, size_t size, const char *name, struct ib_frames *ret,
                    uint32_t *ret_zstd_version, struct ib_error **err) _must_check_;

/* Opens the store `path` with its index `path`.idx and checks that the one fits the other. */
struct ib_frame_store *ib_frame_store_open(const char *path, struct ib_error **err) _must_check_;
struct ib_frame_store *ib_frame_store_free(struct ib_frame_store *store); /* returns NULL */
void ib_frame_store_freep(struct ib_frame_store **store);
const struct ib_frames *ib_frame_store_frames(const struct ib_frame_store *store);
int ib_frame_store_fd(const struct ib_frame_store *store);
const char *ib_frame_store_path(const struct ib_frame_store *store);
/* The frame that holds these raw bytes, or NULL; also NULL in a store made by another libzstd, so
 * that reuse never changes an artifact's bytes. */
const struct ib_frame *ib_frame_store_find(const struct ib_frame_store *store,
                                           const struct ib_sha256 *sha256, uint32_t raw_size);
/* The same for zeros, whose hash need not be computed. */
const struct ib_frame *ib_frame_store_find_zeros(const struct ib_frame_store *store,
                                                 uint32_t raw_size);
