/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of squashfs inodes, and what becomes of those that squashfs cannot hold.
 */
#include <endian.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_writer.h>
#include <string.h>

#include "rootfs_internal.h"

/* linux/posix_acl_xattr.h, linux/posix_acl.h */
enum { ACL_VERSION = 2, ACL_HEADER_SIZE = 4, ACL_ENTRY_SIZE = 8 };
enum { ACL_USER = 0x02, ACL_GROUP_OBJ = 0x04, ACL_GROUP = 0x08, ACL_MASK = 0x10 };

/*
 * The mode of a file that loses its access control list. The mode's group bits were the list's
 * mask: the owning group gets back what the list gave it. Who is named in the list falls back to
 * the owning group or to the others, which must then not hold more than the list allowed him.
 */
static int mode_without_acl(uint32_t mode, const struct ib_xattr *acl, uint32_t *ret)
{
    uint32_t group = 0, mask = 7, users = 7, groups = 7, version;
    bool names_users = false, names_groups = false;

    if (acl->size < ACL_HEADER_SIZE || (acl->size - ACL_HEADER_SIZE) % ACL_ENTRY_SIZE)
        return -1;
    memcpy(&version, acl->value, sizeof(version));
    if (le32toh(version) != ACL_VERSION)
        return -1;
    for (size_t at = ACL_HEADER_SIZE; at < acl->size; at += ACL_ENTRY_SIZE) {
        uint16_t tag, permissions;
        memcpy(&tag, acl->value + at, sizeof(tag));
        memcpy(&permissions, acl->value + at + sizeof(tag), sizeof(permissions));
        permissions = le16toh(permissions) & 7;
        switch (le16toh(tag)) {
        case ACL_USER:
            names_users = true;
            users &= permissions;
            break;
        case ACL_GROUP_OBJ:
            group = permissions;
            break;
        case ACL_GROUP:
            names_groups = true;
            groups &= permissions;
            break;
        case ACL_MASK:
            mask = permissions;
            break;
        }
    }
    users &= names_users ? mask : 7;
    groups &= names_groups ? mask : 7;
    group &= mask & users;
    *ret = (mode & ~077u) | group << 3 | (mode & users & groups & 7);
    return 0;
}

static int drop(struct rootfs *r, const struct rootfs_inode *file, const struct ib_xattr *xattr,
                uint32_t *mode, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_node_path(file->node);

    if (ib_streq(xattr->name, "system.posix_acl_access") &&
        mode_without_acl(*mode, xattr, mode) < 0)
        return ib_failf(err, IB_E_INVALID, "the access control list of '/%s' is malformed", path);
    if (r->info.dropped_xattr_count++ == 0)
        r->first_dropped = ib_asprintf("%s of '/%s'", xattr->name, path);
    return 0;
}

int rootfs_xattrs_add(struct rootfs *r, const struct rootfs_inode *file, uint32_t *ret_index,
                      uint32_t *mode, struct ib_error **err)
{
    const struct ib_inode *inode = file->inode;
    int code = 0;

    *ret_index = ROOTFS_NONE;
    if (!inode->xattr_count)
        return 0;
    code = sqfs_xattr_writer_begin(r->xattrs, 0);
    for (size_t i = 0; i < inode->xattr_count && code == 0; i++) {
        const struct ib_xattr *xattr = &inode->xattrs[i];
        if (sqfs_get_xattr_prefix_id(xattr->name) >= 0)
            code = sqfs_xattr_writer_add(r->xattrs, xattr->name, xattr->value, xattr->size);
        else if (drop(r, file, xattr, mode, err) < 0)
            return -1;
    }
    if (code == 0)
        code = sqfs_xattr_writer_end(r->xattrs, ret_index);
    if (code < 0)
        return rootfs_fail(r, code, "record extended attributes", err);
    if (*ret_index != ROOTFS_NONE)
        r->xattr_set_count = IB_MAX(r->xattr_set_count, *ret_index + 1);
    return 0;
}

/*
 * libsquashfs 1.2 writes one location too many, behind its buffer, when the last table of the
 * xattrs ends with a full metadata block: every 512 distinct sets (sqfs_xattr_writer_flush; found
 * with valgrind). One more set, which no inode refers to, avoids that.
 */
static int avoid_full_block(struct rootfs *r)
{
    enum { SETS_PER_BLOCK = 8192 / sizeof(sqfs_xattr_id_t) };
    static const char unused[] = "unused";
    uint32_t index;
    int code;

    if (r->xattr_set_count == 0 || r->xattr_set_count % SETS_PER_BLOCK != 0)
        return 0;
    code = sqfs_xattr_writer_begin(r->xattrs, 0);
    if (code == 0)
        code = sqfs_xattr_writer_add(r->xattrs, "user.imgbuild", unused, sizeof(unused));
    if (code == 0)
        code = sqfs_xattr_writer_end(r->xattrs, &index);
    return code;
}

int rootfs_xattrs_write(struct rootfs *r, struct ib_error **err)
{
    int code = avoid_full_block(r);

    if (code == 0)
        code = sqfs_xattr_writer_flush(r->xattrs, &r->file.base, &r->super, r->compressor);
    return code < 0 ? rootfs_fail(r, code, "write extended attributes", err) : 0;
}
