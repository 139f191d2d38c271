/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"

enum { MAX_DEPTH = 64, MAX_FILE_SIZE = 16 << 20 };

/* Labels and capabilities. A file system that keeps none is fine; overlay's own are not copied. */
static int copy_xattrs(const char *from, const char *to, struct ib_error **err)
{
    char names[4096], value[4096];
    ssize_t size = llistxattr(from, names, sizeof(names));

    if (size < 0)
        return errno == EOPNOTSUPP ? 0
                                   : ib_fail(err, IB_E_IO, errno, from, "read the attributes of");
    for (const char *name = names; name < names + size; name += strlen(name) + 1) {
        if (ib_startswith(name, "trusted."))
            continue;
        ssize_t n = lgetxattr(from, name, value, sizeof(value));
        if (n < 0)
            return ib_fail(err, IB_E_IO, errno, from, "read the attributes of");
        if (lsetxattr(to, name, value, (size_t)n, 0) < 0 && errno != EOPNOTSUPP)
            return ib_fail(err, IB_E_IO, errno, to, "set the attributes of");
    }
    return 0;
}

/* Owner first: changing it clears set-user-ID bits and capabilities. */
static int copy_metadata(const char *from, const char *to, const struct stat *st,
                         struct ib_error **err)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};

    if (lchown(to, st->st_uid, st->st_gid) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "set the owner of");
    if (!S_ISLNK(st->st_mode) && chmod(to, st->st_mode & 07777) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "set the mode of");
    if (copy_xattrs(from, to, err) < 0)
        return -1;
    if (utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "set the time of");
    return 0;
}

static int copy_regular(const char *from, const char *to, struct ib_error **err)
{
    _cleanup_(ib_closep) int in = ib_open_read(from, err);
    _cleanup_(ib_closep) int out =
        in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat st;

    if (in < 0)
        return -1;
    if (out < 0)
        return ib_fail(err, IB_E_IO, errno, to, "create");
    if (fstat(in, &st) < 0 || ib_copy_range(in, 0, out, (uint64_t)st.st_size) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "write");
    return 0;
}

static int copy_symlink(const char *from, const char *to, struct ib_error **err)
{
    char target[4096];
    ssize_t n = readlink(from, target, sizeof(target) - 1);

    if (n < 0)
        return ib_fail(err, IB_E_IO, errno, from, "read the symbolic link");
    target[n] = 0;
    if (symlink(target, to) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "make the symbolic link");
    return 0;
}

static int copy_entry(const char *from, const char *to, unsigned depth, struct ib_error **err);

static int copy_directory(const char *from, const char *to, unsigned depth, struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(from);

    if (!dir)
        return ib_fail(err, IB_E_IO, errno, from, "open directory");
    if (depth > MAX_DEPTH)
        return ib_failf(err, IB_E_INVALID, "'%s' is nested deeper than %d directories", from,
                        MAX_DEPTH);
    if (mkdir(to, 0700) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "make directory");
    for (struct dirent *d; (errno = 0, d = readdir(dir));) {
        if (ib_streq(d->d_name, ".") || ib_streq(d->d_name, ".."))
            continue;
        _cleanup_(ib_freep) char *child_from = ib_path_join(from, d->d_name);
        _cleanup_(ib_freep) char *child_to = ib_path_join(to, d->d_name);
        if (copy_entry(child_from, child_to, depth + 1, err) < 0)
            return -1;
    }
    return errno ? ib_fail(err, IB_E_IO, errno, from, "read directory") : 0;
}

