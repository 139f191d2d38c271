/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer (io/writer.h). Pieces get consecutive positions in the ring; *jobs* are the writes
 * that are cut from it, at most 1 MiB each and ending at multiples of 1 MiB of the target. A job is
 * ready when it is closed and every byte of it was committed. Jobs leave the ring in order.
 */
#include "io/writer.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "read_back.h"
#include "ring.h"

enum {
    JOBS = 256,
    DEPTH_DEFAULT = 4,
    DEPTH_MAX = 32,
    SLOW_MS = 300, /* a write that takes longer: fewer at once */
    FAST_MS = 100,
};
#define JOB_SIZE IB_MIB
#define RING_DEFAULT (32 * IB_MIB)

struct job {
    uint64_t offset, position;
    uint64_t size, committed; /* bytes */
    bool closed, taken, done;
};

struct ib_writer {
    struct ib_target *target;
    struct ib_writer_options options;
    uint64_t block;
    struct ring ring;
    uint8_t *edge;               /* one block, aligned: what the target holds around a run */
    struct read_back *read_back; /* NULL: not wanted */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t room, ready;
    struct job jobs[JOBS]; /* job i is jobs[i % JOBS] */
    uint64_t first, end;   /* jobs that are in the ring */
    uint64_t position;     /* behind the last reserved byte */
    uint64_t run_end;      /* of the target; UINT64_MAX: no run is open */
    unsigned active, limit;
    bool stop, failed;
    struct ib_error *error;
    uint64_t written;
    pthread_t threads[DEPTH_MAX];
    unsigned thread_count;
};

static struct job *job_at(struct ib_writer *w, uint64_t index)
{
    return &w->jobs[index % JOBS];
}

/* --- the writing threads ------------------------------------------------------------------- */

/* The oldest job that can be written, or NULL. */
static struct job *find_ready(struct ib_writer *w)
{
    if (w->active >= w->limit)
        return NULL;
    for (uint64_t i = w->first; i < w->end; i++) {
        struct job *job = job_at(w, i);
        if (!job->taken && job->closed && job->committed == job->size)
            return job;
    }
    return NULL;
}

/* A device that takes long for each write gets fewer at once: a deep queue makes it no faster, and
 * every other user of the machine waits behind it. */
static void adapt(struct ib_writer *w, uint64_t took_ms)
{
    if (took_ms > SLOW_MS)
        w->limit = IB_MAX(w->limit / 2, 1U);
    else if (took_ms < FAST_MS && w->limit < w->thread_count)
        w->limit++;
}

static void retire(struct ib_writer *w)
{
    while (w->first < w->end && job_at(w, w->first)->done)
        w->first++;
    pthread_cond_broadcast(&w->room);
    pthread_cond_broadcast(&w->ready);
}

/* Called without the lock. The last block of an odd-sized file ends where the file does. */
static int write_job(struct ib_writer *w, const struct job *job, struct ib_error **err)
{
    const uint8_t *data = ib_ring_at(&w->ring, job->position);
    size_t size = (size_t)IB_MIN(job->size, ib_target_size(w->target) - job->offset);

    if (ib_target_write(w->target, data, size, job->offset) < 0)
        return ib_fail(err, IB_E_IO, errno, ib_target_name(w->target), "write to");
    if (w->read_back)
        ib_read_back_add(w->read_back, data, size, job->offset);
    ib_step_advance(w->options.write_step, size);
    return 0;
}

