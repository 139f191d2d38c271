/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file tree: names. Children are kept sorted by binary insertion into an array that doubles,
 * with a short cut for the usual case, names that arrive in order. Inodes and content:
 * tree_inode.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tree_internal.h"

static struct ib_node *node_new(struct ib_tree *tree, const char *name, size_t length,
                                struct ib_inode *inode)
{
    struct ib_entry *entry = ib_calloc(1, sizeof(*entry) + length + 1);

    memcpy(entry->name, name, length);
    entry->node.name = entry->name;
    entry->node.inode = inode;
    entry->generation = tree->generation;
    tree->entry_count++;
    if (inode->nlink++ == 0 && S_ISREG(inode->mode))
        tree->content_size += inode->size;
    return &entry->node;
}

static void inode_unref(struct ib_tree *tree, struct ib_inode *inode)
{
    if (--inode->nlink > 0)
        return;
    if (S_ISREG(inode->mode))
        tree->content_size -= inode->size;
    ib_inode_free(inode);
}

/* Recursion is bounded by IB_TREE_MAX_PATH. */
static void node_free(struct ib_tree *tree, struct ib_node *node)
{
    for (size_t i = 0; i < node->child_count; i++)
        node_free(tree, node->children[i]);
    free(node->children);
    inode_unref(tree, node->inode);
    tree->entry_count--;
    free(node);
}

struct ib_tree *ib_tree_new(void)
{
    struct ib_tree *tree = ib_calloc(1, sizeof(*tree));

    tree->root = node_new(tree, "", 0, ib_inode_new(S_IFDIR | 0755, IB_LAYER_BASE));
    return tree;
}

struct ib_tree *ib_tree_free(struct ib_tree *tree)
{
    if (!tree)
        return NULL;
    node_free(tree, tree->root);
    for (struct ib_source *next, *s = tree->sources; s; s = next) {
        next = s->next;
        close(s->fd);
        free(s);
    }
    free(tree);
    return NULL;
}

void ib_tree_freep(struct ib_tree **tree)
{
    *tree = ib_tree_free(*tree);
}

struct ib_node *ib_tree_root(const struct ib_tree *tree)
{
    return tree->root;
}

uint64_t ib_tree_entry_count(const struct ib_tree *tree)
{
    return tree->entry_count;
}

uint64_t ib_tree_content_size(const struct ib_tree *tree)
{
    return tree->content_size;
}

/* Compares a name with the first `length` bytes of `other`, by bytes. */
static int compare_name(const char *name, const char *other, size_t length)
{
    int order = strncmp(name, other, length);

    return order ? order : name[length] != 0;
}

