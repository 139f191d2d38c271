/* SPDX-License-Identifier: Apache-2.0 */
#include "file_hasher.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "base/file.h"

enum { CHUNK = 1024 * 1024 };

struct file_hasher {
    int fd;
    const char *name;
    struct ib_hasher *hash;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    uint64_t written;
    bool finish, stop, ended;
    int error; /* errno of a failed read */
};

/* Hashes [from, to); 0 or an errno. */
static int hash_range(struct file_hasher *h, uint8_t *chunk, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t n = (size_t)IB_MIN(to - from, (uint64_t)CHUNK);
        if (ib_pread_full(h->fd, chunk, n, from) < 0)
            return errno;
        ib_hasher_update(h->hash, chunk, n);
        from += n;
    }
    return 0;
}

static void *run(void *userdata)
{
    struct file_hasher *h = userdata;
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);
    uint64_t hashed = 0;

    pthread_mutex_lock(&h->lock);
    while (!h->stop && !h->error && !(h->finish && hashed == h->written)) {
        uint64_t to = h->written;
        if (hashed == to) {
            pthread_cond_wait(&h->changed, &h->lock);
            continue;
        }
        pthread_mutex_unlock(&h->lock);
        to = IB_MIN(to, hashed + 16 * (uint64_t)CHUNK);
        int error = hash_range(h, chunk, hashed, to);
        pthread_mutex_lock(&h->lock);
        h->error = error;
        hashed = to;
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

struct file_hasher *ib_file_hasher_new(int fd, const char *name)
{
    struct file_hasher *h = ib_calloc(1, sizeof(*h));

    h->fd = fd;
    h->name = name;
    h->hash = ib_hasher_new();
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    if (pthread_create(&h->thread, NULL, run, h) != 0)
        abort(); /* like memory: nothing can go on */
    return h;
}

void ib_file_hasher_written(struct file_hasher *hasher, uint64_t size_bytes)
{
    pthread_mutex_lock(&hasher->lock);
    uint64_t before = hasher->written;
    hasher->written = size_bytes;
    pthread_cond_signal(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
    /* a hint: fsync tells whether it went well */
    (void)sync_file_range(hasher->fd, (off64_t)before, (off64_t)(size_bytes - before),
                          SYNC_FILE_RANGE_WRITE);
}

static void join(struct file_hasher *h)
{
    pthread_mutex_lock(&h->lock);
    pthread_cond_signal(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (!h->ended)
        pthread_join(h->thread, NULL);
    h->ended = true;
}

int ib_file_hasher_finish(struct file_hasher *hasher, struct ib_sha256 *ret, struct ib_error **err)
{
    pthread_mutex_lock(&hasher->lock);
    hasher->finish = true;
    pthread_mutex_unlock(&hasher->lock);
    join(hasher);
    if (hasher->error)
        return ib_fail(err, IB_E_IO, hasher->error, hasher->name, "read back");
    ib_hasher_final(hasher->hash, ret);
    return 0;
}

void ib_file_hasher_freep(struct file_hasher **hasher)
{
    struct file_hasher *h = *hasher;

    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_mutex_unlock(&h->lock);
    join(h);
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->changed);
    ib_hasher_free(h->hash);
    free(h);
    *hasher = NULL;
}
