/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content-defined chunking: where to cut bytes so that an insertion or a change moves only the cuts
 * beside it, and two versions of an image share most chunks.
 *
 * The method is FastCDC's (Xia et al., USENIX ATC 2016): a gear hash over the last 64 bytes, no cut
 * before the minimum, a strict condition up to the normal size and a loose one behind it. The gear
 * table's entry i is the first eight bytes, little-endian, of SHA-256 of the one byte i. All of
 * this decides artifacts' bytes: a change here is a change of format.
 */
#pragma once

#include "base/util.h"

#define IB_CHUNK_MIN (64 * IB_KIB)
#define IB_CHUNK_NORMAL (224 * IB_KIB) /* makes the average of random data 256 KiB */
#define IB_CHUNK_MAX IB_MIB

struct ib_chunker {
    uint64_t gear[256];
};

void ib_chunker_init(struct ib_chunker *chunker);

/*
 * The length of the chunk at the start of data. size: all that is left, or at least IB_CHUNK_MAX.
 * The result is between 1 and IB_CHUNK_MAX for a size of at least 1.
 */
size_t ib_chunker_next(const struct ib_chunker *chunker, const void *data, size_t size);
