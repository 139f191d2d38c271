/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between a file tree in memory and a real directory. Private to os/.
 *
 * ib_disk_write and ib_disk_merge want to run in a child process (ib_run's child_main) with umask 0
 * and the right to set owners; ib_disk_read with IB_DISK_XATTRS too, for it changes the current
 * directory.
 */
#pragma once

#include "held.h"
#include "io/tree.h"

/*
 * Opens a path below root_fd as if root_fd were "/": symbolic links and ".." cannot lead out of it
 * (openat2 with RESOLVE_IN_ROOT). An fd, or -1 with errno.
 */
int ib_disk_open(int root_fd, const char *path, int flags);

/* Makes all of `tree` in the empty directory dir_fd, the root's own attributes too. */
int ib_disk_write(const struct ib_tree *tree, int dir_fd, struct ib_error **err) _must_check_;

/*
 * Lays `tree` over the directory `path` below root_fd. Directories that exist keep their
 * attributes, symbolic links to directories below root_fd are followed; whatever else is in the way
 * of a file is replaced. Missing parents are made.
 */
int ib_disk_merge(const struct ib_tree *tree, int root_fd, const char *path,
                  struct ib_error **err) _must_check_;

enum ib_disk_flags {
    IB_DISK_XATTRS = 1 << 0,     /* keep those that fit a sandbox (held.h) */
    IB_DISK_ROOT_OWNED = 1 << 1, /* all belongs to root, no hard links; devices are refused */
};

/*
 * Adds the directory dir_fd with all below it to `tree`, whose root it becomes. Content stays in
 * the files (ib_tree_add_file_below). Sockets are left out. Other file systems mounted below are
 * entered: use a bare mount.
 */
int ib_disk_read(struct ib_tree *tree, int dir_fd, unsigned flags, const struct ib_held *held,
                 struct ib_error **err) _must_check_;

/* Does the file system of this directory keep user.* xattrs? */
bool ib_disk_has_user_xattrs(int dir_fd);
