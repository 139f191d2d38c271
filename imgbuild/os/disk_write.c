/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "disk_tree.h"

enum { BUFFER = 256 * 1024 };

struct writer {
    int root_fd;      /* the sandbox's root */
    const char *base; /* where the tree goes below it; "" */
    bool merge;
    unsigned char *buffer;
    void *first_names; /* tsearch: struct first_name by inode */
    struct ib_error **err;
};

/* The first name of an inode that has several. */
struct first_name {
    const struct ib_inode *inode;
    const struct ib_node *node;
};

int ib_disk_open(int root_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };

    return (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
}

bool ib_disk_has_user_xattrs(int dir_fd)
{
    _cleanup_(ib_closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fgetxattr(fd, "user.imgbuild", NULL, 0) >= 0 || errno == ENODATA;
}

static char *path_below(const struct writer *w, const struct ib_node *node)
{
    _cleanup_(ib_freep) char *path = ib_node_path(node);

    return *path ? ib_path_join(w->base, path) : ib_strdup(w->base);
}

static int fail(const struct writer *w, const struct ib_node *node, const char *what)
{
    int errnum = errno;
    _cleanup_(ib_freep) char *path = path_below(w, node);

    return ib_fail(w->err, IB_E_IO, errnum, *path ? path : "/", what);
}

/* ---- Attributes ----------------------------------------------------------------------------- */

static int set_xattrs(const struct writer *w, const struct ib_node *node, int fd)
{
    const struct ib_inode *inode = node->inode;

    for (size_t i = 0; i < inode->xattr_count; i++) {
        const struct ib_xattr *x = &inode->xattrs[i];
        if (fsetxattr(fd, x->name, x->value, x->size, 0) < 0)
            return fail(w, node, x->name);
    }
    return 0;
}

/*
 * In this order: a new owner clears setuid bits and capabilities, an ACL changes the mode's bits,
 * and all of them the time of change only. A fresh file is root's already.
 */
static int set_attributes(const struct writer *w, const struct ib_node *node, int fd,
                          uint32_t mode_now)
{
    const struct ib_inode *inode = node->inode;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = inode->mtime_s}};
    uint32_t mode = inode->mode & 07777;

    if ((inode->uid || inode->gid) && fchown(fd, inode->uid, inode->gid) < 0)
        return fail(w, node, "set the owner of");
    if (mode != mode_now && fchmod(fd, mode) < 0)
        return fail(w, node, "set the mode of");
    if (set_xattrs(w, node, fd) < 0)
        return ib_wrap(w->err, NULL, "set an extended attribute");
    if (futimens(fd, times) < 0)
        return fail(w, node, "set the time of");
    return 0;
}

