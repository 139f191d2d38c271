/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any image as a stream of raw bytes: plain, or packed by zstd (RFC 8878), xz, gzip (RFC 1952),
 * bzip2 or lz4, told apart by magic numbers. Every check that the format has is made; a stream that
 * ends in the middle of a frame, block or member is IB_E_INVALID, and so is rubbish behind it.
 */
#pragma once

#include "io/source.h"

struct ib_unpacker;

/* Looks at the first bytes of the source, which must not have been read yet; borrows it. */
struct ib_unpacker *ib_unpacker_new(struct ib_source *source, struct ib_error **err) _must_check_;
struct ib_unpacker *ib_unpacker_free(struct ib_unpacker *unpacker); /* returns NULL */
void ib_unpacker_freep(struct ib_unpacker **unpacker);

const char *ib_unpacker_format(const struct ib_unpacker *unpacker); /* "zstd", "plain", … */
/* The raw size where the format tells it without unpacking (plain; xz with an index in a file;
 * one zstd frame with its content size), else IB_SOURCE_SIZE_UNKNOWN. Not to be trusted. */
uint64_t ib_unpacker_raw_size(const struct ib_unpacker *unpacker);
/* Bytes of the source that were used so far: for progress. */
uint64_t ib_unpacker_consumed(const struct ib_unpacker *unpacker);

/* Fills `data`; *ret is less than size only at the end of the image, where all checks have passed.
 */
int ib_unpacker_read(struct ib_unpacker *unpacker, void *data, size_t size, size_t *ret,
                     struct ib_error **err) _must_check_;
