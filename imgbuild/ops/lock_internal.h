/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of ops/lock share. */
#pragma once

#include "ops/lock.h"
#include "os/checksums.h"

/* A list of checksums that this run has read. */
struct ib_lock_sums {
    char *url; /* as the recipe names it */
    struct ib_checksums list;
    char *signer; /* fingerprint; NULL where it is not signed */
    struct ib_lock_sums *next;
};

struct ib_locker {
    struct ib_project *project;
    const struct ib_lock_options *options;
    struct ib_fetch_options fetch;
    struct ib_lock *lock; /* a copy, being changed */
    int64_t date_s;       /* of the youngest thing that tells its date; 0: none yet */
    struct ib_lock_sums *sums;
    struct ib_lock_result *result;
};

/* Copies its texts. */
void ib_lock_note_change(struct ib_lock_result *result, enum ib_lock_change_kind kind,
                         const char *name, const char *what, const char *old_value,
                         const char *new_value);

int ib_lock_file_base(struct ib_locker *locker, const struct ib_base *base,
                      struct ib_error **err) _must_check_;
int ib_lock_payload(struct ib_locker *locker, const struct ib_payload *payload,
                    struct ib_error **err) _must_check_;
/* What a set's change means for the user; both are sorted, `old` may be NULL. */
void ib_lock_note_set(struct ib_lock_result *result, const char *name,
                      const struct ib_lock_package_set *old, const struct ib_lock_package_set *set);
/* All roles, as if every node stood on this base: that is what `node --base` builds. */
struct ib_recipe *ib_lock_load_on_base(struct ib_locker *locker, const struct ib_base *base,
                                       struct ib_error **err) _must_check_;
/*
 * The packages of every role on a base of the family fedora whose file is locked already; nothing
 * where the base names no repositories to take them from.
 */
int ib_lock_fedora_packages(struct ib_locker *locker, const struct ib_base *base,
                            struct ib_error **err) _must_check_;
int ib_lock_debian_base(struct ib_locker *locker, const struct ib_base *base,
                        struct ib_error **err) _must_check_;