/* The index of the first child that does not sort before the name; *ret_found: is it that name? */
static size_t child_index(const struct ib_node *directory, const char *name, size_t length,
                          bool *ret_found)
{
    size_t low = 0, high = directory->child_count;

    *ret_found = false;
    if (high > 0 && compare_name(directory->children[high - 1]->name, name, length) < 0)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_name(directory->children[middle]->name, name, length);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct ib_node *find_child(const struct ib_node *directory, const char *name, size_t length)
{
    bool found;
    size_t index = child_index(directory, name, length, &found);

    return found ? directory->children[index] : NULL;
}

struct ib_node *ib_node_child(const struct ib_node *directory, const char *name)
{
    return find_child(directory, name, strlen(name));
}

static void insert_child(struct ib_node *directory, size_t index, struct ib_node *child)
{
    struct ib_entry *entry = ib_entry_of(directory);
    size_t length = strlen(child->name);

    if (directory->child_count == entry->capacity) {
        entry->capacity = entry->capacity ? entry->capacity * 2 : 4;
        directory->children =
            ib_reallocarray(directory->children, entry->capacity, sizeof(*directory->children));
    }
    memmove(directory->children + index + 1, directory->children + index,
            (directory->child_count - index) * sizeof(*directory->children));
    directory->children[index] = child;
    directory->child_count++;
    child->parent = directory;
    ib_entry_of(child)->path_length =
        (uint16_t)(entry->path_length + (entry->path_length > 0) + length);
}

struct ib_node *ib_tree_append(struct ib_tree *tree, struct ib_node *directory, const char *name,
                               struct ib_inode *inode)
{
    struct ib_node *node = node_new(tree, name, strlen(name), inode);

    insert_child(directory, directory->child_count, node);
    return node;
}

void ib_tree_detach(struct ib_tree *tree, struct ib_node *node)
{
    struct ib_node *parent = node->parent;
    bool found;
    size_t index = child_index(parent, node->name, strlen(node->name), &found);

    assert(found && parent->children[index] == node);
    parent->child_count--;
    memmove(parent->children + index, parent->children + index + 1,
            (parent->child_count - index) * sizeof(*parent->children));
    node_free(tree, node);
}

struct ib_node *ib_tree_find(const struct ib_tree *tree, const char *path)
{
    struct ib_node *node = tree->root;

    while (node && *path) {
        size_t n = strcspn(path, "/");
        node = find_child(node, path, n);
        path += n;
        path += *path == '/';
    }
    return node;
}

/* Recursion is bounded by IB_TREE_MAX_LINKS. */
static struct ib_node *follow(const struct ib_tree *tree, struct ib_node *from, const char *path,
                              unsigned *links)
{
    struct ib_node *node = *path == '/' ? tree->root : from;

    for (path += strspn(path, "/"); *path; path += strspn(path, "/")) {
        size_t n = strcspn(path, "/");
        struct ib_node *directory = node;

        if (!S_ISDIR(directory->inode->mode))
            return NULL;
        if (n == 2 && path[0] == '.' && path[1] == '.')
            node = directory->parent ? directory->parent : directory;
        else if (n != 1 || path[0] != '.')
            node = find_child(directory, path, n);
        if (!node)
            return NULL;
        if (S_ISLNK(node->inode->mode)) {
            if (++*links > IB_TREE_MAX_LINKS)
                return NULL;
            node = follow(tree, directory, node->inode->target, links);
            if (!node)
                return NULL;
        }
        path += n;
        if (*path == '/' && !S_ISDIR(node->inode->mode))
            return NULL;
    }
    return node;
}

struct ib_node *ib_tree_resolve(const struct ib_tree *tree, const char *path)
{
    unsigned links = 0;

    return follow(tree, tree->root, path, &links);
}

char *ib_node_path(const struct ib_node *node)
{
    size_t size = 1;

    for (const struct ib_node *n = node; n->parent; n = n->parent)
        size += strlen(n->name) + 1;
    char *path = ib_malloc(size), *end = path + size - 1;
    *end = 0;
    for (const struct ib_node *n = node; n->parent; n = n->parent) {
        size_t length = strlen(n->name);
        if (*end)
            *--end = '/';
        end -= length;
        memcpy(end, n->name, length);
    }
    memmove(path, end, strlen(end) + 1); /* a name costs its slash, but the first has none */
    return path;
}

/* Adding -------------------------------------------------------------------------------------- */

static const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a regular file";
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    case S_IFIFO:
        return "a fifo";
    default:
        return "a socket";
    }
}

static int check_name(struct ib_node *directory, const char *path, const char *name, size_t length,
                      struct ib_error **err)
{
    size_t parent_length = ib_entry_of(directory)->path_length;

    if (length == 0 || (length == 1 && name[0] == '.') ||
        (length == 2 && name[0] == '.' && name[1] == '.'))
        return ib_failf(err, IB_E_INVALID, "'%s' is not a path inside a file tree", path);
    if (length > IB_TREE_MAX_NAME)
        return ib_failf(err, IB_E_INVALID, "'%.*s…' is longer than the %d bytes of a file name", 40,
                        name, IB_TREE_MAX_NAME);
    if (parent_length + 1 + length > IB_TREE_MAX_PATH)
        return ib_failf(err, IB_E_INVALID, "'%.*s…' is longer than the %d bytes of a path", 40,
                        path, IB_TREE_MAX_PATH);
    return 0;
}

/* The directory that `child`, met on the way to `path`, stands for; or NULL and an error. */
static struct ib_node *enter(const struct ib_tree *tree, struct ib_node *child, const char *path,
                             struct ib_error **err)
{
    unsigned links = 1;
    struct ib_node *node = child;
    _cleanup_(ib_freep) char *at = NULL;

