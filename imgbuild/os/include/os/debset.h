/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of .deb files of which each package's dependencies are also in the set, as a lock pins it.
 *
 * Versions are not compared: resolving was the package manager's work when the lock was made. What
 * is answered here is only "which of these does that one need?".
 */
#pragma once

#include "base/hash.h"
#include "base/progress.h"
#include "os/debfile.h"

/* One .deb as the lock knows it and the cache holds it. */
struct ib_deb_file {
    const char *path;
    uint64_t size_bytes;
    struct ib_sha256 sha256; /* verified by whoever put the file there */
};

struct ib_deb {
    char *path;
    uint64_t size_bytes;
    struct ib_sha256 sha256;
    struct ib_deb_control control;
};

/* Sorted by package, then architecture. Starts as {0}. */
struct ib_debset {
    struct ib_deb *items;
    size_t count;
};

/* Some packages of a set, in its order; the set must outlive it. Starts as {0}. */
struct ib_deb_list {
    const struct ib_deb **items;
    size_t count;
};

/* Reads the control paragraph of every file. One package twice is an error. */
int ib_debset_read(const struct ib_deb_file *files, size_t count, struct ib_progress *progress,
                   struct ib_debset *ret, struct ib_error **err) _must_check_;
void ib_debset_clear(struct ib_debset *set);

/* The package of that name, or NULL. Borrowed. */
const struct ib_deb *ib_debset_find(const struct ib_debset *set, const char *package);

void ib_debset_all(const struct ib_debset *set, struct ib_deb_list *ret);
/*
 * Every Essential package, the named ones (NULL-terminated; those that the set lacks are left out)
 * and all that these need (Pre-Depends and Depends; of alternatives the first that the set holds).
 * A need that the set does not meet is IB_E_INVALID and names both sides.
 */
int ib_debset_closure(const struct ib_debset *set, const char *const *names,
                      struct ib_deb_list *ret, struct ib_error **err) _must_check_;
void ib_deb_list_clear(struct ib_deb_list *list);
