/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making the lock: what recipes ask for by name and version becomes bytes with a hash.
 *
 * How a hash is come by, best first (struct ib_lock_entry, `verified`):
 *
 *     gpg              a list of checksums, signed by the key that the recipe names
 *     sha256sum-file   a list of checksums without signature, fetched over TLS
 *     pinned           no list: the file itself was fetched once (or its hash written by hand);
 *                      the pin stays until the recipe's version changes
 *
 * A file that was published anew under its old version is refused: that is how an attack looks.
 * Debian suites become, for each role, the exact list of .deb files (os/debresolve.h).
 */
#pragma once

#include "io/fetch.h"
#include "ops/project.h"

struct ib_lock_options {
    const char *const
        *names; /* bases and payloads; none: all, and what recipes dropped is removed */
    size_t name_count;
    bool accept_changed; /* take files that changed under their version */
    bool dry_run;        /* find out only */
    bool offline;
    const struct ib_strv *mirrors; /* for whole files only; may be NULL */
};

enum ib_lock_change_kind { IB_LOCK_ADDED, IB_LOCK_REMOVED, IB_LOCK_UPDATED };

/* Name and value as text for people: {UPDATED, "k3s", "version", "v1.36.3+k3s1", "v1.36.4+k3s1"}.
 */
struct ib_lock_change {
    enum ib_lock_change_kind kind;
    char *name;      /* "k3s", "debian-13/control", "date" */
    char *what;      /* a field or a package; NULL: the whole */
    char *old_value; /* NULL: there was none */
    char *new_value; /* NULL: there is none any more */
};

/* Starts as {0}. */
struct ib_lock_result {
    struct ib_lock_change *changes;
    size_t change_count;
    bool written; /* the file was replaced */
};

const char *ib_lock_change_kind_name(enum ib_lock_change_kind kind); /* "added", … */

/*
 * Resolves what is named, and writes recipes/imgbuild.lock where anything changed. All or nothing:
 * on failure neither the file nor project->lock is touched.
 */
int ib_lock_run(struct ib_project *project, const struct ib_lock_options *options,
                struct ib_lock_result *ret, struct ib_error **err) _must_check_;
void ib_lock_result_clear(struct ib_lock_result *result);

/* What a package set was resolved for; another value in the lock means that the set is stale. */
void ib_package_set_input(const struct ib_root_spec *root, struct ib_sha256 *ret);
