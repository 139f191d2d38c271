/* SPDX-License-Identifier: Apache-2.0 */
/* A block map from outside: no range of what is accepted may lie outside the image. The checksum is
 * put right first, so that what is behind its check is reached too. */
#include <string.h>

#include "base/hash.h"
#include "image/bmap_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(char *text, size_t size)
{
    static const char head[] = "<BmapFileChecksum> ";
    char *at = memmem(text, size, head, strlen(head));
    char hex[IB_SHA256_HEX_SIZE];
    struct ib_sha256 hash;

    if (!at || (size_t)(text + size - at) < strlen(head) + 64)
        return;
    at += strlen(head);
    memset(at, '0', 64);
    ib_sha256(text, size, &hash);
    memcpy(at, ib_sha256_hex(&hash, hex), 64);
}

static void check(const void *data, size_t size)
{
    struct ib_bmap bmap;
    uint64_t mapped = 0, end = 0;

    if (ib_bmap_parse(data, size, "fuzz", &bmap, NULL) < 0)
        return;
    for (size_t i = 0; i < bmap.range_count; i++) {
        const struct ib_bmap_range *range = &bmap.ranges[i];
        if (range->size == 0 || range->offset < end || range->offset >= bmap.image_size_bytes ||
            range->size > bmap.image_size_bytes - range->offset)
            abort();
        end = range->offset + range->size;
        mapped += range->size;
    }
    if (mapped != bmap.mapped_size_bytes)
        abort();
    ib_bmap_clear(&bmap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_freep) char *sealed = ib_memdup(data, size);

    check(data, size);
    seal(sealed, size);
    check(sealed, size);
    return 0;
}
