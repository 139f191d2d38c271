/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox does not hold: taken out of a tree before it is made real, and put back into what
 * comes out of it. The same for both engines, so that their results are the same:
 *
 *   - devices (mknod needs a privilege that a user namespace does not give) and sockets;
 *   - xattrs but user.*, POSIX ACLs and security.capability (security.selinux and trusted.* need
 *     privileges, and the host's own labels must not come in);
 *   - owners above 65535 where a user namespace maps no more.
 */
#pragma once

#include "io/tree.h"

struct ib_held {
    bool user_xattrs; /* user.* too: tmpfs before Linux 6.6 has none */
    bool high_ids;    /* owners above 65535 */
};

enum { IB_HELD_MAX_ID = 65535 };

/* Can this xattr of an inode with this mode live in a sandbox? */
bool ib_held_fits(const struct ib_held *held, uint32_t mode, const char *name, size_t size);

/* Takes out of `tree` what a sandbox does not hold. */
void ib_held_strip(struct ib_tree *tree, const struct ib_held *held);

/*
 * Puts back into `tree` what strip took out of `original`: a device or socket where its name is
 * free and its directory still there; security.selinux, which goes by path and type; everything
 * else where the file is unchanged (type; size and time of a regular file).
 */
int ib_held_restore(struct ib_tree *tree, const struct ib_tree *original,
                    const struct ib_held *held, struct ib_error **err) _must_check_;
