/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "disk_tree.h"

enum { MAX_XATTR_LIST = 64 * 1024, MAX_XATTR_VALUE = 64 * 1024, MAX_LINK = 4096 };

struct reader {
    struct ib_tree *tree;
    int root_fd;
    unsigned flags;
    const struct ib_held *held;
    void *links;           /* tsearch: struct link by device and inode number */
    unsigned char *buffer; /* MAX_XATTR_LIST and MAX_XATTR_VALUE bytes */
    struct ib_error **err;
};

/* The first name of a file with several. */
struct link {
    dev_t device;
    ino_t inode;
    struct ib_node *node;
};

static int fail(const struct reader *r, const char *path, const char *what)
{
    return ib_fail(r->err, IB_E_IO, errno, *path ? path : "/", what);
}

static int compare_links(const void *a, const void *b)
{
    const struct link *x = a, *y = b;

    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return (x->inode > y->inode) - (x->inode < y->inode);
}

static struct ib_node *find_link(const struct reader *r, const struct stat *st)
{
    const struct link key = {st->st_dev, st->st_ino, NULL};
    struct link **found = tfind(&key, &r->links, compare_links);

    return found ? (*found)->node : NULL;
}

static void remember_link(struct reader *r, const struct stat *st, struct ib_node *node)
{
    const struct link link = {st->st_dev, st->st_ino, node};

    if (!tsearch(ib_memdup(&link, sizeof(link)), &r->links, compare_links))
        abort();
}

/* `name`: in the current directory, which is not left while it is used (see read_directory). */
static int read_xattrs(const struct reader *r, struct ib_inode *inode, const char *name,
                       const char *path)
{
    char *names = (char *)r->buffer;
    unsigned char *value = r->buffer + MAX_XATTR_LIST;
    ssize_t length = llistxattr(name, names, MAX_XATTR_LIST);

    if (length < 0)
        return errno == EOPNOTSUPP ? 0 : fail(r, path, "list the extended attributes of");
    for (char *at = names; at < names + length; at += strlen(at) + 1) {
        ssize_t n = lgetxattr(name, at, value, MAX_XATTR_VALUE);
        if (n < 0 && errno == ENODATA)
            continue;
        if (n < 0)
            return fail(r, path, "read an extended attribute of");
        if (ib_held_fits(r->held, inode->mode, at, (size_t)n))
            ib_inode_set_xattr(inode, at, value, (size_t)n);
    }
    return 0;
}

static int take_attributes(const struct reader *r, struct ib_inode *inode, const struct stat *st,
                           const char *name, const char *path)
{
    inode->mtime_s = st->st_mtim.tv_sec;
    if (!(r->flags & IB_DISK_ROOT_OWNED)) {
        inode->uid = st->st_uid;
        inode->gid = st->st_gid;
    }
    if ((r->flags & IB_DISK_XATTRS) && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)))
        return read_xattrs(r, inode, name, path);
    return 0;
}

static struct ib_node *add_symlink(const struct reader *r, int dir_fd, const char *name,
                                   const char *path)
{
    char target[MAX_LINK];
    ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);

    if (n < 0) {
        fail(r, path, "read the symbolic link");
        return NULL;
    }
    target[n] = 0;
    return ib_tree_add_symlink(r->tree, path, target, IB_LAYER_BASE, r->err);
}

static struct ib_node *add_node(struct reader *r, int dir_fd, const char *name, const char *path,
                                const struct stat *st)
{
    switch (st->st_mode & S_IFMT) {
    case S_IFREG:
        return ib_tree_add_file_below(r->tree, path, st->st_mode, r->root_fd, path,
                                      (uint64_t)st->st_size, IB_LAYER_BASE, r->err);
    case S_IFDIR:
        return ib_tree_add_directory(r->tree, path, st->st_mode, IB_LAYER_BASE, r->err);
    case S_IFLNK:
        return add_symlink(r, dir_fd, name, path);
    default:
        if (r->flags & IB_DISK_ROOT_OWNED) {
            ib_failf(r->err, IB_E_INVALID,
                     "'%s' is neither a file, a directory nor a symbolic link", path);
            return NULL;
        }
        return ib_tree_add_special(r->tree, path, st->st_mode, major(st->st_rdev),
                                   minor(st->st_rdev), IB_LAYER_BASE, r->err);
    }
}

