/* SPDX-License-Identifier: Apache-2.0 */
#include "base/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

enum { YOUNG_S = 60 };

struct ib_atomic {
    char *path;
    char *temporary; /* NULL once committed */
    int fd;
};

struct ib_atomic *ib_atomic_open(const char *path, unsigned mode, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(path);
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_calloc(1, sizeof(*file));

    file->path = ib_strdup(path);
    file->temporary = ib_asprintf("%s/.%s.XXXXXX.tmp", dir, ib_path_base(path));
    file->fd = mkostemps(file->temporary, 4, O_CLOEXEC);
    if (file->fd < 0) {
        ib_fail(err, IB_E_IO, errno, path, "create");
        free(ib_steal(&file->temporary));
        return NULL;
    }
    (void)flock(file->fd, LOCK_EX | LOCK_NB); /* not every file system has locks */
    if (fchmod(file->fd, mode) < 0) {
        ib_fail(err, IB_E_IO, errno, path, "set the mode of");
        return NULL;
    }
    return ib_steal(&file);
}

int ib_atomic_fd(const struct ib_atomic *file)
{
    return file->fd;
}

static int sync_directory_of(const char *path)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(path);
    _cleanup_(ib_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    return fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
}

static int finish(struct ib_atomic *file, struct ib_error **err)
{
    free(ib_steal(&file->temporary));
    if (sync_directory_of(file->path) < 0)
        return ib_fail(err, IB_E_IO, errno, file->path, "sync the directory of");
    return 0;
}

int ib_atomic_commit(struct ib_atomic *file, struct ib_error **err)
{
    if (fsync(file->fd) < 0)
        return ib_fail(err, IB_E_IO, errno, file->path, "write");
    if (rename(file->temporary, file->path) < 0)
        return ib_fail(err, IB_E_IO, errno, file->path, "put in place");
    return finish(file, err);
}

int ib_atomic_commit_new(struct ib_atomic *file, struct ib_error **err)
{
    if (fsync(file->fd) < 0)
        return ib_fail(err, IB_E_IO, errno, file->path, "write");
    int r = renameat2(AT_FDCWD, file->temporary, AT_FDCWD, file->path, RENAME_NOREPLACE);
    if (r < 0 && errno == EINVAL && /* a file system without that, as NFS: a second name will do */
        (r = link(file->temporary, file->path)) == 0)
        unlink(file->temporary);
    if (r < 0 && errno == EEXIST)
        return ib_failf(err, IB_E_REFUSED, "'%s' exists", file->path);
    if (r < 0)
        return ib_fail(err, IB_E_IO, errno, file->path, "put in place");
    return finish(file, err);
}

struct ib_atomic *ib_atomic_free(struct ib_atomic *file)
{
    if (file) {
        ib_closep(&file->fd);
        if (file->temporary)
            unlink(file->temporary);
        free(file->temporary);
        free(file->path);
        free(file);
    }
    return NULL;
}

void ib_atomic_freep(struct ib_atomic **file)
{
    *file = ib_atomic_free(*file);
}

/* ".NAME.XXXXXX.tmp" */
static bool is_temporary_name(const char *name)
{
    size_t n = strlen(name);

    return name[0] == '.' && n > strlen("..XXXXXX.tmp") && ib_endswith(name, ".tmp") &&
           name[n - strlen(".XXXXXX.tmp")] == '.';
}

/* An old temporary file that nobody has locked: its size on disk, else -1. */
static int64_t measure_leftover(int dir_fd, const char *name)
{
    _cleanup_(ib_closep) int fd =
        openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        time(NULL) - st.st_mtime < YOUNG_S || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    return (int64_t)st.st_blocks * 512;
}

int ib_atomic_remove_leftovers(const char *dir, uint64_t *freed_bytes, struct ib_error **err)
{
    DIR *d = opendir(dir);
    int r = 0;

    if (!d)
        return errno == ENOENT ? 0 : ib_fail(err, IB_E_IO, errno, dir, "read directory");
    for (const struct dirent *e; r == 0 && (e = readdir(d));) {
        int64_t size = is_temporary_name(e->d_name) ? measure_leftover(dirfd(d), e->d_name) : -1;
        if (size < 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
            r = ib_fail(err, IB_E_IO, errno, e->d_name, "remove");
        else
            *freed_bytes += (uint64_t)size;
    }
    closedir(d);
    return r;
}

int ib_atomic_write(const char *path, unsigned mode, const void *data, size_t size,
                    struct ib_error **err)
{
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(path, mode, err);

    if (!file)
        return -1;
    if (ib_write_full(file->fd, data, size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return ib_atomic_commit(file, err);
}
