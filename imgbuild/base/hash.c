/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

struct ib_hasher {
    EVP_MD_CTX *ctx;
};

struct ib_hasher *ib_hasher_new(void)
{
    struct ib_hasher *h = ib_calloc(1, sizeof(*h));

    h->ctx = EVP_MD_CTX_new();
    if (!h->ctx)
        abort();
    ib_hasher_reset(h);
    return h;
}

struct ib_hasher *ib_hasher_free(struct ib_hasher *hasher)
{
    if (hasher) {
        EVP_MD_CTX_free(hasher->ctx);
        free(hasher);
    }
    return NULL;
}

void ib_hasher_freep(struct ib_hasher **hasher)
{
    *hasher = ib_hasher_free(*hasher);
}

void ib_hasher_reset(struct ib_hasher *hasher)
{
    if (EVP_DigestInit_ex(hasher->ctx, EVP_sha256(), NULL) != 1)
        abort();
}

void ib_hasher_update(struct ib_hasher *hasher, const void *data, size_t size)
{
    if (EVP_DigestUpdate(hasher->ctx, data, size) != 1)
        abort();
}

void ib_hasher_final(struct ib_hasher *hasher, struct ib_sha256 *ret)
{
    if (EVP_DigestFinal_ex(hasher->ctx, ret->bytes, NULL) != 1)
        abort();
}

void ib_hasher_field_u64(struct ib_hasher *hasher, uint64_t v)
{
    uint8_t le[8];

    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)(v >> (8 * i));
    ib_hasher_update(hasher, le, sizeof(le));
}

void ib_hasher_field(struct ib_hasher *hasher, const void *data, size_t size)
{
    ib_hasher_field_u64(hasher, size);
    ib_hasher_update(hasher, data, size);
}

void ib_hasher_field_str(struct ib_hasher *hasher, const char *s)
{
    if (s)
        ib_hasher_field(hasher, s, strlen(s));
    else
        ib_hasher_field_u64(hasher, UINT64_MAX);
}

void ib_sha256(const void *data, size_t size, struct ib_sha256 *ret)
{
    if (EVP_Digest(data, size, ret->bytes, NULL, EVP_sha256(), NULL) != 1)
        abort();
}

int ib_sha256_fd(int fd, struct ib_sha256 *ret, uint64_t *ret_size_bytes)
{
    enum { CHUNK = 1 << 18 };
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);
    uint64_t total = 0;

    for (;;) {
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        ib_hasher_update(h, chunk, (size_t)n);
        total += (uint64_t)n;
    }
    ib_hasher_final(h, ret);
    if (ret_size_bytes)
        *ret_size_bytes = total;
    return 0;
}

bool ib_sha256_equal(const struct ib_sha256 *a, const struct ib_sha256 *b)
{
    return memcmp(a->bytes, b->bytes, IB_SHA256_SIZE) == 0;
}

char *ib_hex(const void *data, size_t size, char *buf)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;

    for (size_t i = 0; i < size; i++) {
        buf[2 * i] = digits[p[i] >> 4];
        buf[2 * i + 1] = digits[p[i] & 15];
    }
    buf[2 * size] = 0;
    return buf;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool ib_unhex(const char *hex, void *ret, size_t size)
{
    uint8_t *out = ret;

    if (strlen(hex) != 2 * size)
        return false;
    for (size_t i = 0; i < 2 * size; i++)
        if (hex_digit(hex[i]) < 0)
            return false;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(hex_digit(hex[2 * i]) << 4 | hex_digit(hex[2 * i + 1]));
    return true;
}

char *ib_sha256_hex(const struct ib_sha256 *hash, char buf[static IB_SHA256_HEX_SIZE])
{
    return ib_hex(hash->bytes, IB_SHA256_SIZE, buf);
}

bool ib_sha256_parse(const char *hex, struct ib_sha256 *ret)
{
    return ib_unhex(hex, ret->bytes, IB_SHA256_SIZE);
}

void ib_uuid_derive(const char *space, const char *name, struct ib_uuid *ret)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
    struct ib_sha256 hash;

    ib_hasher_update(h, space, strlen(space) + 1);
    ib_hasher_update(h, name, strlen(name));
    ib_hasher_final(h, &hash);
    memcpy(ret->bytes, hash.bytes, IB_UUID_SIZE);
    ret->bytes[6] = (uint8_t)((ret->bytes[6] & 0x0f) | 0x80);
    ret->bytes[8] = (uint8_t)((ret->bytes[8] & 0x3f) | 0x80);
}

char *ib_uuid_format(const struct ib_uuid *uuid, char buf[static IB_UUID_TEXT_SIZE])
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};
    const uint8_t *p = uuid->bytes;
    char *out = buf;

    for (size_t g = 0; g < IB_ARRAY_SIZE(groups); g++) {
        if (g)
            *out++ = '-';
        ib_hex(p, groups[g], out);
        p += groups[g];
        out += (size_t)2 * groups[g];
    }
    return buf;
}

bool ib_uuid_parse(const char *text, struct ib_uuid *ret)
{
    char hex[2 * IB_UUID_SIZE + 1];
    size_t n = 0;

    if (strlen(text) != IB_UUID_TEXT_SIZE - 1)
        return false;
    for (size_t i = 0; i < IB_UUID_TEXT_SIZE - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (text[i] == '-'))
            return false;
        if (!dash)
            hex[n++] = text[i];
    }
    hex[n] = 0;
    return ib_unhex(hex, ret->bytes, IB_UUID_SIZE);
}
