/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which .deb files a Debian suite would install today: asked of the host's apt, in a directory of
 * its own with an empty dpkg status, so that neither the host's packages nor its settings matter.
 * apt checks the suite's signature; we take its hashes from there.
 *
 * Order: open (fetches the index), then packages any number of times, free.
 */
#pragma once

#include "base/progress.h"
#include "model/lock.h"

struct ib_debresolve_options {
    const char *suite;                /* "trixie" */
    const char *architecture;         /* Debian's name: "amd64" */
    const struct ib_strv *mirrors;    /* the first that answers is used */
    const struct ib_strv *components; /* NULL or empty: main */
    const char
        *snapshot; /* "20261101T000000Z": of snapshot.debian.org instead of mirrors; or NULL */
    const char *keyring; /* file of the archive's keys; NULL: the host's debian-archive-keyring */
    const char *scratch_dir; /* for some 100 MB, while open */
    struct ib_progress *progress;
};

struct ib_debresolve;

/* IB_E_UNSUPPORTED without apt or keyring, IB_E_VERIFY for a suite that the keyring did not sign.
 */
struct ib_debresolve *ib_debresolve_open(const struct ib_debresolve_options *options,
                                         struct ib_error **err) _must_check_;
struct ib_debresolve *ib_debresolve_free(struct ib_debresolve *resolve); /* returns NULL */
void ib_debresolve_freep(struct ib_debresolve **resolve);

/* The Date of the suite's Release file, in seconds since 1970. */
int64_t ib_debresolve_date(const struct ib_debresolve *resolve);

/*
 * Every Essential package, apt, the named ones and all that these depend on (no Recommends): the
 * set of `mmdebstrap --variant=essential` with apt and `names`. *ret gets *ret_count packages,
 * sorted by name; the caller clears each (ib_lock_package_clear) and frees the array.
 * IB_E_NOT_FOUND for a name that the suite does not have, IB_E_INVALID for a set that cannot be.
 */
int ib_debresolve_packages(struct ib_debresolve *resolve, const char *const *names, size_t count,
                           struct ib_lock_package **ret, size_t *ret_count,
                           struct ib_error **err) _must_check_;

/* "amd64" for "x86_64", "arm64" for "aarch64"; NULL for others. */
const char *ib_debian_architecture(const char *architecture);
