/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any image as a stream of raw bytes: plain, or packed by zstd (RFC 8878), xz, gzip (RFC 1952),
 * bzip2 or lz4, told apart by magic numbers. Every check that the format has is made; a stream that
 * ends in the middle of a frame, block or member is IB_E_INVALID, and so is rubbish behind it.
 *
 * Memory: 1 MiB, and what the format needs, which is at most 128 MiB: a zstd window or an xz
 * dictionary that asks for more is IB_E_UNSUPPORTED.
 */
#pragma once

#include "io/source.h"

struct ib_unpacker;

/*
 * Looks at the first bytes of the source, which must not have been read yet (a peek is fine);
 * borrows it. What is surely no image (qcow2, zip, a web page, less than 512 bytes), and a plain
 * file whose name says that it is packed, is an error here, before anything is written.
 */
struct ib_unpacker *ib_unpacker_new(struct ib_source *source, struct ib_error **err) _must_check_;
struct ib_unpacker *ib_unpacker_free(struct ib_unpacker *unpacker); /* returns NULL */
void ib_unpacker_freep(struct ib_unpacker **unpacker);

const char *ib_unpacker_format(const struct ib_unpacker *unpacker); /* "zstd", "plain", … */
/* The raw size where the format tells it without unpacking (plain; xz with an index in a file;
 * zstd and lz4 where the first frame has its content's size: others may follow), else
 * IB_SOURCE_SIZE_UNKNOWN. Not to be trusted: for progress, and to refuse early. */
uint64_t ib_unpacker_raw_size(const struct ib_unpacker *unpacker);
/* Bytes of the source that were used so far: for progress. */
uint64_t ib_unpacker_consumed(const struct ib_unpacker *unpacker);

/* Fills `data`; *ret is less than size only at the end of the image, where all checks have passed
 * (an image may end where `data` does: read on until *ret is less). */
int ib_unpacker_read(struct ib_unpacker *unpacker, void *data, size_t size, size_t *ret,
                     struct ib_error **err) _must_check_;
