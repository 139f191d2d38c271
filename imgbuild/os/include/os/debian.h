/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a Debian system: the essential packages and apt, unpacked and configured by
 * mmdebstrap(1) from local files, without the network.
 *
 * Everything else is installed by the tree's own apt (os/packages.h): then only the packages in the
 * lock decide in which order things happen, and so which ids new users get, not the version of apt
 * on the machine that builds. It also makes this part the same for every role.
 */
#pragma once

#include "io/tree.h"
#include "os/debset.h"

struct ib_debian_options {
    const char *architecture; /* Debian's name: "amd64" */
    const char *scratch_dir;  /* on the file system of the cache */
    bool memory;              /* may use some 500 MB of memory as a scratch disk; faster */
    struct ib_progress *progress;
    struct ib_step *step; /* parent for ours; may be NULL */
};

/* The packages of the set that a bootstrap installs; also those that its cache key needs. */
int ib_debian_bootstrap_list(const struct ib_debset *set, struct ib_deb_list *ret,
                             struct ib_error **err) _must_check_;

/*
 * Makes the bootstrap from exactly `debs` (a list as above) and puts it into `tree`, an empty one;
 * file content goes to spool_fd (see ib_archive_read). As root in a mount namespace of its own,
 * else with mmdebstrap's unshare mode, which needs /etc/subuid. Same packages, same tree.
 */
int ib_debian_bootstrap(const struct ib_deb_list *debs, const struct ib_debian_options *options,
                        struct ib_tree *tree, int spool_fd, struct ib_error **err) _must_check_;
