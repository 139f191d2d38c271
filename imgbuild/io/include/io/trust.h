/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which public keys (io/minisign.h) are trusted to sign manifests, and the check against them.
 *
 * The keys are those of the first of these that names any:
 *
 *     1. `files`: what the user gave with --key, in that order
 *     2. IMGBUILD_KEY in the environment: files separated by ':'
 *     3. PROJECT/imgbuild.pub, then SYSTEM/…pub by name (/etc/imgbuild/keys)
 *
 * A key named explicitly thus narrows the choice. A file that is named or found but is no key is an
 * error: trust must not shrink or grow silently. Without any key nothing is checked; the caller
 * asks ib_trust_count and says so.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#define IB_TRUST_SYSTEM_DIR "/etc/imgbuild/keys"
#define IB_TRUST_PROJECT_KEY "imgbuild.pub"

struct ib_trust;

struct ib_trust_sources {
    const struct ib_strv *files; /* NULL or empty: none */
    const char *project_dir;     /* NULL: none */
    const char *system_dir;      /* NULL: IB_TRUST_SYSTEM_DIR */
};

struct ib_trust *ib_trust_load(const struct ib_trust_sources *sources,
                               struct ib_error **err) _must_check_;
struct ib_trust *ib_trust_free(struct ib_trust *trust); /* returns NULL; NULL is fine */
void ib_trust_freep(struct ib_trust **trust);

size_t ib_trust_count(const struct ib_trust *trust); /* NULL has none */

/*
 * With no key (or NULL for trust): 0, nothing is checked. Else the signature (a minisig file's
 * text, from the manifest's frame or from beside the manifest; size 0: unsigned) must
 * be one of the json bytes by one of the keys, or it is IB_E_VERIFY. `name` is the artifact's, for
 * messages.
 */
int ib_trust_verify_manifest(const struct ib_trust *trust, const void *json, size_t json_size,
                             const void *signature, size_t signature_size, const char *name,
                             struct ib_error **err) _must_check_;

/* The same for any message, telling by whom: *ret_key is the key's file (borrowed from trust), or
 * NULL where nothing was checked; *ret_comment (freed by the caller) the trusted comment. Both may
 * be NULL. */
int ib_trust_verify(const struct ib_trust *trust, const void *message, size_t size,
                    const void *signature, size_t signature_size, const char *name,
                    const char **ret_key, char **ret_comment, struct ib_error **err) _must_check_;
