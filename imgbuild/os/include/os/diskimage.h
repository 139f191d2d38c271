/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A distribution's disk image (raw or qcow2) as a tree.
 *
 * The image is opened by libguestfs, read-only, in an appliance: the host's kernel never sees its
 * file systems. Its root is found by inspection and its own /etc/fstab says what belongs to it, so
 * both of Fedora's layouts come out whole: 43's (/boot on ext4, btrfs subvolumes root, home, var)
 * and 44's (all of it btrfs subvolumes). Owners, modes, xattrs, ACLs, capabilities, hard links and
 * SELinux labels are kept.
 */
#pragma once

#include "io/tree.h"

/*
 * Reads the image into `tree`, an empty one; file content goes to spool_fd (see ib_archive_read).
 * The appliance's own files lie in scratch_dir while it runs (NULL: in /tmp).
 * IB_E_INVALID: not exactly one operating system in it, or a qcow2 that wants another file (a
 * backing or data file would be read from the host). `step` may be NULL.
 */
int ib_diskimage_import(const char *path, const char *scratch_dir, struct ib_tree *tree,
                        int spool_fd, struct ib_progress *progress, struct ib_step *step,
                        struct ib_error **err) _must_check_;
