/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initrd: made by the tree's own dracut, for no machine in particular, with the drivers that
 * the recipes name and our dracut module (agent/dracut). It depends on the tree, the drivers and
 * the module alone, so it is made once for all nodes that share these.
 */
#pragma once

#include "os/kernel.h"
#include "os/sandbox.h"

struct ib_initrd_options {
    const struct ib_kernel *kernel;
    const struct ib_strv *drivers;  /* each must exist; what every root needs is added by itself */
    const struct ib_strv *programs; /* put in where the tree has them; NULL: none */
    const char *module_dir;         /* host directory of our dracut module */
    const char *agent;              /* host file, put into the module as "imgbuild-agent" */
    int64_t date_s;                 /* of the lock */
    const char *scratch_dir;        /* host directory for temporary files */
    struct ib_progress *progress;
    struct ib_step *step; /* parent for ours; may be NULL */
};

/*
 * Makes the initrd in a sandbox that holds the tree, and writes it to `path`: one zstd frame
 * around one cpio archive. The sandbox's tree is afterwards as it was.
 */
int ib_initrd_build(struct ib_sandbox *sandbox, const struct ib_initrd_options *options,
                    const char *path, struct ib_error **err) _must_check_;
