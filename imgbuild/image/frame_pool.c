/* SPDX-License-Identifier: Apache-2.0 */
#include "frame_pool.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <zstd.h>

#include "image/chunk.h"

enum { THREADS_MAX = 16, ZEROS_KEPT = 8 };

enum slot_state { SLOT_FREE, SLOT_QUEUED, SLOT_BUSY, SLOT_DONE };

/* A place in the ring: filled by the caller, worked on by one thread, emptied by the caller. */
struct slot {
    enum slot_state state;
    bool zero;
    uint32_t raw_size;
    uint8_t *raw;
    uint8_t *out;
    uint32_t size;
    struct ib_sha256 sha256;
    const struct ib_frame *reused; /* the frame of a store that holds the same bytes */
};

/* Frames of zeros: few sizes, made once each. */
struct zeros {
    uint32_t raw_size;
    struct ib_buf data;
    struct ib_frame frame;
};

struct frame_pool {
    const struct ib_frames_job *job;
    frame_pool_fn fn;
    void *userdata;

    pthread_mutex_t lock; /* of what follows, up to the threads */
    pthread_cond_t work;  /* filled or stop changed */
    pthread_cond_t done;
    uint64_t filled, taken, emptied; /* counts of slots; the ring's index is the rest */
    bool stop;

    pthread_t threads[THREADS_MAX];
    unsigned thread_count;
    struct slot *slots;
    size_t slot_count;
    struct zeros zeros[ZEROS_KEPT];
    size_t next_zeros;
};

static ZSTD_CCtx *new_compressor(void)
{
    ZSTD_CCtx *cctx = ZSTD_createCCtx();

    if (!cctx ||
        ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, IB_FRAMES_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, 1)))
        abort(); /* out of memory is all that can go wrong */
    return cctx;
}

static uint32_t compress(ZSTD_CCtx *cctx, const void *raw, size_t raw_size, void *out,
                         size_t capacity)
{
    size_t n = ZSTD_compress2(cctx, out, capacity, raw, raw_size);

    if (ZSTD_isError(n)) /* the room is ZSTD_compressBound: out of memory again */
        abort();
    return (uint32_t)n;
}

void ib_frame_compress(const void *raw, uint32_t raw_size, struct ib_buf *ret,
                       struct ib_frame *ret_frame)
{
    ZSTD_CCtx *cctx = new_compressor();
    size_t bound = ZSTD_compressBound(raw_size);
    uint32_t size = compress(cctx, raw, raw_size, ib_buf_reserve(ret, bound), bound);

    ZSTD_freeCCtx(cctx);
    ret->size += size;
    *ret_frame = (struct ib_frame){.raw_size = raw_size, .size = size};
    ib_sha256(raw, raw_size, &ret_frame->sha256);
}

static const struct ib_frame *find_reusable(const struct ib_frames_job *job,
                                            const struct ib_sha256 *sha256, uint32_t raw_size)
{
    const struct ib_frame *found = NULL;

    for (size_t i = 0; i < job->reuse_count && !found; i++)
        found = ib_frame_store_find(job->reuse[i], sha256, raw_size);
    return found;
}

static void work_on(const struct ib_frames_job *job, ZSTD_CCtx *cctx, struct slot *slot)
{
    ib_sha256(slot->raw, slot->raw_size, &slot->sha256);
    slot->reused = find_reusable(job, &slot->sha256, slot->raw_size);
    if (!slot->reused)
        slot->size =
            compress(cctx, slot->raw, slot->raw_size, slot->out, ZSTD_compressBound(IB_CHUNK_MAX));
}

