/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes of block maps. SHA-1 is for finding damage only: maps of version 1.3 have no other. */
#include <openssl/evp.h>
#include <string.h>

#include "image/bmap_read.h"

struct ib_bmap_hasher {
    EVP_MD_CTX *context;
    const EVP_MD *kind;
};

static void begin(struct ib_bmap_hasher *hasher)
{
    if (EVP_DigestInit_ex(hasher->context, hasher->kind, NULL) != 1)
        abort(); /* memory */
}

struct ib_bmap_hasher *ib_bmap_hasher_new(enum ib_bmap_hash hash)
{
    struct ib_bmap_hasher *hasher = ib_calloc(1, sizeof(*hasher));

    hasher->context = EVP_MD_CTX_new();
    hasher->kind = hash == IB_BMAP_SHA1 ? EVP_sha1() : EVP_sha256();
    if (!hasher->context)
        abort(); /* memory */
    begin(hasher);
    return hasher;
}

struct ib_bmap_hasher *ib_bmap_hasher_free(struct ib_bmap_hasher *hasher)
{
    if (hasher)
        EVP_MD_CTX_free(hasher->context);
    free(hasher);
    return NULL;
}

void ib_bmap_hasher_freep(struct ib_bmap_hasher **hasher)
{
    *hasher = ib_bmap_hasher_free(*hasher);
}

void ib_bmap_hasher_update(struct ib_bmap_hasher *hasher, const void *data, size_t size)
{
    if (EVP_DigestUpdate(hasher->context, data, size) != 1)
        abort();
}

bool ib_bmap_hasher_matches(struct ib_bmap_hasher *hasher, const struct ib_bmap_range *range)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;

    if (EVP_DigestFinal_ex(hasher->context, hash, &size) != 1)
        abort();
    begin(hasher);
    return memcmp(hash, range->hash, size) == 0;
}
