/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to io/: BLAKE2b-256 (RFC 7693, without a key) of one block, the checksum inside
 * minisign's secret keys. OpenSSL 3.0 has BLAKE2b with 512 bits only, and the length is part of the
 * hash.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { BLAKE2B_BLOCK = 128 };

/* size is at most BLAKE2B_BLOCK; out_size at most 64. */
void ib_blake2b_block(const uint8_t *data, size_t size, uint8_t *ret, size_t out_size);
