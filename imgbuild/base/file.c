/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int ib_read_full(int fd, void *data, size_t size)
{
    uint8_t *p = data;

    while (size > 0) {
        ssize_t n = read(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int ib_pread_full(int fd, void *data, size_t size, uint64_t offset)
{
    uint8_t *p = data;

    while (size > 0) {
        ssize_t n = pread(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            return -1;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int ib_write_full(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;

    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int ib_pwrite_full(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *p = data;

    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

void ib_closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

int ib_open_read(const char *path, struct ib_error **err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "open");
    return fd;
}

int ib_read_file(const char *path, uint64_t max_size_bytes, struct ib_buf *ret,
                 struct ib_error **err)
{
    enum { CHUNK = 1 << 16 };
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};

    if (fd < 0)
        return -1;
    for (;;) {
        ssize_t n = read(fd, ib_buf_reserve(&content, CHUNK), CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ib_fail(err, IB_E_IO, errno, path, "read");
        if (n == 0)
            break;
        content.size += (size_t)n;
        if (content.size > max_size_bytes)
            return ib_failf(err, IB_E_INVALID, "'%s' is larger than the %llu bytes allowed for it",
                            path, (unsigned long long)max_size_bytes);
    }
    ib_buf_append(&content, "", 0);
    ib_buf_clear(ret);
    *ret = content;
    content = (struct ib_buf){0};
    return 0;
}

int ib_write_file(const char *path, unsigned mode, const void *data, size_t size,
                  struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0 || fchmod(fd, mode) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "make");
    if (ib_write_full(fd, data, size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return 0;
}

static int copy_by_buffer(int in_fd, uint64_t in_offset, int out_fd, uint64_t size)
{
    enum { CHUNK = 1 << 20 };
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);

    while (size > 0) {
        size_t n = (size_t)IB_MIN(size, (uint64_t)CHUNK);
        if (ib_pread_full(in_fd, chunk, n, in_offset) < 0 || ib_write_full(out_fd, chunk, n) < 0)
            return -1;
        in_offset += n;
        size -= n;
    }
    return 0;
}

int ib_copy_range(int in_fd, uint64_t in_offset, int out_fd, uint64_t size)
{
    while (size > 0) {
        off_t from = (off_t)in_offset;
        ssize_t n = copy_file_range(in_fd, &from, out_fd, NULL, (size_t)IB_MIN(size, IB_GIB), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != ENOSPC && errno != EDQUOT && errno != EIO)
            return copy_by_buffer(in_fd, in_offset, out_fd, size); /* not between these two */
        if (n < 0)
            return -1;
        if (n == 0) {
            errno = ENODATA;
            return -1;
        }
        in_offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

int ib_mkdir_p(const char *path, struct ib_error **err)
{
    _cleanup_(ib_freep) char *part = ib_strdup(path);

    for (char *slash = part + 1; *part; slash++) {
        slash = strchrnul(slash, '/');
        char saved = *slash;
        *slash = 0;
        if (mkdir(part, 0777) < 0 && errno != EEXIST)
            return ib_fail(err, IB_E_IO, errno, part, "make directory");
        *slash = saved;
        if (!saved)
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
        return ib_fail(err, IB_E_IO, ENOTDIR, path, "make directory");
    return 0;
}

static int remove_children(int dir_fd, dev_t device);

static int remove_entry(int dir_fd, const char *name, dev_t device)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;

    struct stat st;
    _cleanup_(ib_closep) int fd =
        openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (device && st.st_dev != device) {
        errno = EXDEV;
        return -1;
    }
    if ((st.st_mode & 0700) != 0700)
        (void)fchmod(fd, 0700);
    if (remove_children(fd, st.st_dev) < 0)
        return -1;
    return unlinkat(dir_fd, name, AT_REMOVEDIR);
}

static int remove_children(int dir_fd, dev_t device)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(ib_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        return -1;
    for (struct dirent *entry; (errno = 0, entry = readdir(dir));) {
        if (ib_streq(entry->d_name, ".") || ib_streq(entry->d_name, ".."))
            continue;
        if (remove_entry(dir_fd, entry->d_name, device) < 0)
            return -1;
    }
    return errno ? -1 : 0;
}

int ib_remove_tree(const char *path, struct ib_error **err)
{
    if (remove_entry(AT_FDCWD, path, 0) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "remove");
    return 0;
}

char *ib_make_temp_dir(const char *parent, const char *prefix, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/%s.XXXXXX", parent, prefix);

    if (!mkdtemp(path)) {
        ib_fail(err, IB_E_IO, errno, path, "make temporary directory");
        return NULL;
    }
    return ib_steal(&path);
}

void ib_temp_dirp(char **path)
{
    int saved = errno;

    if (*path && ib_remove_tree(*path, NULL) < 0) {
        /* nothing more can be done: the name says whose it is, and `clean` removes it */
    }
    free(*path);
    errno = saved;
}

int ib_temp_file(const char *dir, struct ib_error **err)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        _cleanup_(ib_freep) char *path = ib_asprintf("%s/.imgbuild-tmp.XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, dir, "make temporary file in");
    return fd;
}

char *ib_path_join(const char *dir, const char *name)
{
    if (name[0] == '/' || !*dir)
        return ib_strdup(name);
    return ib_asprintf(ib_endswith(dir, "/") ? "%s%s" : "%s/%s", dir, name);
}

const char *ib_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

char *ib_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return ib_strdup(".");
    return slash == path ? ib_strdup("/") : ib_strndup(path, (size_t)(slash - path));
}

char *ib_path_normalize(const char *name)
{
    struct ib_buf out = {0};

    if (strlen(name) > 4095)
        return NULL;
    while (*name) {
        size_t n = strcspn(name, "/");
        if (n == 2 && name[0] == '.' && name[1] == '.') {
            ib_buf_clear(&out);
            return NULL;
        }
        if (n > 0 && !(n == 1 && name[0] == '.')) {
            if (out.size)
                ib_buf_append(&out, "/", 1);
            ib_buf_append(&out, name, n);
        }
        name += n;
        name += strspn(name, "/");
    }
    return ib_buf_steal_string(&out);
}

bool ib_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

char *ib_find_program(const char *name)
{
    const char *path = getenv("PATH");
    _cleanup_(ib_strv_clear) struct ib_strv dirs = {0};

    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? ib_strdup(name) : NULL;
    ib_strv_split(&dirs, path && *path ? path : "/usr/bin:/bin", ":");
    ib_strv_add(&dirs, "/usr/sbin"); /* mkfs and friends, which a user's PATH leaves out */
    ib_strv_add(&dirs, "/sbin");
    for (size_t i = 0; i < dirs.count; i++) {
        _cleanup_(ib_freep) char *candidate = ib_path_join(dirs.items[i], name);
        if (access(candidate, X_OK) == 0)
            return ib_steal(&candidate);
    }
    return NULL;
}