static void *worker(void *userdata)
{
    struct frame_pool *pool = userdata;
    ZSTD_CCtx *cctx = new_compressor();

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (pool->taken == pool->filled) {
            pthread_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        struct slot *slot = &pool->slots[pool->taken++ % pool->slot_count];
        if (slot->state != SLOT_QUEUED) /* zeros come finished, and may have gone again */
            continue;
        slot->state = SLOT_BUSY;
        pthread_mutex_unlock(&pool->lock);
        work_on(pool->job, cctx, slot);
        pthread_mutex_lock(&pool->lock);
        slot->state = SLOT_DONE;
        pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    ZSTD_freeCCtx(cctx);
    return NULL;
}

struct frame_pool *ib_frame_pool_new(const struct ib_frames_job *job, frame_pool_fn fn,
                                     void *userdata)
{
    struct frame_pool *pool = ib_calloc(1, sizeof(*pool));
    unsigned threads = job->threads ? job->threads : ib_cpu_count();

    pool->job = job;
    pool->fn = fn;
    pool->userdata = userdata;
    threads = IB_MIN(threads, (unsigned)THREADS_MAX);
    pool->slot_count = 2 * (size_t)threads + 2;
    pool->slots = ib_calloc(pool->slot_count, sizeof(*pool->slots));
    for (size_t i = 0; i < pool->slot_count; i++) {
        pool->slots[i].raw = ib_malloc(IB_CHUNK_MAX);
        pool->slots[i].out = ib_malloc(ZSTD_compressBound(IB_CHUNK_MAX));
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    while (pool->thread_count < threads &&
           pthread_create(&pool->threads[pool->thread_count], NULL, worker, pool) == 0)
        pool->thread_count++;
    if (pool->thread_count == 0) /* not one thread: like memory, nothing can go on */
        abort();
    return pool;
}

void ib_frame_pool_freep(struct frame_pool **pool_ptr)
{
    struct frame_pool *pool = *pool_ptr;

    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    for (size_t i = 0; i < pool->slot_count; i++) {
        free(pool->slots[i].raw);
        free(pool->slots[i].out);
    }
    for (size_t i = 0; i < ZEROS_KEPT; i++)
        ib_buf_clear(&pool->zeros[i].data);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    free(pool->slots);
    free(pool);
    *pool_ptr = NULL;
}

/* Waits for the oldest slot and hands its frame on. */
static int empty_one(struct frame_pool *pool, struct ib_error **err)
{
    struct slot *slot = &pool->slots[pool->emptied % pool->slot_count];

    pthread_mutex_lock(&pool->lock);
    while (slot->state != SLOT_DONE)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    pool->emptied++;
    struct ib_frame frame = {.raw_size = slot->raw_size,
                             .size = slot->reused ? slot->reused->size : slot->size,
                             .zero = slot->zero,
                             .sha256 = slot->sha256};
    if (slot->reused) {
        frame.store = slot->reused->store;
        frame.offset = slot->reused->offset;
    }
    return pool->fn(&frame, slot->reused ? NULL : slot->out, pool->userdata, err);
}

/* The next free slot, for the caller to fill; submit() passes it on. NULL on failure. */
static struct slot *free_slot(struct frame_pool *pool, struct ib_error **err)
{
    if (ib_progress_check(pool->job->progress, err) < 0)
        return NULL;
    if (pool->filled - pool->emptied == pool->slot_count && empty_one(pool, err) < 0)
        return NULL;
    return &pool->slots[pool->filled % pool->slot_count];
}

static void submit(struct frame_pool *pool, struct slot *slot, enum slot_state state)
{
    pthread_mutex_lock(&pool->lock);
    slot->state = state;
    pool->filled++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

int ib_frame_pool_add(struct frame_pool *pool, const void *raw, size_t size, struct ib_error **err)
{
    struct slot *slot = free_slot(pool, err);

    assert(size > 0 && size <= IB_CHUNK_MAX);
    if (!slot)
        return -1;
    memcpy(slot->raw, raw, size);
    slot->raw_size = (uint32_t)size;
    slot->zero = false;
    slot->reused = NULL;
    submit(pool, slot, SLOT_QUEUED);
    return 0;
}

static const struct zeros *make_zeros(struct frame_pool *pool, uint32_t raw_size)
{
    for (size_t i = 0; i < ZEROS_KEPT; i++)
        if (pool->zeros[i].raw_size == raw_size)
            return &pool->zeros[i];
    struct zeros *z = &pool->zeros[pool->next_zeros++ % ZEROS_KEPT];
    _cleanup_(ib_freep) uint8_t *raw = ib_calloc(1, raw_size);
    ib_buf_clear(&z->data);
    z->raw_size = raw_size;
    ib_frame_compress(raw, raw_size, &z->data, &z->frame);
    return z;
}

int ib_frame_pool_add_zeros(struct frame_pool *pool, size_t size, struct ib_error **err)
{
    struct slot *slot = free_slot(pool, err);
    const struct ib_frame *reused = NULL;

    assert(size > 0 && size <= IB_FRAME_RAW_MAX);
    if (!slot)
        return -1;
    for (size_t i = 0; i < pool->job->reuse_count && !reused; i++)
        reused = ib_frame_store_find_zeros(pool->job->reuse[i], (uint32_t)size);
    slot->raw_size = (uint32_t)size;
    slot->zero = true;
    slot->reused = reused;
    if (reused) {
        slot->sha256 = reused->sha256;
    } else {
        const struct zeros *z = make_zeros(pool, (uint32_t)size);
        memcpy(slot->out, z->data.data, z->data.size); /* some 500 bytes */
        slot->size = z->frame.size;
        slot->sha256 = z->frame.sha256;
    }
    submit(pool, slot, SLOT_DONE);
    return 0;
}

int ib_frame_pool_finish(struct frame_pool *pool, struct ib_error **err)
{
    while (pool->emptied < pool->filled)
        if (empty_one(pool, err) < 0)
            return -1;
    return 0;
}
