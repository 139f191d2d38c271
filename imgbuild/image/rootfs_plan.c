/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of a squashfs: one record an inode, its number, and the order of file data.
 *
 * Numbers. A directory's entries give inode numbers as small differences to the first one of a
 * group, so the children of a directory are numbered in one run; and an inode is written before any
 * entry that refers to it, so children come before their directory, and the root is last.
 */
#include <search.h>
#include <string.h>

#include "rootfs_internal.h"

enum {
    NAME_LIMIT = 255,    /* NAME_MAX; squashfs_fs.h allows one more */
    TARGET_LIMIT = 4095, /* fs/squashfs/inode.c: a target is at most a page */
    MAJOR_LIMIT = 0xfff, /* new_decode_dev(): 12 and 20 bits */
    MINOR_LIMIT = 0xfffff,
};

static int refuse(const struct ib_node *node, const char *why, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_node_path(node);

    return ib_failf(err, IB_E_INVALID, "squashfs cannot hold '/%s': %s", path, why);
}

static int check(const struct ib_node *node, struct ib_error **err)
{
    const struct ib_inode *inode = node->inode;

    if (strlen(node->name) > NAME_LIMIT)
        return refuse(node, "its name is longer than 255 bytes", err);
    switch (inode->mode & S_IFMT) {
    case S_IFREG:
    case S_IFDIR:
    case S_IFIFO:
    case S_IFSOCK:
        return 0;
    case S_IFLNK:
        if (!inode->target || !*inode->target || strlen(inode->target) > TARGET_LIMIT)
            return refuse(node, "the link's target is empty or longer than 4095 bytes", err);
        return 0;
    case S_IFCHR:
    case S_IFBLK:
        if (inode->rdev_major > MAJOR_LIMIT || inode->rdev_minor > MINOR_LIMIT)
            return refuse(node, "its device number has more than 12 + 20 bits", err);
        return 0;
    default:
        return refuse(node, "its type is unknown", err);
    }
}

static int compare_inodes(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct rootfs_inode *)a)->inode;
    uintptr_t y = (uintptr_t)((const struct rootfs_inode *)b)->inode;

    return (x > y) - (x < y);
}

/* The record of a node's inode; hard links find the one that an earlier name made. */
static struct rootfs_inode *record_of(struct rootfs_plan *plan, const struct ib_node *node)
{
    struct rootfs_inode *record = &plan->inodes[plan->inode_count];

    *record = (struct rootfs_inode){.inode = node->inode, .node = node};
    if (node->inode->nlink > 1 && !S_ISDIR(node->inode->mode)) {
        struct rootfs_inode **found = tsearch(record, &plan->hard_links, compare_inodes);
        if (!found)
            abort(); /* out of memory */
        if (*found != record)
            return *found;
    }
    plan->inode_count++;
    return record;
}

static int plan_directory(struct rootfs_plan *plan, struct rootfs_inode *dir, uint32_t *last_number,
                          struct ib_error **err)
{
    const struct ib_node *node = dir->node;

    dir->children = ib_calloc(node->child_count + 1, sizeof(*dir->children));
    for (size_t i = 0; i < node->child_count; i++) {
        if (check(node->children[i], err) < 0)
            return -1;
        struct rootfs_inode *child = record_of(plan, node->children[i]);
        dir->children[i] = child;
        if (S_ISDIR(child->inode->mode)) {
            child->parent = dir;
            if (plan_directory(plan, child, last_number, err) < 0)
                return -1;
        }
        if (S_ISREG(child->inode->mode) && child->node == node->children[i])
            plan->files[plan->file_count++] = child;
    }
    for (size_t i = 0; i < node->child_count; i++) {
        struct rootfs_inode *child = dir->children[i];
        if (child->number == 0) {
            child->number = ++*last_number;
            plan->by_number[child->number - 1] = child;
        }
    }
    return 0;
}

int rootfs_plan_make(struct rootfs_plan *plan, const struct ib_tree *tree, struct ib_error **err)
{
    uint64_t names = ib_tree_entry_count(tree) + 1; /* room for the root, counted or not */
    uint32_t last_number = 0;

    if (names >= UINT32_MAX)
        return ib_failf(err, IB_E_INVALID, "the tree holds more names than squashfs can");
    plan->inodes = ib_calloc(names + 1, sizeof(*plan->inodes));
    plan->by_number = ib_calloc(names, sizeof(struct rootfs_inode *));
    plan->files = ib_calloc(names, sizeof(struct rootfs_inode *));

    struct rootfs_inode *root = record_of(plan, ib_tree_root(tree));
    if (plan_directory(plan, root, &last_number, err) < 0)
        return -1;
    root->number = ++last_number;
    plan->by_number[root->number - 1] = root;
    return 0;
}

static void keep(void *record _unused_)
{
}

void rootfs_plan_clear(struct rootfs_plan *plan)
{
    for (size_t i = 0; i < plan->inode_count; i++) {
        free(plan->inodes[i].children);
        free(plan->inodes[i].blocks);
    }
    tdestroy(plan->hard_links, keep);
    free(plan->inodes);
    free(plan->by_number);
    free(plan->files);
}