static int read_directory(struct reader *r, int fd, const char *path);

static int read_entry(struct reader *r, int dir_fd, const char *name, const char *path)
{
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
        return fail(r, path, "look at");
    if (S_ISSOCK(st.st_mode)) /* what a program listened at: worth nothing without it */
        return 0;
    bool linked = st.st_nlink > 1 && !S_ISDIR(st.st_mode) && !(r->flags & IB_DISK_ROOT_OWNED);
    struct ib_node *first = linked ? find_link(r, &st) : NULL;
    if (first)
        return ib_tree_add_hardlink(r->tree, path, first, IB_LAYER_BASE, r->err) ? 0 : -1;
    struct ib_node *node = add_node(r, dir_fd, name, path, &st);
    if (!node || take_attributes(r, node->inode, &st, name, path) < 0)
        return -1;
    if (linked)
        remember_link(r, &st, node);
    if (!S_ISDIR(st.st_mode))
        return 0;
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? fail(r, path, "open the directory") : read_directory(r, fd, path);
}

/* The names in a directory, sorted: a tree takes them fastest in that order. Takes fd. */
static int list(struct reader *r, DIR *dir, const char *path, struct ib_strv *ret)
{
    errno = 0;
    for (const struct dirent *e; (e = readdir(dir)); errno = 0)
        if (!ib_streq(e->d_name, ".") && !ib_streq(e->d_name, ".."))
            ib_strv_add(ret, e->d_name);
    if (errno)
        return fail(r, path, "read the directory");
    ib_strv_sort(ret);
    return 0;
}

static void close_dirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/*
 * Takes fd. There is no system call for xattrs by directory and name, and opening every file to ask
 * for them costs more than all the rest: the directory is made the current one instead.
 */
static int read_directory(struct reader *r, int fd, const char *path)
{
    _cleanup_(close_dirp) DIR *dir = fdopendir(fd);
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (!dir) {
        fail(r, path, "read the directory");
        close(fd);
        return -1;
    }
    if (list(r, dir, path, &names) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        _cleanup_(ib_freep) char *child = *path ? ib_path_join(path, name) : ib_strdup(name);
        if ((r->flags & IB_DISK_XATTRS) && fchdir(fd) < 0)
            return fail(r, path, "enter the directory");
        if (read_entry(r, fd, name, child) < 0)
            return -1;
    }
    return 0;
}

static int read_root(struct reader *r)
{
    struct stat st;
    int fd = openat(r->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0 || ((r->flags & IB_DISK_XATTRS) && fchdir(fd) < 0)) {
        fail(r, "", "open");
        ib_closep(&fd);
        return -1;
    }
    struct ib_node *root = ib_tree_add_directory(r->tree, "", st.st_mode, IB_LAYER_BASE, r->err);
    if (!root || take_attributes(r, root->inode, &st, ".", "") < 0) {
        close(fd);
        return -1;
    }
    return read_directory(r, fd, "");
}

int ib_disk_read(struct ib_tree *tree, int dir_fd, unsigned flags, const struct ib_held *held,
                 struct ib_error **err)
{
    _cleanup_(ib_freep) unsigned char *buffer = ib_malloc(MAX_XATTR_LIST + MAX_XATTR_VALUE);
    struct reader r = {.tree = tree,
                       .root_fd = dir_fd,
                       .flags = flags,
                       .held = held,
                       .buffer = buffer,
                       .err = err};
    int result = read_root(&r);

    tdestroy(r.links, free);
    return result;
}
