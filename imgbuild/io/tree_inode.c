/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file tree: inodes, their extended attributes and their content.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "tree_internal.h"

struct ib_inode *ib_inode_new(uint32_t mode, enum ib_layer layer)
{
    struct ib_inode *inode = ib_calloc(1, sizeof(*inode));

    inode->mode = mode;
    inode->layer = layer;
    return inode;
}

struct ib_inode *ib_inode_free(struct ib_inode *inode)
{
    for (size_t i = 0; i < inode->xattr_count; i++) {
        free(inode->xattrs[i].name);
        free(inode->xattrs[i].value);
    }
    free(inode->xattrs);
    free(inode->target);
    free(inode->content);
    free(inode);
    return NULL;
}

/* The index of the first attribute that does not sort before the name. */
static size_t xattr_index(const struct ib_inode *inode, const char *name, bool *ret_found)
{
    size_t low = 0, high = inode->xattr_count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(inode->xattrs[middle].name, name);
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

void ib_inode_set_xattr(struct ib_inode *inode, const char *name, const void *value, size_t size)
{
    bool found;
    size_t index = xattr_index(inode, name, &found);
    struct ib_xattr *xattr;

    if (found) {
        unsigned char *copy = ib_memdup(value, size); /* first: value may be the old one */
        xattr = &inode->xattrs[index];
        free(xattr->value);
        xattr->value = copy;
        xattr->size = size;
        return;
    }
    if ((inode->xattr_count & (inode->xattr_count - 1)) == 0) /* room for 1, 2, 4, 8 … */
        inode->xattrs = ib_reallocarray(
            inode->xattrs, inode->xattr_count ? inode->xattr_count * 2 : 1, sizeof(*xattr));
    xattr = &inode->xattrs[index];
    memmove(xattr + 1, xattr, (inode->xattr_count - index) * sizeof(*xattr));
    *xattr = (struct ib_xattr){ib_strdup(name), ib_memdup(value, size), size};
    inode->xattr_count++;
}

const struct ib_xattr *ib_inode_get_xattr(const struct ib_inode *inode, const char *name)
{
    bool found;
    size_t index = xattr_index(inode, name, &found);

    return found ? &inode->xattrs[index] : NULL;
}

void ib_inode_remove_xattr(struct ib_inode *inode, const char *name)
{
    bool found;
    size_t index = xattr_index(inode, name, &found);
    struct ib_xattr *xattr = inode->xattrs + index;

    if (!found)
        return;
    free(xattr->name);
    free(xattr->value);
    inode->xattr_count--;
    memmove(xattr, xattr + 1, (inode->xattr_count - index) * sizeof(*xattr));
}

const struct ib_source *ib_tree_source(struct ib_tree *tree, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return NULL;
    for (struct ib_source *s = tree->sources; s; s = s->next)
        if (s->device == st.st_dev && s->inode == st.st_ino)
            return s;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return NULL;
    struct ib_source *source = ib_calloc(1, sizeof(*source));
    *source = (struct ib_source){copy, st.st_dev, st.st_ino, tree->sources};
    tree->sources = source;
    return source;
}

void ib_inode_set_range(struct ib_inode *inode, const struct ib_source *source, uint64_t offset,
                        uint64_t size)
{
    assert(!inode->content && size > 0);
    inode->content = ib_calloc(1, sizeof(*inode->content));
    inode->content->source = source;
    inode->content->offset = offset;
    inode->size = size;
}

void ib_inode_set_below(struct ib_inode *inode, const struct ib_source *directory, const char *name,
                        uint64_t size)
{
    assert(!inode->content && size > 0);
    inode->content = ib_calloc(1, sizeof(*inode->content) + strlen(name) + 1);
    inode->content->source = directory;
    inode->content->below = true;
    strcpy((char *)inode->content->data, name);
    inode->size = size;
}

/* Opened at each read: a tree of 100,000 such files needs no descriptor for any of them. */
static int read_below(const struct ib_content *content, void *data, size_t size, uint64_t offset)
{
    _cleanup_(ib_closep) int fd = openat(content->source->fd, (const char *)content->data,
                                         O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);

    return fd < 0 ? -1 : ib_pread_full(fd, data, size, offset);
}

/* What the kernel calls the source's file, for messages. */
static int fail_read(const struct ib_source *source, struct ib_error **err)
{
    char link[32], path[IB_TREE_MAX_PATH + 1] = "?";
    int errnum = errno;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", source->fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (n > 0)
        path[n] = 0;
    if (errnum == ENODATA) {
        ib_failf(err, IB_E_INVALID, "'%s' ends before the file content it should hold", path);
        return ib_hint(err, "run `imgbuild clean` and build again");
    }
    return ib_fail(err, IB_E_IO, errnum, path, "read file content from");
}

int ib_inode_read(const struct ib_inode *inode, void *data, size_t size, uint64_t offset,
                  struct ib_error **err)
{
    const struct ib_content *content = inode->content;

    assert(S_ISREG(inode->mode) && offset <= inode->size && size <= inode->size - offset);
    if (size == 0)
        return 0;
    if (!content->source)
        memcpy(data, content->data + offset, size);
    else if (content->below) {
        if (read_below(content, data, size, offset) < 0)
            return errno == ENODATA
                       ? ib_failf(err, IB_E_INVALID, "'%s' became shorter", content->data)
                       : ib_fail(err, IB_E_IO, errno, (const char *)content->data, "read");
    } else if (ib_pread_full(content->source->fd, data, size, content->offset + offset) < 0)
        return fail_read(content->source, err);
    return 0;
}

int ib_tree_read_file(const struct ib_tree *tree, const char *path, uint64_t max_size_bytes,
                      struct ib_buf *ret, struct ib_error **err)
{
    const struct ib_node *node = ib_tree_resolve(tree, path);
    const struct ib_inode *inode = node ? node->inode : NULL;

    if (!inode)
        return ib_failf(err, IB_E_NOT_FOUND, "there is no file '%s' in the tree", path);
    if (!S_ISREG(inode->mode))
        return ib_failf(err, IB_E_INVALID, "'%s' in the tree is not a regular file", path);
    if (inode->size > max_size_bytes)
        return ib_failf(err, IB_E_INVALID, "'%s' is larger than the %llu bytes allowed for it",
                        path, (unsigned long long)max_size_bytes);

    _cleanup_(ib_buf_clear) struct ib_buf content = {0};
    unsigned char *data = ib_buf_reserve(&content, (size_t)inode->size);
    if (ib_inode_read(inode, data, (size_t)inode->size, 0, err) < 0)
        return ib_wrap(err, path, "read");
    content.size = (size_t)inode->size;
    ib_buf_append(&content, "", 0); /* the closing NUL */
    ib_buf_clear(ret);
    *ret = content;
    content = (struct ib_buf){0};
    return 0;
}