/* The same for what cannot be opened: symbolic links, fifos, sockets. They hold no xattrs here. */
static int set_attributes_at(const struct writer *w, const struct ib_node *node, int dir_fd)
{
    const struct ib_inode *inode = node->inode;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = inode->mtime_s}};

    if ((inode->uid || inode->gid) &&
        fchownat(dir_fd, node->name, inode->uid, inode->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(w, node, "set the owner of");
    if (!S_ISLNK(inode->mode) && fchmodat(dir_fd, node->name, inode->mode & 07777, 0) < 0)
        return fail(w, node, "set the mode of");
    if (utimensat(dir_fd, node->name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(w, node, "set the time of");
    return 0;
}

/* ---- Nodes ---------------------------------------------------------------------------------- */

static int copy_content(const struct writer *w, const struct ib_node *node, int fd)
{
    const struct ib_inode *inode = node->inode;

    for (uint64_t offset = 0; offset < inode->size;) {
        size_t n = (size_t)IB_MIN(inode->size - offset, (uint64_t)BUFFER);
        if (ib_inode_read(inode, w->buffer, n, offset, w->err) < 0)
            return -1;
        if (ib_write_full(fd, w->buffer, n) < 0)
            return fail(w, node, "unpack");
        offset += n;
    }
    return 0;
}

static int write_file(const struct writer *w, const struct ib_node *node, int dir_fd)
{
    uint32_t plain_mode = node->inode->mode & 0777;
    _cleanup_(ib_closep) int fd = openat(
        dir_fd, node->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, plain_mode);

    if (fd < 0)
        return fail(w, node, "unpack");
    if (copy_content(w, node, fd) < 0)
        return -1;
    return set_attributes(w, node, fd, plain_mode);
}

static int compare_inodes(const void *a, const void *b)
{
    const struct first_name *x = a, *y = b;

    return (x->inode > y->inode) - (x->inode < y->inode);
}

/* The node that made this inode real, or NULL where it is this one. */
static const struct ib_node *first_name(struct writer *w, const struct ib_node *node)
{
    struct first_name key = {node->inode, node};

    if (node->inode->nlink < 2)
        return NULL;
    struct first_name **found = tfind(&key, &w->first_names, compare_inodes);
    if (found)
        return (*found)->node;
    if (!tsearch(ib_memdup(&key, sizeof(key)), &w->first_names, compare_inodes))
        abort();
    return NULL;
}

static int write_link(const struct writer *w, const struct ib_node *node,
                      const struct ib_node *first, int dir_fd)
{
    _cleanup_(ib_freep) char *path = path_below(w, first);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);
    _cleanup_(ib_closep) int parent_fd = ib_disk_open(w->root_fd, parent, O_PATH | O_DIRECTORY);

    if (parent_fd < 0 || linkat(parent_fd, ib_path_base(path), dir_fd, node->name, 0) < 0)
        return fail(w, node, "make the hard link");
    return 0;
}

static int write_special(const struct writer *w, const struct ib_node *node, int dir_fd)
{
    const struct ib_inode *inode = node->inode;
    dev_t rdev = makedev(inode->rdev_major, inode->rdev_minor);

    if (mknodat(dir_fd, node->name, inode->mode, rdev) < 0)
        return fail(w, node, "make");
    return set_attributes_at(w, node, dir_fd);
}

static int write_symlink(const struct writer *w, const struct ib_node *node, int dir_fd)
{
    if (symlinkat(node->inode->target, dir_fd, node->name) < 0)
        return fail(w, node, "make the symbolic link");
    return set_attributes_at(w, node, dir_fd);
}

static int write_children(struct writer *w, const struct ib_node *node, int fd);

/* Opens the directory of this name where there is one already; -1 and ENOENT where there is none.
 */
static int open_existing(const struct writer *w, const struct ib_node *node)
{
    _cleanup_(ib_freep) char *path = path_below(w, node);

    return ib_disk_open(w->root_fd, path, O_RDONLY | O_DIRECTORY);
}

static int write_directory(struct writer *w, const struct ib_node *node, int dir_fd)
{
    if (mkdirat(dir_fd, node->name, 0700) < 0) {
        if (!w->merge || errno != EEXIST)
            return fail(w, node, "make the directory");
        _cleanup_(ib_closep) int old = open_existing(w, node);
        if (old < 0)
            return fail(w, node, "open the directory");
        return write_children(w, node, old);
    }
    _cleanup_(ib_closep) int fd =
        openat(dir_fd, node->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail(w, node, "open the directory");
    if (write_children(w, node, fd) < 0)
        return -1;
    return set_attributes(w, node, fd, 0700);
}

static int write_node(struct writer *w, const struct ib_node *node, int dir_fd)
{
    uint32_t type = node->inode->mode & S_IFMT;

    if (type == S_IFDIR)
        return write_directory(w, node, dir_fd);
    if (w->merge && unlinkat(dir_fd, node->name, 0) < 0 && errno != ENOENT)
        return fail(w, node, "replace");
    const struct ib_node *first = first_name(w, node);
    if (first)
        return write_link(w, node, first, dir_fd);
    if (type == S_IFREG)
        return write_file(w, node, dir_fd);
    return type == S_IFLNK ? write_symlink(w, node, dir_fd) : write_special(w, node, dir_fd);
}

/* Recursion and descriptors are bounded by the length of a path. */
static int write_children(struct writer *w, const struct ib_node *node, int fd)
{
    for (size_t i = 0; i < node->child_count; i++)
        if (write_node(w, node->children[i], fd) < 0)
            return -1;
    return 0;
}

int ib_disk_write(const struct ib_tree *tree, int dir_fd, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(ib_freep) unsigned char *buffer = ib_malloc(BUFFER);
    struct writer w = {.root_fd = fd, .base = "", .buffer = buffer, .err = err};
    const struct ib_node *root = ib_tree_root(tree);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "open the directory of the tree");
    int r = write_children(&w, root, fd);
    if (r == 0)
        r = set_attributes(&w, root, fd, st.st_mode & 07777);
    tdestroy(w.first_names, free);
    return r;
}

/* ---- Merging -------------------------------------------------------------------------------- */

/* Opens the directory `path` below root_fd, making what is missing of it; -1 and an error. */
static int make_directories(int root_fd, const char *path, struct ib_error **err)
{
    int fd = ib_disk_open(root_fd, "", O_RDONLY | O_DIRECTORY);

    for (size_t end = 0; fd >= 0 && path[end]; end += path[end] == '/') {
        const char *name = path + end;
        size_t length = strcspn(name, "/");
        _cleanup_(ib_closep) int parent = fd;
        _cleanup_(ib_freep) char *part = ib_strndup(name, length);
        end += length;
        _cleanup_(ib_freep) char *so_far = ib_strndup(path, end);
        if (mkdirat(parent, part, 0755) < 0 && errno != EEXIST)
            return ib_fail(err, IB_E_IO, errno, so_far, "make the directory");
        fd = ib_disk_open(root_fd, so_far, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            return ib_fail(err, IB_E_IO, errno, so_far, "open the directory");
    }
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "open the directory");
    return fd;
}

int ib_disk_merge(const struct ib_tree *tree, int root_fd, const char *path, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = make_directories(root_fd, path, err);
    _cleanup_(ib_freep) unsigned char *buffer = ib_malloc(BUFFER);
    struct writer w = {
        .root_fd = root_fd, .base = path, .merge = true, .buffer = buffer, .err = err};

    if (fd < 0)
        return -1;
    int r = write_children(&w, ib_tree_root(tree), fd);
    tdestroy(w.first_names, free);
    return r;
}