    if (S_ISDIR(child->inode->mode))
        return child;
    at = ib_node_path(child);
    if (S_ISLNK(child->inode->mode)) {
        if (tree->guarded && ib_entry_of(child)->generation == tree->generation) {
            ib_failf(err, IB_E_INVALID,
                     "'%s' would be written through the symbolic link '%s' of the same archive",
                     path, at);
            return NULL;
        }
        node = follow(tree, child->parent, child->inode->target, &links);
        if (!node) {
            ib_failf(err, IB_E_INVALID,
                     "'%s' lies behind the symbolic link '%s' to '%s', which "
                     "leads nowhere",
                     path, at, child->inode->target);
            return NULL;
        }
    }
    if (!S_ISDIR(node->inode->mode)) {
        ib_failf(err, IB_E_INVALID, "'%s' lies below '%s', which is %s", path, at,
                 type_name(node->inode->mode));
        return NULL;
    }
    return node;
}

/* Finds or makes the directory that holds `path`; *ret_name is the last part of it. */
static struct ib_node *make_parents(struct ib_tree *tree, const char *path, enum ib_layer layer,
                                    const char **ret_name, struct ib_error **err)
{
    struct ib_node *directory = tree->root;
    const char *name = path;

    for (;;) {
        size_t n = strcspn(name, "/");
        if (check_name(directory, path, name, n, err) < 0)
            return NULL;
        if (!name[n])
            break;
        bool found;
        size_t index = child_index(directory, name, n, &found);
        if (!found)
            insert_child(directory, index,
                         node_new(tree, name, n, ib_inode_new(S_IFDIR | 0755, layer)));
        directory = enter(tree, directory->children[index], path, err);
        if (!directory)
            return NULL;
        name += n + 1;
    }
    *ret_name = name;
    return directory;
}

/* A directory over a directory: the children stay, the rest is new. */
static struct ib_node *take_attributes(struct ib_tree *tree, struct ib_node *node,
                                       struct ib_inode *inode)
{
    inode->nlink = 1;
    node->inode = (ib_inode_free(node->inode), inode);
    ib_entry_of(node)->generation = tree->generation;
    return node;
}

static int check_duplicate(const struct ib_tree *tree, struct ib_node *old, const char *path,
                           const struct ib_inode *inode, struct ib_error **err)
{
    uint32_t type = inode->mode & S_IFMT, old_type = old->inode->mode & S_IFMT;

    if (!tree->guarded || ib_entry_of(old)->generation != tree->generation || type == old_type)
        return 0;
    return ib_failf(err, IB_E_INVALID, "'%s' stands in it twice, as %s and as %s", path,
                    type_name(old_type), type_name(type));
}

struct ib_node *ib_tree_put(struct ib_tree *tree, const char *path, struct ib_inode *inode,
                            struct ib_error **err)
{
    struct ib_node *directory, *node;
    const char *name;
    size_t index;
    bool found;

    directory = make_parents(tree, path, inode->layer, &name, err);
    if (!directory)
        goto fail;
    index = child_index(directory, name, strlen(name), &found);
    if (found) {
        struct ib_node *old = directory->children[index];
        if (check_duplicate(tree, old, path, inode, err) < 0)
            goto fail;
        if (old->inode == inode) /* a hard link onto itself */
            return old;
        if (S_ISDIR(inode->mode) && S_ISDIR(old->inode->mode))
            return take_attributes(tree, old, inode);
        node =
            node_new(tree, name, strlen(name), inode); /* first: old may hold inode's last name */
        ib_tree_detach(tree, old);
    } else
        node = node_new(tree, name, strlen(name), inode);
    insert_child(directory, index, node);
    return node;
fail:
    if (inode->nlink == 0)
        ib_inode_free(inode);
    return NULL;
}

struct ib_node *ib_tree_add_directory(struct ib_tree *tree, const char *path, uint32_t mode,
                                      enum ib_layer layer, struct ib_error **err)
{
    struct ib_inode *inode = ib_inode_new(S_IFDIR | (mode & 07777), layer);

    if (!*path)
        return take_attributes(tree, tree->root, inode);
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_file(struct ib_tree *tree, const char *path, uint32_t mode,
                                 const void *data, size_t size, enum ib_layer layer,
                                 struct ib_error **err)
{
    struct ib_inode *inode = ib_inode_new(S_IFREG | (mode & 07777), layer);

    if (size > 0) {
        inode->content = ib_calloc(1, sizeof(*inode->content) + size);
        memcpy(inode->content->data, data, size);
        inode->size = size;
    }
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_file_range(struct ib_tree *tree, const char *path, uint32_t mode,
                                       int fd, uint64_t offset, uint64_t size, enum ib_layer layer,
                                       struct ib_error **err)
{
    const struct ib_source *source = size ? ib_tree_source(tree, fd) : NULL;
    uint64_t end;

