/* SPDX-License-Identifier: Apache-2.0 */
/* Files and block devices, by pread; pipes, terminals and sockets, one byte after the other. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "source_internal.h"

enum {
    WAIT_MS = 200, /* between two looks at whether to stop */
    PIPE_SIZE = 1 << 20,
    WILLNEED_MAX = 32 << 20, /* of a plan: the page cache is not ours alone */
};

struct file_source {
    struct ib_source base;
    uint64_t first; /* where offset 0 is in the file */
    int pipe_fd;    /* -1: a file */
    uint64_t pipe_position;
    struct ib_progress *progress;
};

static int file_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                          size_t *ret, struct ib_error **err)
{
    const struct file_source *file = (struct file_source *)source;
    ssize_t n;

    if (offset >= source->size) {
        *ret = 0;
        return 0;
    }
    size = (size_t)IB_MIN(size, source->size - offset);
    do
        n = pread(source->fd, data, size, (off_t)(file->first + offset));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ib_fail(err, IB_E_IO, errno, source->name, "read");
    *ret = (size_t)n;
    return 0;
}

static void file_plan(struct ib_source *source, const struct ib_source_range *ranges, size_t count)
{
    const struct file_source *file = (struct file_source *)source;
    uint64_t left = WILLNEED_MAX;

    for (size_t i = 0; i < count && left; i++) {
        const uint64_t size = IB_MIN(ranges[i].size, left);
        if (ranges[i].offset < source->size)
            posix_fadvise(source->fd, (off_t)(file->first + ranges[i].offset), (off_t)size,
                          POSIX_FADV_WILLNEED);
        left -= size;
    }
}

/* read(2) on a pipe that may be silent for long: waits in pieces, so that a cancel is heard. */
static int pipe_read(struct file_source *pipe, void *data, size_t size, size_t *ret,
                     struct ib_error **err)
{
    struct pollfd ready = {.fd = pipe->pipe_fd, .events = POLLIN};
    ssize_t n;

    for (;;) {
        if (ib_progress_check(pipe->progress, err) < 0)
            return -1;
        if (poll(&ready, 1, WAIT_MS) == 0)
            continue;
        n = read(pipe->pipe_fd, data, size);
        if (n >= 0)
            break;
        if (errno != EINTR && errno != EAGAIN)
            return ib_fail(err, IB_E_IO, errno, pipe->base.name, "read");
    }
    if (n == 0)
        pipe->base.size = pipe->pipe_position;
    pipe->pipe_position += (uint64_t)n;
    *ret = (size_t)n;
    return 0;
}

static int pipe_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                          size_t *ret, struct ib_error **err)
{
    enum { SCRATCH = 1 << 16 };
    struct file_source *pipe = (struct file_source *)source;
    _cleanup_(ib_freep) uint8_t *scratch = NULL;

    *ret = 0;
    while (pipe->pipe_position < offset) {
        size_t n;
        if (!scratch)
            scratch = ib_malloc(SCRATCH);
        if (pipe_read(pipe, scratch, (size_t)IB_MIN(SCRATCH, offset - pipe->pipe_position), &n,
                      err) < 0)
            return -1;
        if (n == 0)
            return 0;
    }
    return pipe_read(pipe, data, size, ret, err);
}

static void file_free(struct ib_source *source)
{
    struct file_source *file = (struct file_source *)source;

    ib_closep(&file->pipe_fd);
    ib_source_clear(source);
    free(file);
}

static const struct ib_source_ops file_ops = {file_read_some, file_plan, file_free};
static const struct ib_source_ops pipe_ops = {pipe_read_some, NULL, file_free};

/* The size of a file or block device from where we begin. */
static int measure(struct file_source *file, int fd, bool from_position, struct ib_error **err)
{
    const off_t here = from_position ? lseek(fd, 0, SEEK_CUR) : 0, end = lseek(fd, 0, SEEK_END);

    if (here < 0 || end < 0 || lseek(fd, here, SEEK_SET) < 0)
        return ib_fail(err, IB_E_IO, errno, file->base.name, "find the size of");
    file->first = (uint64_t)here;
    file->base.size = (uint64_t)IB_MAX(end - here, 0);
    posix_fadvise(fd, here, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

struct ib_source *ib_source_file_new(int fd, const char *name, bool from_position,
                                     struct ib_progress *progress, struct ib_error **err)
{
    _cleanup_(ib_source_freep) struct ib_source *source = NULL;
    struct file_source *file;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        ib_fail(err, IB_E_IO, errno, name, "look at");
        return NULL;
    }
    if (S_ISDIR(st.st_mode)) {
        ib_failf(err, IB_E_INVALID, "'%s' is a directory", name);
        ib_hint(err, "name the image in it");
        return NULL;
    }
    const bool seekable = S_ISREG(st.st_mode) || S_ISBLK(st.st_mode);
    file = ib_calloc(1, sizeof(*file));
    source = &file->base;
    ib_source_init(source, seekable ? &file_ops : &pipe_ops, ib_strdup(name), !seekable);
    file->pipe_fd = -1;
    file->progress = progress;
    const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (own < 0) {
        ib_fail(err, IB_E_IO, errno, name, "open");
        return NULL;
    }
    if (seekable) {
        source->fd = own;
        return measure(file, fd, from_position, err) < 0 ? NULL : ib_steal(&source);
    }
    file->pipe_fd = own;
    (void)fcntl(own, F_SETPIPE_SZ, PIPE_SIZE); /* fewer wake-ups; no pipe, no matter */
    return ib_steal(&source);
}

struct ib_source *ib_source_open_fd(int fd, const char *name, struct ib_error **err)
{
    return ib_source_file_new(fd, name, false, NULL, err);
}
