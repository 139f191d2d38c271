/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and signatures of artifacts: making a key pair, and signing what was built without one.
 * What is signed, and where the signatures lie: docs/formats.md.
 */
#pragma once

#include "base/hash.h"
#include "base/progress.h"
#include "io/minisign.h"

/*
 * Writes a new key pair: BASE.key (mode 0600; encrypted unless the passphrase is NULL) and
 * BASE.pub. IB_E_REFUSED when one of them exists: a key is never replaced. *ret gets the public
 * half.
 */
int ib_keygen(const char *base, const char *passphrase, struct ib_minisign_public *ret,
              struct ib_error **err) _must_check_;

/* Whether both names are free, before a passphrase is asked for. */
int ib_keygen_check(const char *base, struct ib_error **err) _must_check_;

struct ib_signed {
    char *signature; /* the file beside the artifact: NODE_VERSION.json.minisig */
    uint64_t size_bytes;
    struct ib_sha256 sha256; /* of the artifact, as it is now */
    bool changed;            /* false: it bore this signature already */
    bool sums;               /* SHA256SUMS beside it lists it, and is signed too */
};
void ib_signed_clear(struct ib_signed *result);

/*
 * Signs the artifact NAME.img.zst: inside, as NAME.json.minisig, and SHA256SUMS where that lists
 * it. A NAME.json beside it must be its manifest (IB_E_VERIFY).
 */
int ib_sign_artifact(const char *path, const struct ib_minisign_secret *key,
                     struct ib_progress *progress, struct ib_signed *ret,
                     struct ib_error **err) _must_check_;
