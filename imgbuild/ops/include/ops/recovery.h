/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery sticks: a disk image that starts an installer and rescue shell, with the artifacts of
 * nodes on it, what they share stored once.
 *
 *     GPT   esp                 systemd-boot, the entries "install" and "rescue", and one UKI: the
 *                               base's kernel, an initrd of its dracut with the nodes' drivers, and
 *                               the installer (installer/)
 *           imgbuild-recovery   the artifacts (image/medium.h)
 *
 * The UKI's command line holds `imgbuild.medium=`, the SHA-256 of the second partition's index, so
 * that a signed UKI covers all that the stick installs.
 */
#pragma once

#include "ops/project.h"
#include "os/sandbox.h"

struct ib_recovery_node {
    const struct ib_node_spec *spec;
    char *artifact; /* path */
};

struct ib_recovery_options {
    struct ib_recovery_node *nodes; /* at least one, each once */
    size_t node_count;
    bool unattended; /* installs without a question */
    enum ib_sandbox_engine sandbox;
    bool offline;
    const struct ib_strv *mirrors; /* directories or URLs looked at first; may be NULL */
    const char *key, *certificate; /* for Secure Boot; NULL: unsigned */
};

struct ib_recovery_result {
    uint64_t size_bytes;     /* of the stick's image */
    uint64_t artifact_bytes; /* of the artifacts as files */
    uint64_t data_bytes;     /* of the partition that holds them */
    struct ib_sha256 id;
};

/* Writes the image to the new file `path`, through base/atomic.h. The same artifacts, recipes and lock
 * give the same bytes (a signature for Secure Boot aside). */
int ib_recovery_make(struct ib_project *project, const struct ib_recovery_options *options,
                     const char *path, struct ib_recovery_result *ret,
                     struct ib_error **err) _must_check_;
