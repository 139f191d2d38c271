/* SPDX-License-Identifier: Apache-2.0 */
#include "image/chunk.h"

#include <string.h>

#include "base/hash.h"
#include "image/bytes.h"

/* Cut where the hash's highest bits are zero: they depend on all of the last 64 bytes. */
enum { STRICT_BITS = 20, LOOSE_BITS = 16 };

void ib_chunker_init(struct ib_chunker *chunker)
{
    struct ib_sha256 hash;

    for (unsigned i = 0; i < 256; i++) {
        ib_sha256(&(uint8_t){(uint8_t)i}, 1, &hash);
        chunker->gear[i] = ib_le64(hash.bytes);
    }
}

/* The position behind the first byte in [from, to) that fulfils the condition, or 0. */
static size_t find_cut(const struct ib_chunker *chunker, const uint8_t *p, size_t from, size_t to,
                       unsigned bits, uint64_t *hash)
{
    uint64_t h = *hash, limit = UINT64_MAX >> bits;

    for (size_t i = from; i < to; i++) {
        h = (h << 1) + chunker->gear[p[i]];
        if (h <= limit)
            return i + 1;
    }
    *hash = h;
    return 0;
}

size_t ib_chunker_next(const struct ib_chunker *chunker, const void *data, size_t size)
{
    enum { WINDOW = 64 }; /* older bytes have been shifted out of the hash */
    const uint8_t *p = data;
    uint64_t h = 0;

    if (size <= IB_CHUNK_MIN)
        return size;
    size_t end = (size_t)IB_MIN(size, IB_CHUNK_MAX);
    size_t normal = (size_t)IB_MIN(end, IB_CHUNK_NORMAL);
    for (size_t i = (size_t)IB_CHUNK_MIN - WINDOW; i < (size_t)IB_CHUNK_MIN; i++)
        h = (h << 1) + chunker->gear[p[i]];
    size_t cut = find_cut(chunker, p, (size_t)IB_CHUNK_MIN, normal, STRICT_BITS, &h);
    if (!cut)
        cut = find_cut(chunker, p, normal, end, LOOSE_BITS, &h);
    return cut ? cut : end;
}
