/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying inside the machine, as `cp -a`: content, mode, owner, times and extended attributes.
 */
#pragma once

#include "base/error.h"

/*
 * Copies what stands at `from` (a directory with all below it, or anything else) to `to`, which
 * must not exist. On failure a part of it may be there.
 */
int ib_copy_tree(const char *from, const char *to, struct ib_error **err) _must_check_;

/* The same into a temporary name beside `to`, synced and then renamed: `to` appears whole. */
int ib_copy_tree_atomic(const char *from, const char *to, struct ib_error **err) _must_check_;

/*
 * Puts a copy of the regular file `from` in the place of `to`, atomically and synced, unless
 * content, mode and owner are the same already.
 */
int ib_copy_file(const char *from, const char *to, struct ib_error **err) _must_check_;

/* Copies what `from` has and `to` lacks, at every depth; what both have stays as it is in `to`. An
 * interrupted run leaves only whole entries, and the next one goes on. */
int ib_copy_missing(const char *from, const char *to, struct ib_error **err) _must_check_;