static int copy_entry(const char *from, const char *to, unsigned depth, struct ib_error **err)
{
    struct stat st;
    int r = 0;

    if (lstat(from, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "look at");
    if (S_ISDIR(st.st_mode))
        r = copy_directory(from, to, depth, err);
    else if (S_ISREG(st.st_mode))
        r = copy_regular(from, to, err);
    else if (S_ISLNK(st.st_mode))
        r = copy_symlink(from, to, err);
    else if (mknod(to, st.st_mode, st.st_rdev) < 0)
        r = ib_fail(err, IB_E_IO, errno, to, "make the special file");
    return r < 0 ? r : copy_metadata(from, to, &st, err);
}

int ib_copy_tree(const char *from, const char *to, struct ib_error **err)
{
    return copy_entry(from, to, 0, err) < 0 ? ib_wrap(err, from, "copy") : 0;
}

/* Everything on the file system that holds `path` reaches the disk. */
static int sync_file_system(const char *path, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);

    if (fd < 0)
        return -1;
    return syncfs(fd) < 0 ? ib_fail(err, IB_E_IO, errno, path, "write to disk") : 0;
}

int ib_copy_tree_atomic(const char *from, const char *to, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(to);
    _cleanup_(ib_freep) char *temporary = ib_asprintf("%s/.new-%s", dir, ib_path_base(to));

    /* an earlier boot may have been cut off in the middle */
    if (ib_remove_tree(temporary, err) < 0 || ib_copy_tree(from, temporary, err) < 0 ||
        sync_file_system(dir, err) < 0)
        return -1;
    if (rename(temporary, to) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "put in place");
    return sync_file_system(dir, err);
}

static int copy_missing(const char *from, const char *to, unsigned depth, struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(from);

    if (!dir)
        return ib_fail(err, IB_E_IO, errno, from, "open directory");
    if (depth > MAX_DEPTH)
        return ib_failf(err, IB_E_INVALID, "'%s' is nested deeper than %d directories", from,
                        MAX_DEPTH);
    for (struct dirent *d; (errno = 0, d = readdir(dir));) {
        struct stat from_st, to_st;
        if (ib_streq(d->d_name, ".") || ib_streq(d->d_name, ".."))
            continue;
        _cleanup_(ib_freep) char *child_from = ib_path_join(from, d->d_name);
        _cleanup_(ib_freep) char *child_to = ib_path_join(to, d->d_name);
        if (lstat(child_from, &from_st) < 0)
            return ib_fail(err, IB_E_IO, errno, child_from, "look at");
        if (lstat(child_to, &to_st) < 0) {
            if (ib_copy_tree_atomic(child_from, child_to, err) < 0)
                return -1;
        } else if (S_ISDIR(from_st.st_mode) && S_ISDIR(to_st.st_mode)) {
            if (copy_missing(child_from, child_to, depth + 1, err) < 0)
                return -1;
        }
    }
    return errno ? ib_fail(err, IB_E_IO, errno, from, "read directory") : 0;
}

int ib_copy_missing(const char *from, const char *to, struct ib_error **err)
{
    return copy_missing(from, to, 0, err);
}

/* A missing `to` differs from everything. */
static bool is_same_file(const struct ib_buf *content, const struct stat *st, const char *to)
{
    _cleanup_(ib_buf_clear) struct ib_buf old = {0};
    struct stat old_st;

    return lstat(to, &old_st) == 0 && S_ISREG(old_st.st_mode) && old_st.st_mode == st->st_mode &&
           old_st.st_uid == st->st_uid && old_st.st_gid == st->st_gid &&
           old_st.st_size == st->st_size && ib_read_file(to, MAX_FILE_SIZE, &old, NULL) == 0 &&
           old.size == content->size &&
           (!old.size || memcmp(old.data, content->data, old.size) == 0);
}

int ib_copy_file(const char *from, const char *to, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};
    struct stat st;

    if (ib_read_file(from, MAX_FILE_SIZE, &content, err) < 0)
        return -1;
    if (stat(from, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "look at");
    if (is_same_file(&content, &st, to))
        return 0;
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(to, 0600, err);
    if (!file)
        return -1;
    int fd = ib_atomic_fd(file);
    if (content.size && ib_write_full(fd, content.data, content.size) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "write");
    if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "set owner and mode of");
    return ib_atomic_commit(file, err);
}
