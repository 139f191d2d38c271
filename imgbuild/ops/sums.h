/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA256SUMS of the output directory, as sha256sum(1) checks it: sorted by name, one line a file.
 * Open locks it against other builds into the same directory; close releases it.
 */
#pragma once

#include "base/error.h"
#include "base/hash.h"
#include "io/minisign.h"

struct ib_sums;

struct ib_sums *ib_sums_open(const char *dir, struct ib_error **err) _must_check_;
void ib_sums_set(struct ib_sums *sums, const char *name, const struct ib_sha256 *hash);
bool ib_sums_has(const struct ib_sums *sums, const char *name);
/* The same, with this hash. */
bool ib_sums_has_hash(const struct ib_sums *sums, const char *name, const struct ib_sha256 *hash);
/* Writes the file, without lines of files that are no longer there, and SHA256SUMS.minisig; with no
 * key one that no longer fits goes away. */
int ib_sums_save(struct ib_sums *sums, const struct ib_minisign_secret *key,
                 struct ib_error **err) _must_check_;
struct ib_sums *ib_sums_close(struct ib_sums *sums); /* returns NULL */
void ib_sums_closep(struct ib_sums **sums);

/* True when the file says that `name` has this hash; reads no other file. */
bool ib_sums_match(const char *dir, const char *name, const struct ib_sha256 *hash);
