/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4, by OpenSSL's libcrypto), and what we derive from it: cache keys and UUIDs.
 */
#pragma once

#include "base/error.h"

#define IB_SHA256_SIZE 32
#define IB_SHA256_HEX_SIZE 65 /* with the closing NUL */
#define IB_UUID_SIZE 16
#define IB_UUID_TEXT_SIZE 37 /* with the closing NUL */

struct ib_sha256 {
    uint8_t bytes[IB_SHA256_SIZE];
};

struct ib_uuid {
    uint8_t bytes[IB_UUID_SIZE]; /* in the order in which they are written (RFC 9562) */
};

/* A running hash. Free with ib_hasher_free; ib_hasher_final may be called once, then reset. */
struct ib_hasher;
struct ib_hasher *ib_hasher_new(void);
struct ib_hasher *ib_hasher_free(struct ib_hasher *hasher); /* returns NULL */
void ib_hasher_freep(struct ib_hasher **hasher);
void ib_hasher_reset(struct ib_hasher *hasher);
void ib_hasher_update(struct ib_hasher *hasher, const void *data, size_t size);
void ib_hasher_final(struct ib_hasher *hasher, struct ib_sha256 *ret);

/* Feeds one field of a key: its length, then its bytes, so that fields cannot run together. */
void ib_hasher_field(struct ib_hasher *hasher, const void *data, size_t size);
void ib_hasher_field_str(struct ib_hasher *hasher, const char *s); /* NULL differs from "" */
void ib_hasher_field_u64(struct ib_hasher *hasher, uint64_t v);

void ib_sha256(const void *data, size_t size, struct ib_sha256 *ret);
/* Hashes fd from its current position to its end. */
int ib_sha256_fd(int fd, struct ib_sha256 *ret, uint64_t *ret_size_bytes) _must_check_;
bool ib_sha256_equal(const struct ib_sha256 *a, const struct ib_sha256 *b);

char *ib_hex(const void *data, size_t size, char *buf); /* buf holds 2 * size + 1; returns buf */
bool ib_unhex(const char *hex, void *ret, size_t size); /* exactly 2 * size digits, either case */
char *ib_sha256_hex(const struct ib_sha256 *hash, char buf[static IB_SHA256_HEX_SIZE]);
bool ib_sha256_parse(const char *hex, struct ib_sha256 *ret);

/* A name-based UUID, version 8 (RFC 9562 section 5.8): the head of SHA-256(space NUL name). */
void ib_uuid_derive(const char *space, const char *name, struct ib_uuid *ret);
char *ib_uuid_format(const struct ib_uuid *uuid, char buf[static IB_UUID_TEXT_SIZE]);
bool ib_uuid_parse(const char *text, struct ib_uuid *ret);
