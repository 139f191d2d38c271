/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SELinux labels for a tree, from the tree's own policy: what `setfiles` would do on a running
 * system, without one.
 */
#pragma once

#include "io/tree.h"

struct ib_selinux_info {
    char policy[64];           /* SELINUXTYPE ("targeted"); "" when no policy is installed */
    uint64_t labelled_count;   /* inodes that have their label from the policy now */
    uint64_t unlabelled_count; /* those that it leaves alone: no rule, or <<none>> */
};

/*
 * Sets security.selinux on every inode as the policy named in /etc/selinux/config says
 * (/etc/selinux/POLICY/contexts/files/file_contexts with .homedirs, .local, .subs and .subs_dist;
 * selabel_file(5)), replacing what was there. An inode that the policy leaves alone keeps what it
 * has. Of an inode with several names, the first in the order of ib_tree_walk decides. Without a
 * policy in the tree nothing is changed and ret->policy is "".
 *
 * The rules are read by libselinux from copies in a directory made under temp_dir, and removed.
 * Compiled rules (file_contexts.bin) are never read: they depend on the PCRE that made them.
 */
int ib_selinux_label(struct ib_tree *tree, const char *temp_dir, struct ib_progress *progress,
                     struct ib_selinux_info *ret, struct ib_error **err) _must_check_;
