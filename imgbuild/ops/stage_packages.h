/* SPDX-License-Identifier: Apache-2.0 */
/* Packages put into a tree in the sandbox: what the base and the packages stage share. */
#pragma once

#include "build_internal.h"
#include "os/packages.h"

/* A locked set's files, all in the cache. */
struct ib_package_files {
    struct ib_package_file *items;
    size_t count;
};

/*
 * role NULL is the base itself: the packages that every role on it has, so that as much as possible
 * is done once. Adds each package's version and hash.
 */
int ib_packages_add_key(const struct ib_build *b, const struct ib_base *base, const char *role,
                        struct ib_key *key, struct ib_error **err) _must_check_;
/* Errors: IB_E_NOT_FOUND names the first that is not in the cache. */
int ib_package_files_get(const struct ib_build *b, const struct ib_base *base, const char *role,
                         struct ib_package_files *ret, struct ib_error **err) _must_check_;
void ib_package_files_clear(struct ib_package_files *files);

struct ib_packages_input {
    const struct ib_base *base;
    const char *role; /* NULL: the base itself */
    const struct ib_strv *remove;
};

/* Installs and removes in a sandbox that starts from `tree`; writes tree.tar and packages.json. */
int ib_packages_make(const struct ib_build *b, const struct ib_packages_input *input,
                     struct ib_tree *tree, const struct ib_cache_entry *entry, struct ib_step *step,
                     struct ib_error **err) _must_check_;
