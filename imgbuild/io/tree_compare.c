/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file tree: what changed between two of them.
 */
#include <string.h>
#include <sys/stat.h>

#include "tree_internal.h"

enum { CHUNK = 1 << 17 };

struct comparison {
    unsigned char *chunk[2];
    struct ib_inode **changed; /* of the newer tree */
    size_t changed_count, changed_capacity;
    struct ib_error **err;
};

static bool same_xattrs(const struct ib_inode *a, const struct ib_inode *b)
{
    if (a->xattr_count != b->xattr_count)
        return false;
    for (size_t i = 0; i < a->xattr_count; i++) {
        const struct ib_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];
        if (!ib_streq(x->name, y->name) || x->size != y->size ||
            memcmp(x->value, y->value, x->size) != 0)
            return false;
    }
    return true;
}

static bool same_attributes(const struct ib_inode *a, const struct ib_inode *b)
{
    if (a->mode != b->mode || a->uid != b->uid || a->gid != b->gid)
        return false;
    if ((S_ISREG(a->mode) || S_ISLNK(a->mode)) && a->size != b->size)
        return false;
    return a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor &&
           ib_streq(a->target, b->target) && same_xattrs(a, b);
}

/* Both trees often take their content from the very same bytes of a file. */
static bool same_place(const struct ib_content *a, const struct ib_content *b)
{
    return a->source && b->source && !a->below && !b->below && a->offset == b->offset &&
           a->source->device == b->source->device && a->source->inode == b->source->inode;
}

/* 1 the same, 0 not, -1 error. Sizes are known to be equal. */
static int same_content(struct comparison *cmp, const struct ib_inode *a, const struct ib_inode *b)
{
    if (a->size == 0 || same_place(a->content, b->content))
        return 1;
    for (uint64_t offset = 0; offset < a->size;) {
        size_t n = (size_t)IB_MIN(a->size - offset, (uint64_t)CHUNK);
        if (ib_inode_read(a, cmp->chunk[0], n, offset, cmp->err) < 0 ||
            ib_inode_read(b, cmp->chunk[1], n, offset, cmp->err) < 0)
            return -1;
        if (memcmp(cmp->chunk[0], cmp->chunk[1], n) != 0)
            return 0;
        offset += n;
    }
    return 1;
}

static int same_inode(struct comparison *cmp, const struct ib_inode *a, const struct ib_inode *b)
{
    if (!same_attributes(a, b))
        return 0;
    return S_ISREG(a->mode) ? same_content(cmp, a, b) : 1;
}

static void add_changed(struct comparison *cmp, struct ib_inode *inode)
{
    if (cmp->changed_count == cmp->changed_capacity) {
        cmp->changed_capacity = cmp->changed_capacity ? cmp->changed_capacity * 2 : 256;
        cmp->changed = ib_reallocarray(cmp->changed, cmp->changed_capacity, sizeof(*cmp->changed));
    }
    cmp->changed[cmp->changed_count++] = inode;
}

/* older is NULL below something new. Recursion is bounded by IB_TREE_MAX_PATH. */
static int compare_nodes(struct comparison *cmp, struct ib_node *node, const struct ib_node *older)
{
    int same = older ? same_inode(cmp, node->inode, older->inode) : 0;
    size_t j = 0;

    if (same < 0) {
        _cleanup_(ib_freep) char *path = ib_node_path(node);
        return ib_wrap(cmp->err, path, "compare");
    }
    if (same)
        node->inode->layer = older->inode->layer;
    else
        add_changed(cmp, node->inode);
    for (size_t i = 0; i < node->child_count; i++) {
        struct ib_node *child = node->children[i];
        const struct ib_node *partner = NULL;
        while (older && j < older->child_count && !partner) {
            int order = strcmp(older->children[j]->name, child->name);
            if (order > 0)
                break;
            partner = order == 0 ? older->children[j] : NULL;
            j++;
        }
        if (compare_nodes(cmp, child, partner) < 0)
            return -1;
    }
    return 0;
}

int ib_tree_mark_changes(struct ib_tree *tree, const struct ib_tree *older, enum ib_layer layer,
                         struct ib_error **err)
{
    _cleanup_(ib_freep) unsigned char *chunks = ib_malloc(2 * CHUNK);
    struct comparison cmp = {.chunk = {chunks, chunks + CHUNK}, .err = err};
    int r = compare_nodes(&cmp, tree->root, older->root);

    /* Last: an inode is new if any of its names (hard links) is. */
    for (size_t i = 0; r == 0 && i < cmp.changed_count; i++)
        cmp.changed[i]->layer = layer;
    free(cmp.changed);
    return r;
}
