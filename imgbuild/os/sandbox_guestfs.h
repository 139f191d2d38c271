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

extern const char *const ib_guestfs_mount_points[IB_GUESTFS_MOUNTS]; /* "proc", … */

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

/* Names of files and of drives: the archive of the tree that goes in, and of the one that comes
 * out. Through guestfs' own channel, in pieces of 8 KiB, a tree takes twice as long. */
#define IB_GUESTFS_IN "in"
#define IB_GUESTFS_OUT "out"

/* Before the launch: writes what the sandbox holds of its tree to the file. */
int ib_guestfs_write_archive(const struct ib_sandbox *sandbox, const char *path,
                             struct ib_error **err) _must_check_;
/* Unpacks that, as the first thing on the mounted disk. */
int ib_guestfs_unpack(const struct ib_sandbox *sandbox, struct ib_error **err) _must_check_;
/* Unpacks another tree in a directory of the sandbox. */
int ib_guestfs_tar_in(const struct ib_sandbox *sandbox, const struct ib_tree *tree,
                      const char *directory, struct ib_error **err) _must_check_;
/* struct ib_sandbox_ops' save and run. */
int ib_guestfs_save(struct ib_sandbox *sandbox, int fd, struct ib_error **err) _must_check_;
int ib_guestfs_run(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
                   struct ib_buf *out, struct ib_error **err) _must_check_;
