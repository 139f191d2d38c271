/* SPDX-License-Identifier: Apache-2.0 */
/* The growing file of a download: see io/fetch_internal.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch_internal.h"

static int hash_what_is_there(struct ib_partial *p, struct ib_error **err)
{
    enum { CHUNK = 1 << 18 };
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);

    for (;;) {
        ssize_t n = read(p->fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ib_fail(err, IB_E_IO, errno, p->path, "read");
        if (n == 0)
            return 1;
        ib_hasher_update(p->hasher, chunk, (size_t)n);
        p->size_bytes += (uint64_t)n;
    }
}

static int open_temporary(struct ib_partial *p, struct ib_error **err)
{
    p->temp_dir = ib_cache_temp_dir(p->cache, "fetch", err);
    if (!p->temp_dir)
        return -1;
    p->path = ib_path_join(p->temp_dir, "file");
    p->fd = open(p->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return p->fd < 0 ? ib_fail(err, IB_E_IO, errno, p->path, "create") : 1;
}

static int open_locked(struct ib_partial *p, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = NULL;
    struct stat ours, named;

    p->path = ib_cache_partial_path(p->cache, &p->sha256);
    dir = ib_path_dir(p->path);
    if (ib_mkdir_p(dir, err) < 0)
        return -1;
    p->fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (p->fd < 0)
        return ib_fail(err, IB_E_IO, errno, p->path, "create");
    if (flock(p->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0 : ib_fail(err, IB_E_IO, errno, p->path, "lock");
    /* its last holder may have finished and renamed it away between our open and our lock */
    if (fstat(p->fd, &ours) < 0 || stat(p->path, &named) < 0 || ours.st_ino != named.st_ino)
        return 0;
    return hash_what_is_there(p, err);
}

int ib_partial_open(struct ib_partial *partial, struct ib_cache *cache,
                    const struct ib_sha256 *sha256, struct ib_error **err)
{
    *partial = (struct ib_partial){.cache = cache, .fd = -1, .hasher = ib_hasher_new()};
    if (sha256) {
        partial->has_sha256 = true;
        partial->sha256 = *sha256;
    }
    int r = sha256 ? open_locked(partial, err) : open_temporary(partial, err);
    if (r <= 0) {
        ib_closep(&partial->fd); /* no removal: the file may be another's */
        partial->fd = -1;
        ib_partial_close(partial);
    }
    return r;
}

bool ib_partial_is_open(const struct ib_partial *partial)
{
    return partial->fd >= 0;
}

int ib_partial_append(struct ib_partial *partial, const void *data, size_t size)
{
    if (ib_write_full(partial->fd, data, size) < 0) {
        int saved = errno;
        /* what did get written was not hashed */
        if (ftruncate(partial->fd, (off_t)partial->size_bytes) < 0)
            (void)lseek(partial->fd, (off_t)partial->size_bytes, SEEK_SET);
        errno = saved;
        return -1;
    }
    ib_hasher_update(partial->hasher, data, size);
    partial->size_bytes += size;
    return 0;
}

int ib_partial_restart(struct ib_partial *partial)
{
    ib_hasher_reset(partial->hasher);
    partial->size_bytes = 0;
    if (ftruncate(partial->fd, 0) < 0 || lseek(partial->fd, 0, SEEK_SET) < 0)
        return -1;
    return 0;
}

void ib_partial_hash(struct ib_partial *partial, struct ib_sha256 *ret)
{
    ib_hasher_final(partial->hasher, ret);
}

int ib_partial_adopt(struct ib_partial *partial, const struct ib_sha256 *hash,
                     struct ib_error **err)
{
    if (ib_cache_adopt_blob(partial->cache, partial->path, hash, err) < 0)
        return -1;
    ib_closep(&partial->fd);
    partial->fd = -1;
    ib_partial_close(partial);
    return 0;
}

void ib_partial_close(struct ib_partial *partial)
{
    if (partial->fd >= 0 && partial->size_bytes == 0)
        unlink(partial->path); /* while we hold its lock */
    ib_closep(&partial->fd);
    ib_temp_dirp(&partial->temp_dir);
    ib_hasher_free(partial->hasher);
    free(partial->path);
    *partial = (struct ib_partial){.fd = -1};
}