static void *write_loop(void *userdata)
{
    struct ib_writer *w = userdata;

    pthread_mutex_lock(&w->lock);
    while (!w->stop) {
        struct job *job = w->failed ? NULL : find_ready(w);
        if (!job) {
            pthread_cond_wait(&w->ready, &w->lock);
            continue;
        }
        struct ib_error *error = NULL;
        job->taken = true;
        w->active++;
        pthread_mutex_unlock(&w->lock);
        uint64_t begin = ib_now_ms();
        int r = write_job(w, job, &error);
        uint64_t took = ib_now_ms() - begin;
        pthread_mutex_lock(&w->lock);
        w->active--;
        adapt(w, took);
        if (r < 0 && !w->failed)
            w->error = ib_steal(&error);
        w->failed |= r < 0;
        ib_error_free(error);
        job->done = true;
        w->written += job->size;
        retire(w);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- reserving ----------------------------------------------------------------------------- */

static int report_failure(struct ib_writer *w, struct ib_error **err)
{
    if (!w->error)
        return ib_failf(err, IB_E_IO, "writing to '%s' failed before", ib_target_name(w->target));
    if (err)
        *err = ib_steal(&w->error);
    else
        ib_error_clear(&w->error);
    return -1;
}

static bool has_room(const struct ib_writer *w, uint64_t need)
{
    uint64_t tail = w->first < w->end ? w->jobs[w->first % JOBS].position : w->position;

    return w->position + need - tail <= w->ring.size &&
           w->end - w->first + need / JOB_SIZE + 3 <= JOBS;
}

static int wait_for_room(struct ib_writer *w, uint64_t need, struct ib_error **err)
{
    while (!w->failed && !has_room(w, need))
        pthread_cond_wait(&w->room, &w->lock);
    return w->failed ? report_failure(w, err) : 0;
}

/* Takes `size` more positions for the target's bytes from `offset`, as parts of jobs. Returns the
 * index of the first job. The lock is held. */
static uint64_t extend(struct ib_writer *w, uint64_t offset, uint64_t size)
{
    uint64_t first = UINT64_MAX;

    while (size > 0) {
        struct job *job = w->end > w->first ? job_at(w, w->end - 1) : NULL;
        if (!job || job->closed) {
            job = job_at(w, w->end++);
            *job = (struct job){.offset = offset, .position = w->position};
        }
        if (first == UINT64_MAX)
            first = w->end - 1;
        uint64_t boundary = (job->offset / JOB_SIZE + 1) * JOB_SIZE;
        uint64_t n = IB_MIN(size, boundary - offset);
        job->size += n;
        job->closed = offset + n == boundary;
        w->position += n;
        offset += n;
        size -= n;
    }
    w->run_end = offset;
    return first;
}

static void commit(struct ib_writer *w, uint64_t first, uint64_t position, uint64_t size)
{
    for (uint64_t i = first; size > 0; i++) {
        struct job *job = job_at(w, i);
        uint64_t n = IB_MIN(size, job->position + job->size - position);
        job->committed += n;
        position += n;
        size -= n;
    }
    pthread_cond_broadcast(&w->ready);
}

/* Reads the target's block around `offset`. Only the reserving thread uses `edge`. */
static int read_edge(struct ib_writer *w, uint64_t offset, struct ib_error **err)
{
    uint64_t at = offset - offset % w->block;
    size_t size = (size_t)IB_MIN(w->block, ib_target_size(w->target) - at);

    if (ib_target_read(w->target, w->edge, size, at) < 0)
        return ib_fail(err, IB_E_IO, errno, ib_target_name(w->target), "read");
    return 0;
}

/* Fills the target's bytes from `from` up to `to`, inside one block, with what they are. */
static int keep_bytes(struct ib_writer *w, uint64_t from, uint64_t to, struct ib_error **err)
{
    if (from == to)
        return 0;
    if (read_edge(w, from, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    uint64_t position = w->position, first = extend(w, from, to - from);
    memcpy(ib_ring_at(&w->ring, position), w->edge + from % w->block, to - from);
    commit(w, first, position, to - from);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

/* Ends the run that is open: its last block is filled, its last job closed. */
static int close_run(struct ib_writer *w, struct ib_error **err)
{
    if (w->run_end == UINT64_MAX)
        return 0;
    if (keep_bytes(w, w->run_end, ib_round_up(w->run_end, w->block), err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    if (w->end > w->first)
        job_at(w, w->end - 1)->closed = true;
    w->run_end = UINT64_MAX;
    pthread_cond_broadcast(&w->ready);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

/* Makes the open run end at `offset`: the same run, the same block, or a new one. */
static int go_to(struct ib_writer *w, uint64_t offset, struct ib_error **err)
{
    if (w->run_end != UINT64_MAX && offset <= ib_round_up(w->run_end, w->block))
        return keep_bytes(w, w->run_end, offset, err);
    if (close_run(w, err) < 0)
        return -1;
    return keep_bytes(w, offset - offset % w->block, offset, err);
}

int ib_writer_reserve(struct ib_writer *writer, uint64_t offset, size_t size,
                      struct ib_writer_piece *ret, struct ib_error **err)
{
    struct ib_writer *w = writer;
    uint64_t target_size = ib_target_size(w->target);

    if (size == 0 || size > IB_WRITER_PIECE_MAX || offset > target_size ||
        size > target_size - offset || (w->run_end != UINT64_MAX && offset < w->run_end))
        return ib_failf(err, IB_E_INTERNAL,
                        "a piece of %zu bytes does not belong at byte %llu of '%s'", size,
                        (unsigned long long)offset, ib_target_name(w->target));
    if (ib_progress_check(w->options.progress, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    int r = wait_for_room(w, size + 3 * w->block, err);
    pthread_mutex_unlock(&w->lock);
    if (r < 0 || go_to(w, offset, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    ret->position = w->position;
    ret->data = ib_ring_at(&w->ring, w->position);
    ret->size = size;
    ret->first = extend(w, offset, size);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

void ib_writer_commit(struct ib_writer *writer, const struct ib_writer_piece *piece)
{
    pthread_mutex_lock(&writer->lock);
    commit(writer, piece->first, piece->position, piece->size);
    pthread_mutex_unlock(&writer->lock);
}

/* --- beginning and end ---------------------------------------------------------------------- */

struct ib_writer *ib_writer_new(struct ib_target *target, const struct ib_writer_options *options,
                                struct ib_error **err)
{
    _cleanup_(ib_writer_freep) struct ib_writer *w = ib_calloc(1, sizeof(*w));
    unsigned depth = options->depth ? IB_MIN(options->depth, (unsigned)DEPTH_MAX) : DEPTH_DEFAULT;

    w->target = target;
    w->options = *options;
    w->block = ib_target_block(target);
    w->run_end = UINT64_MAX;
    w->limit = depth;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->room, NULL);
    pthread_cond_init(&w->ready, NULL);
    if (ib_ring_make(&w->ring, options->ring_bytes ? options->ring_bytes : RING_DEFAULT, err) < 0)
        return NULL;
    w->edge = aligned_alloc(w->block, w->block);
    if (!w->edge)
        abort();
    if (options->read_back)
        w->read_back = ib_read_back_new(target, options->read_trails, options->read_step);
    for (; w->thread_count < depth; w->thread_count++) {
        int r = pthread_create(&w->threads[w->thread_count], NULL, write_loop, w);
        if (r != 0) {
            ib_fail(err, IB_E_IO, r, NULL, "start a thread");
            return NULL;
        }
    }
    return ib_steal(&w);
}

struct ib_writer *ib_writer_free(struct ib_writer *writer)
{
    if (!writer)
        return NULL;
    pthread_mutex_lock(&writer->lock);
    writer->stop = true;
    pthread_cond_broadcast(&writer->ready);
    pthread_mutex_unlock(&writer->lock);
    for (unsigned i = 0; i < writer->thread_count; i++)
        pthread_join(writer->threads[i], NULL);
    ib_read_back_free(writer->read_back);
    ib_error_free(writer->error);
    ib_ring_clear(&writer->ring);
    free(writer->edge);
    pthread_cond_destroy(&writer->room);
    pthread_cond_destroy(&writer->ready);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
    return NULL;
}

void ib_writer_freep(struct ib_writer **writer)
{
    *writer = ib_writer_free(*writer);
}

int ib_writer_finish(struct ib_writer *writer, struct ib_writer_result *ret, struct ib_error **err)
{
    struct ib_writer *w = writer;

    if (close_run(w, err) < 0)
        return -1;
    pthread_mutex_lock(&w->lock);
    while (!w->failed && w->first < w->end)
        pthread_cond_wait(&w->room, &w->lock);
    int r = w->failed ? report_failure(w, err) : 0;
    pthread_mutex_unlock(&w->lock);
    if (r < 0 || ib_target_sync(w->target, err) < 0)
        return -1;
    *ret = (struct ib_writer_result){.written_bytes = w->written};
    return w->read_back
               ? ib_read_back_finish(w->read_back, w->options.progress, &ret->read_back_bytes, err)
               : 0;
}