    if (size && !source) {
        ib_fail(err, IB_E_IO, errno, path, "keep the content of");
        return NULL;
    }
    if (!ib_add_u64(offset, size, &end) || end > INT64_MAX) {
        ib_failf(err, IB_E_INVALID, "the size of '%s' is beyond what a file can hold", path);
        return NULL;
    }
    struct ib_inode *inode = ib_inode_new(S_IFREG | (mode & 07777), layer);
    if (size)
        ib_inode_set_range(inode, source, offset, size);
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_file_below(struct ib_tree *tree, const char *path, uint32_t mode,
                                       int dir_fd, const char *name, uint64_t size,
                                       enum ib_layer layer, struct ib_error **err)
{
    const struct ib_source *source = size ? ib_tree_source(tree, dir_fd) : NULL;

    if (size && !source) {
        ib_fail(err, IB_E_IO, errno, path, "keep the content of");
        return NULL;
    }
    struct ib_inode *inode = ib_inode_new(S_IFREG | (mode & 07777), layer);
    if (size)
        ib_inode_set_below(inode, source, name, size);
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_symlink(struct ib_tree *tree, const char *path, const char *target,
                                    enum ib_layer layer, struct ib_error **err)
{
    size_t length = strlen(target);

    if (length == 0 || length > IB_TREE_MAX_PATH) {
        ib_failf(err, IB_E_INVALID,
                 "the symbolic link '%s' has a target of %zu bytes: 1 to %d "
                 "are possible",
                 path, length, IB_TREE_MAX_PATH);
        return NULL;
    }
    struct ib_inode *inode = ib_inode_new(S_IFLNK | 0777, layer);
    inode->target = ib_strdup(target);
    inode->size = length;
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_special(struct ib_tree *tree, const char *path, uint32_t mode,
                                    uint32_t rdev_major, uint32_t rdev_minor, enum ib_layer layer,
                                    struct ib_error **err)
{
    bool device = S_ISCHR(mode) || S_ISBLK(mode);

    if (!device && !S_ISFIFO(mode) && !S_ISSOCK(mode)) {
        ib_failf(err, IB_E_INVALID, "'%s' is neither a device nor a fifo nor a socket", path);
        return NULL;
    }
    struct ib_inode *inode = ib_inode_new(mode & (S_IFMT | 07777), layer);
    inode->rdev_major = device ? rdev_major : 0;
    inode->rdev_minor = device ? rdev_minor : 0;
    return ib_tree_put(tree, path, inode, err);
}

struct ib_node *ib_tree_add_hardlink(struct ib_tree *tree, const char *path,
                                     struct ib_node *existing, enum ib_layer layer,
                                     struct ib_error **err)
{
    struct ib_inode *inode = existing->inode;
    struct ib_node *node;
    enum ib_layer saved = inode->layer;

    if (S_ISDIR(inode->mode)) {
        ib_failf(err, IB_E_INVALID, "the hard link '%s' leads to a directory", path);
        return NULL;
    }
    inode->layer = layer; /* what new parents get */
    node = ib_tree_put(tree, path, inode, err);
    inode->layer = saved;
    return node;
}

void ib_tree_remove(struct ib_tree *tree, const char *path)
{
    struct ib_node *node = ib_tree_find(tree, path);

    if (node == tree->root)
        while (node->child_count)
            ib_tree_detach(tree, node->children[node->child_count - 1]);
    else if (node)
        ib_tree_detach(tree, node);
}

/* Recursion is bounded by IB_TREE_MAX_PATH. */
static int walk(struct ib_node *node, struct ib_buf *path, ib_tree_fn fn, void *userdata)
{
    size_t length = path->size;
    int r = fn(node, (const char *)path->data, userdata);

    for (size_t i = 0; r == 0 && i < node->child_count; i++) {
        if (length)
            ib_buf_append(path, "/", 1);
        ib_buf_append_str(path, node->children[i]->name);
        r = walk(node->children[i], path, fn, userdata);
        path->size = length;
        path->data[length] = 0;
    }
    return r;
}

int ib_tree_walk(const struct ib_tree *tree, ib_tree_fn fn, void *userdata)
{
    _cleanup_(ib_buf_clear) struct ib_buf path = {0};

    ib_buf_append(&path, "", 0);
    return walk(tree->root, &path, fn, userdata);
}
