/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output files that appear whole or not at all.
 *
 * Order: ib_atomic_open, write to ib_atomic_fd, ib_atomic_commit. The data lives under a temporary
 * name ".NAME.XXXXXX.tmp" in the target's own directory until commit, which syncs the file, renames
 * it over the final name and syncs the directory. Freeing without a commit removes the temporary
 * file; a killed process leaves at most such a file, which ib_atomic_remove_leftovers tells from
 * one that is being written: its writer holds a lock on it.
 */
#pragma once

#include "base/error.h"

struct ib_atomic;

/* mode is exact, whatever the umask. NULL and an error on failure. */
struct ib_atomic *ib_atomic_open(const char *path, unsigned mode,
                                 struct ib_error **err) _must_check_;
int ib_atomic_fd(const struct ib_atomic *file); /* borrowed; do not close */
/* May be called once. On failure nothing stands under the final name that did not before. */
int ib_atomic_commit(struct ib_atomic *file, struct ib_error **err) _must_check_;
/* The same, but IB_E_REFUSED where something has the name already, at that very moment. */
int ib_atomic_commit_new(struct ib_atomic *file, struct ib_error **err) _must_check_;
struct ib_atomic *ib_atomic_free(struct ib_atomic *file); /* returns NULL */
void ib_atomic_freep(struct ib_atomic **file);

/* Removes the temporary files in `dir` that no living process writes, and adds their size on disk
 * to *freed_bytes. Those younger than a minute stay: they may be about to be locked. */
int ib_atomic_remove_leftovers(const char *dir, uint64_t *freed_bytes,
                               struct ib_error **err) _must_check_;

/* All steps at once, for small content. */
int ib_atomic_write(const char *path, unsigned mode, const void *data, size_t size,
                    struct ib_error **err) _must_check_;
