/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading block maps: which parts of an image are worth writing, with their checksums.
 *
 * Format: bmap 1.3, 1.4 and 2.0 (XML; bmap-tools, BmapCreate.py and BmapCopy.py). 1.3 has SHA-1,
 * the others name their hash, which is SHA-256 or SHA-1. Every number is checked against the
 * others, and BmapFileChecksum against the file; ranges ascend and do not overlap. Document types,
 * and with them entities, are refused.
 */
#pragma once

#include "base/error.h"

#define IB_BMAP_MAX_SIZE (16 * IB_MIB) /* bytes of XML that we look at */
#define IB_BMAP_HASH_SIZE_MAX 32

enum ib_bmap_hash { IB_BMAP_SHA256, IB_BMAP_SHA1 };

struct ib_bmap_range {
    uint64_t offset, size; /* bytes; the last range ends where the image does */
    uint8_t hash[IB_BMAP_HASH_SIZE_MAX];
};

struct ib_bmap {
    uint64_t image_size_bytes, block_size_bytes, mapped_size_bytes;
    enum ib_bmap_hash hash;
    bool has_hashes; /* false: made by `bmaptool create --no-checksum` */
    struct ib_bmap_range *ranges;
    size_t range_count;
};

/* `name` is for messages, which tell the line. IB_E_VERIFY where BmapFileChecksum does not match,
 * IB_E_UNSUPPORTED for another version or hash, IB_E_INVALID for all else. */
int ib_bmap_parse(const void *data, size_t size, const char *name, struct ib_bmap *ret,
                  struct ib_error **err) _must_check_;
void ib_bmap_clear(struct ib_bmap *bmap);

/* A running hash for ranges: feed one range's bytes, compare, feed the next one's. */
struct ib_bmap_hasher;
struct ib_bmap_hasher *ib_bmap_hasher_new(enum ib_bmap_hash hash);
struct ib_bmap_hasher *ib_bmap_hasher_free(struct ib_bmap_hasher *hasher); /* returns NULL */
void ib_bmap_hasher_freep(struct ib_bmap_hasher **hasher);
void ib_bmap_hasher_update(struct ib_bmap_hasher *hasher, const void *data, size_t size);
/* Whether what was fed since the last call has the range's checksum; begins anew. */
bool ib_bmap_hasher_matches(struct ib_bmap_hasher *hasher, const struct ib_bmap_range *range);
