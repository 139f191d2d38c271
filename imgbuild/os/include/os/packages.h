/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages in a tree: installed and removed by the tree's own package manager in a sandbox, without
 * the network, from exactly the files that the lock names; and asked for, for the manifest.
 *
 * One package manager a family (os/apt.c, os/rpm.c) behind these functions. Services are not
 * started, kernels make no initrd, and nothing of the work stays in the tree but the packages and
 * the package manager's own records.
 */
#pragma once

#include "model/lock.h"
#include "model/recipe.h"
#include "os/sandbox.h"

struct ib_package_file {
    const struct ib_lock_package *package;
    const char *path; /* in the cache; verified by whoever put it there */
};

struct ib_package_job {
    /*
     * After the job every one of these is installed, in its version; those that are already so are
     * left alone. All their needs must be among them or installed.
     */
    const struct ib_package_file *install;
    size_t install_count;
    const struct ib_strv
        *remove; /* names, with their configuration; missing ones are fine; or NULL */
    const char *const *exclude; /* rules of os/exclude.h; NULL: ib_exclude_default() */
    int64_t date_s;             /* of the lock: SOURCE_DATE_EPOCH for scripts that ask */
    const char *scratch_dir;    /* host directory for what is copied in (the cache's tmp/) */
    struct ib_progress *progress;
    struct ib_step *step; /* parent for ours; may be NULL */
};

int ib_packages_apply(struct ib_sandbox *sandbox, enum ib_family family,
                      const struct ib_package_job *job, struct ib_error **err) _must_check_;

struct ib_package {
    char *name, *version, *architecture; /* as the package manager writes them */
};

/* Sorted by name, then architecture and version. Starts as {0}. */
struct ib_package_list {
    struct ib_package *items;
    size_t count;
};

/* What is installed now. */
int ib_packages_query(struct ib_sandbox *sandbox, enum ib_family family,
                      struct ib_package_list *ret, struct ib_error **err) _must_check_;
void ib_package_list_clear(struct ib_package_list *list);
/* NULL when it is not in the list. Borrowed. */
const struct ib_package *ib_package_list_find(const struct ib_package_list *list, const char *name,
                                              const char *architecture);
