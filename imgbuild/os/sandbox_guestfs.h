/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by sandbox_guestfs*.c: the appliance that holds a sandbox's tree. */
#pragma once

#include <guestfs.h>

#include "os/appliance.h"
#include "sandbox_engine.h"

enum {
    IB_GUESTFS_PROC,
    IB_GUESTFS_SYS,
    IB_GUESTFS_DEV,
    IB_GUESTFS_RUN,
    IB_GUESTFS_TMP,
    IB_GUESTFS_MOUNTS
};

struct ib_guestfs {
    struct ib_appliance *appliance;
    guestfs_h *g; /* its handle */
    char *scratch;
    char *places[IB_GUESTFS_MOUNTS]; /* the mount points without symbolic links: "/var/tmp" */
    bool made[IB_GUESTFS_MOUNTS];    /* missing in the tree */
};

/* An error out of the last failed call. Returns -1. */
int ib_guestfs_fail(const struct ib_sandbox *sandbox, const char *subject, const char *what,
                    struct ib_error **err);

/* Appends a word to a command as the shell reads it back. */
void ib_guestfs_quote(struct ib_buf *command, const char *word);

/* Runs a command (below 128 KiB) in the appliance's own shell, where the tree is /sysroot. Its
 * output, which the caller frees, or NULL. */
char *ib_guestfs_shell(const struct ib_sandbox *sandbox, const char *command);
int ib_guestfs_shell_or_fail(const struct ib_sandbox *sandbox, const char *command,
                             const char *what, struct ib_error **err) _must_check_;

/* struct ib_sandbox_ops' run. */
int ib_guestfs_run(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
                   struct ib_buf *out, struct ib_error **err) _must_check_;
