/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which .rpm files a tree would need today to have some packages: asked of the host's dnf (5 or 4),
 * in a directory of its own with a copy of the tree's package database, so that neither the host's
 * packages nor its settings matter. Files are downloaded to be hashed; the repositories' metadata
 * is not signed, so every file's own signature is checked against the given keys before its hash
 * counts.
 *
 * Order: open, then packages any number of times, free.
 */
#pragma once

#include "base/progress.h"
#include "io/tree.h"
#include "model/lock.h"
#include "model/recipe.h"

struct ib_rpmresolve_options {
    const struct ib_tree *tree; /* of the base, as imported; needed while opening only */
    enum ib_architecture architecture;
    const struct ib_repository *repositories; /* these, and not the tree's own */
    size_t repository_count;
    const char *project_dir; /* that repositories' keys are below */
    const char *scratch_dir; /* for some 100 MB and the packages, while open */
    struct ib_progress *progress;
};

struct ib_rpmresolve;

/*
 * IB_E_UNSUPPORTED without dnf or rpm, or for a tree whose package database is of an older kind
 * than SQLite; IB_E_INVALID for a repository without a key.
 */
struct ib_rpmresolve *ib_rpmresolve_open(const struct ib_rpmresolve_options *options,
                                         struct ib_error **err) _must_check_;
struct ib_rpmresolve *ib_rpmresolve_free(struct ib_rpmresolve *resolve); /* returns NULL */
void ib_rpmresolve_freep(struct ib_rpmresolve **resolve);

/*
 * What has to be installed for the named packages and all that these require (no weak dependencies)
 * on top of what the tree has. *ret gets *ret_count packages, sorted by name; the caller clears
 * each (ib_lock_package_clear) and frees the array. None: NULL and 0. IB_E_VERIFY for a file that
 * no key of the repositories signed; IB_E_CHILD with dnf's words for names that no repository has
 * and for sets that cannot be.
 */
int ib_rpmresolve_packages(struct ib_rpmresolve *resolve, const char *const *names, size_t count,
                           struct ib_lock_package **ret, size_t *ret_count,
                           struct ib_error **err) _must_check_;
/* The directory with the files of all calls so far, by the last parts of their URLs. Borrowed. */
const char *ib_rpmresolve_dir(const struct ib_rpmresolve *resolve);
