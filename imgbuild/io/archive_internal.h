/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the archive reader (archive*.c) know of each other. Private to io/.
 */
#pragma once

#include "tree_internal.h"

struct archive_entry;

/* Copies the entry's xattrs and ACLs to the inode. `tree` tells the ids of users that an ACL only
 * names. Adds what they take in memory to *size. */
int ib_archive_take_xattrs(struct archive_entry *entry, const struct ib_tree *tree,
                           struct ib_inode *inode, uint64_t *size, struct ib_error **err);
