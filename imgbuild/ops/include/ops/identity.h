/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's identity: the small tree that its UKI carries and its agent lays over the shared root.
 *
 *     imgbuild/identity/etc/…    laid over /etc: host name, network, k3s' config.yaml, SSH keys
 *     imgbuild/repart.d/…        systemd-repart(8) definitions: what the disk looks like
 *     imgbuild/persist           what survives a reboot, one path a line (agent/persist.h)
 *     imgbuild/node.json         name, role, version, and whether it may found the cluster
 */
#pragma once

#include "io/tree.h"
#include "model/recipe.h"

struct ib_identity_input {
    const char *project_dir;
    const struct ib_recipe *recipe;
    const struct ib_node_spec *node;
    const char *version;
    const char *os_release;     /* the root's, text */
    uint64_t verity_size_bytes; /* of a slot's verity partition */
};

/* The tree; the caller frees. Mistakes in templates go to `diags`. */
struct ib_tree *ib_identity_make(const struct ib_identity_input *input, struct ib_diags *diags,
                                 struct ib_error **err) _must_check_;

/* The root's os-release with this image's IMAGE_ID and IMAGE_VERSION (os-release(5)). The caller
 * frees. */
char *ib_identity_os_release(const struct ib_identity_input *input);
