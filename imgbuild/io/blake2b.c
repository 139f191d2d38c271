/* SPDX-License-Identifier: Apache-2.0 */
#include "blake2b.h"

#include <assert.h>
#include <string.h>

enum { ROUNDS = 12 };

static const uint64_t iv[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                               0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                               0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

static const uint8_t sigma[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotate(uint64_t v, unsigned n)
{
    return v >> n | v << (64 - n);
}

static void mix(uint64_t v[static 16], const unsigned at[static 4], uint64_t x, uint64_t y)
{
    uint64_t *a = &v[at[0]], *b = &v[at[1]], *c = &v[at[2]], *d = &v[at[3]];

    *a += *b + x;
    *d = rotate(*d ^ *a, 32);
    *c += *d;
    *b = rotate(*b ^ *c, 24);
    *a += *b + y;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 63);
}

void ib_blake2b_block(const uint8_t *data, size_t size, uint8_t *ret, size_t out_size)
{
    static const unsigned lanes[8][4] = {{0, 4, 8, 12},  {1, 5, 9, 13},  {2, 6, 10, 14},
                                         {3, 7, 11, 15}, {0, 5, 10, 15}, {1, 6, 11, 12},
                                         {2, 7, 8, 13},  {3, 4, 9, 14}};
    uint8_t block[BLAKE2B_BLOCK] = {0};
    uint64_t m[16] = {0}, h[8], v[16];

    assert(size <= BLAKE2B_BLOCK && out_size > 0 && out_size <= sizeof(h));
    memcpy(block, data, size);
    for (size_t i = 0; i < sizeof(block); i++)
        m[i / 8] |= (uint64_t)block[i] << (8 * (i % 8));
    memcpy(h, iv, sizeof(h));
    h[0] ^= 0x01010000 ^ out_size; /* parameters: no key, one leaf, the digest's length */
    memcpy(v, h, sizeof(h));
    memcpy(v + 8, iv, sizeof(iv));
    v[12] ^= size;
    v[14] = ~v[14]; /* the last block */
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint8_t *s = sigma[round % 10];
        for (unsigned i = 0; i < 8; i++)
            mix(v, lanes[i], m[s[2 * i]], m[s[2 * i + 1]]);
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
    for (size_t i = 0; i < out_size; i++)
        ret[i] = (uint8_t)(h[i / 8] >> (8 * (i % 8)));
}
