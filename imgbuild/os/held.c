/* SPDX-License-Identifier: Apache-2.0 */
#include "held.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

/* struct vfs_cap_data, revision 2 (linux/capability.h). Revision 3 names a user namespace. */
enum { CAPABILITY_V2_SIZE = 20 };

/* Devices, and sockets, which no tar of an appliance carries. */
static bool is_special(const struct ib_inode *inode)
{
    return S_ISCHR(inode->mode) || S_ISBLK(inode->mode) || S_ISSOCK(inode->mode);
}

bool ib_held_fits(const struct ib_held *held, uint32_t mode, const char *name, size_t size)
{
    if (!S_ISREG(mode) && !S_ISDIR(mode))
        return false;
    if (ib_startswith(name, "user."))
        return !held->user_xattrs;
    if (ib_streq(name, "system.posix_acl_access"))
        return true;
    if (ib_streq(name, "system.posix_acl_default"))
        return S_ISDIR(mode);
    return ib_streq(name, "security.capability") && S_ISREG(mode) && size == CAPABILITY_V2_SIZE;
}

struct strip {
    const struct ib_held *held;
    struct ib_strv specials; /* removed after the walk: a walk must not lose what it stands on */
};

static int strip_node(struct ib_node *node, const char *path, void *userdata)
{
    struct strip *s = userdata;
    struct ib_inode *inode = node->inode;

    if (is_special(inode)) {
        ib_strv_add(&s->specials, path);
        return 0;
    }
    for (size_t i = inode->xattr_count; i > 0; i--) {
        const struct ib_xattr *x = &inode->xattrs[i - 1];
        if (!ib_held_fits(s->held, inode->mode, x->name, x->size))
            ib_inode_remove_xattr(inode, x->name);
    }
    if (s->held->high_ids && inode->uid > IB_HELD_MAX_ID)
        inode->uid = 0;
    if (s->held->high_ids && inode->gid > IB_HELD_MAX_ID)
        inode->gid = 0;
    return 0;
}

void ib_held_strip(struct ib_tree *tree, const struct ib_held *held)
{
    struct strip s = {.held = held};

    (void)ib_tree_walk(tree, strip_node, &s);
    for (size_t i = 0; i < s.specials.count; i++)
        ib_tree_remove(tree, s.specials.items[i]);
    ib_strv_clear(&s.specials);
}

struct restore {
    const struct ib_held *held;
    struct ib_tree *tree;
    struct ib_error **err;
};

static bool is_same_type(const struct ib_inode *a, const struct ib_inode *b)
{
    return (a->mode & S_IFMT) == (b->mode & S_IFMT);
}

static bool is_unchanged(const struct ib_inode *inode, const struct ib_inode *original)
{
    if (!is_same_type(inode, original))
        return false;
    if (S_ISREG(inode->mode))
        return inode->size == original->size && inode->mtime_s == original->mtime_s;
    return !S_ISLNK(inode->mode) || ib_streq(inode->target, original->target);
}

static int restore_special(struct restore *r, const struct ib_inode *original, const char *path)
{
    const char *base = ib_path_base(path);
    _cleanup_(ib_freep) char *parent =
        base == path ? ib_strdup("") : ib_strndup(path, (size_t)(base - path - 1));
    const struct ib_node *directory = ib_tree_find(r->tree, parent);

    if (!directory || !S_ISDIR(directory->inode->mode))
        return 0;
    struct ib_node *node = ib_tree_add_special(r->tree, path, original->mode, original->rdev_major,
                                               original->rdev_minor, original->layer, r->err);
    if (!node)
        return -1;
    node->inode->uid = original->uid;
    node->inode->gid = original->gid;
    node->inode->mtime_s = original->mtime_s;
    for (size_t i = 0; i < original->xattr_count; i++)
        ib_inode_set_xattr(node->inode, original->xattrs[i].name, original->xattrs[i].value,
                           original->xattrs[i].size);
    return 0;
}

static void restore_xattrs(const struct restore *r, struct ib_inode *inode,
                           const struct ib_inode *original)
{
    bool unchanged = is_unchanged(inode, original);

    for (size_t i = 0; i < original->xattr_count; i++) {
        const struct ib_xattr *x = &original->xattrs[i];
        if (ib_held_fits(r->held, original->mode, x->name, x->size))
            continue;
        if (unchanged || ib_streq(x->name, "security.selinux"))
            ib_inode_set_xattr(inode, x->name, x->value, x->size);
    }
}

static int restore_node(struct ib_node *old, const char *path, void *userdata)
{
    struct restore *r = userdata;
    const struct ib_inode *original = old->inode;
    struct ib_node *node = ib_tree_find(r->tree, path);

    if (!node)
        return is_special(original) ? restore_special(r, original, path) : 0;
    if (!is_same_type(node->inode, original))
        return 0;
    restore_xattrs(r, node->inode, original);
    if (r->held->high_ids && is_unchanged(node->inode, original)) {
        if (original->uid > IB_HELD_MAX_ID && node->inode->uid == 0)
            node->inode->uid = original->uid;
        if (original->gid > IB_HELD_MAX_ID && node->inode->gid == 0)
            node->inode->gid = original->gid;
    }
    return 0;
}

int ib_held_restore(struct ib_tree *tree, const struct ib_tree *original,
                    const struct ib_held *held, struct ib_error **err)
{
    struct restore r = {held, tree, err};

    return ib_tree_walk(original, restore_node, &r);
}
