/* SPDX-License-Identifier: Apache-2.0 */
#include "read_back.h"

#include <errno.h>
#include <pthread.h>
#include <xxhash.h>

enum {
    BEHIND = 32,        /* writes that a trailing reader stays behind */
    FINISH_THREADS = 2, /* a device reads faster when the next request waits already */
};
#define READ_MAX IB_MIB
#define READ_ALIGN 4096

struct written {
    uint64_t offset;
    uint32_t size;
    XXH64_hash_t hash;
};

struct read_back {
    struct ib_target *target;
    struct ib_step *step;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t more;
    struct written *items;
    size_t count, capacity;
    size_t next; /* the first that nobody has taken */
    uint64_t compared;
    size_t behind;
    bool stop, failed;
    struct ib_progress *progress;
    struct ib_error *error;
    bool trails;
    pthread_t trailing;
};

static int compare(struct read_back *rb, const struct written *item, uint8_t *buffer,
                   struct ib_error **err)
{
    const char *name = ib_target_name(rb->target);

    if (ib_target_read(rb->target, buffer, item->size, item->offset) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read back from");
    if (XXH3_64bits(buffer, item->size) != item->hash) {
        ib_failf(err, IB_E_VERIFY,
                 "'%s' does not give back what was written to it at byte %llu (%u bytes)", name,
                 (unsigned long long)item->offset, (unsigned)item->size);
        return ib_hint(err, "the medium is worn out or not of the size it claims: use another");
    }
    return 0;
}

/* Takes items until there are none to take (`wait`: until told to stop). */
static void *read_loop(void *userdata)
{
    struct read_back *rb = userdata;
    uint8_t *buffer = aligned_alloc(READ_ALIGN, READ_MAX);

    if (!buffer)
        abort();
    pthread_mutex_lock(&rb->lock);
    while (!rb->stop && !rb->failed) {
        if (rb->next + rb->behind >= rb->count) {
            if (rb->behind == 0)
                break;
            pthread_cond_wait(&rb->more, &rb->lock);
            continue;
        }
        struct written item = rb->items[rb->next++];
        struct ib_error *error = NULL;
        pthread_mutex_unlock(&rb->lock);
        int r = ib_progress_check(rb->progress, &error);
        if (r == 0)
            r = compare(rb, &item, buffer, &error);
        if (r == 0)
            ib_step_advance(rb->step, item.size);
        pthread_mutex_lock(&rb->lock);
        if (r < 0 && !rb->failed)
            rb->error = ib_steal(&error);
        ib_error_free(error);
        rb->failed |= r < 0;
        rb->compared += item.size;
    }
    pthread_mutex_unlock(&rb->lock);
    free(buffer);
    return NULL;
}

struct read_back *ib_read_back_new(struct ib_target *target, bool trails, struct ib_step *step)
{
    struct read_back *rb = ib_calloc(1, sizeof(*rb));

    rb->target = target;
    rb->step = step;
    rb->behind = trails ? BEHIND : 0;
    pthread_mutex_init(&rb->lock, NULL);
    pthread_cond_init(&rb->more, NULL);
    /* without the thread everything is read at the end: as good */
    rb->trails = trails && pthread_create(&rb->trailing, NULL, read_loop, rb) == 0;
    return rb;
}

static void stop_trailing(struct read_back *rb)
{
    if (!rb->trails)
        return;
    pthread_mutex_lock(&rb->lock);
    rb->stop = true;
    pthread_cond_broadcast(&rb->more);
    pthread_mutex_unlock(&rb->lock);
    pthread_join(rb->trailing, NULL);
    rb->trails = rb->stop = false;
}

struct read_back *ib_read_back_free(struct read_back *rb)
{
    if (!rb)
        return NULL;
    stop_trailing(rb);
    pthread_cond_destroy(&rb->more);
    pthread_mutex_destroy(&rb->lock);
    ib_error_free(rb->error);
    free(rb->items);
    free(rb);
    return NULL;
}

void ib_read_back_add(struct read_back *rb, const void *data, size_t size, uint64_t offset)
{
    struct written item = {offset, (uint32_t)size, XXH3_64bits(data, size)};

    pthread_mutex_lock(&rb->lock);
    if (rb->count == rb->capacity) {
        rb->capacity = rb->capacity ? 2 * rb->capacity : 1024;
        rb->items = ib_reallocarray(rb->items, rb->capacity, sizeof(*rb->items));
    }
    rb->items[rb->count++] = item;
    pthread_cond_signal(&rb->more);
    pthread_mutex_unlock(&rb->lock);
}

int ib_read_back_finish(struct read_back *rb, struct ib_progress *progress, uint64_t *ret_bytes,
                        struct ib_error **err)
{
    pthread_t threads[FINISH_THREADS];
    unsigned n = 0;

    stop_trailing(rb);
    rb->behind = 0;
    rb->progress = progress;
    while (n < FINISH_THREADS && pthread_create(&threads[n], NULL, read_loop, rb) == 0)
        n++;
    if (n == 0)
        read_loop(rb);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    *ret_bytes = rb->compared;
    if (!rb->failed)
        return 0;
    if (err)
        *err = ib_steal(&rb->error);
    return -1;
}
