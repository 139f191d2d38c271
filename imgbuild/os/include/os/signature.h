/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenPGP signatures (RFC 9580), checked by gpgv against one key that the project keeps.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/progress.h"

#define IB_FINGERPRINT_SIZE 41 /* 40 upper-case hexadecimal digits and NUL (version 4 keys) */

struct ib_signature {
    char fingerprint[IB_FINGERPRINT_SIZE]; /* of the primary key */
    int64_t made_s;                        /* seconds since 1970, as the signer says */
};

/*
 * Checks a clear-signed document (RFC 9580 section 7) and gives what was signed: gpgv's own output,
 * never the document, since text before, after and between signed parts may be anybody's.
 * `key_path` is the public key, armored or not; `fingerprint` (40 hexadecimal digits) the one that
 * it must have, or NULL to take any key in that file. `name` is for messages. IB_E_VERIFY where the
 * signature is bad, expired, revoked, by another key, or missing; IB_E_UNSUPPORTED without gpgv.
 */
int ib_signature_open_clear(const char *name, const void *data, size_t size, const char *key_path,
                            const char *fingerprint, struct ib_progress *progress,
                            struct ib_buf *ret_text, struct ib_signature *ret,
                            struct ib_error **err) _must_check_;

/* RFC 9580 section 6: the bytes inside "-----BEGIN PGP …-----". What is not armored is copied. */
int ib_armor_decode(const char *name, const void *data, size_t size, struct ib_buf *ret,
                    struct ib_error **err) _must_check_;
