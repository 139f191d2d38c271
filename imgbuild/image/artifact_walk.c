/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All frames of an artifact, read, unpacked and checked on all processors (image/artifact.h). Each
 * thread takes the next run of frames, so that the file is read from front to back.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "artifact_internal.h"
#include "base/file.h"
#include "base/parallel.h"
#include "file_hasher.h"
#include "image/artifact.h"

enum { THREADS_MAX = 16 };
#define RUN_SIZE IB_MIB /* packed bytes read at once; a frame may be larger */

struct walk {
    const struct ib_artifact_walk *job;
    const struct ib_manifest *manifest;
    int fd;
    const char *name;
    uint64_t offset, end; /* of the disk */
    struct file_hasher *hasher;

    pthread_mutex_t lock; /* of `next` and the hasher's order */
    size_t next;          /* the first frame that nobody has taken */
    atomic_bool failed;
};

/* What a thread keeps from frame to frame. */
struct worker {
    struct ib_frame_decoder *decoder;
    struct ib_buf packed, raw;
    /* The frame of zeros that was checked last: the next is often the same, byte by byte. */
    struct ib_buf zeros;
    struct ib_manifest_frame zeros_frame;
};

static void worker_clear(struct worker *w)
{
    ib_frame_decoder_free(w->decoder);
    ib_buf_clear(&w->packed);
    ib_buf_clear(&w->raw);
    ib_buf_clear(&w->zeros);
}

/* Takes a run of frames, [*ret_first, *ret_first + count): 0 at the end. */
static size_t take_run(struct walk *walk, size_t *ret_first)
{
    const struct ib_manifest *m = walk->manifest;
    uint64_t size = 0;
    size_t n = 0;

    pthread_mutex_lock(&walk->lock);
    *ret_first = walk->next;
    while (*ret_first + n < m->frame_count) {
        const struct ib_manifest_frame *f = &m->frames[*ret_first + n];
        bool follows = n == 0 || f->offset == f[-1].offset + f[-1].size;
        if (f->raw_offset >= walk->end || !follows || (n > 0 && size + f->size > RUN_SIZE))
            break;
        size += f->size;
        n++;
    }
    walk->next += n;
    if (n > 0 && walk->hasher)
        ib_file_hasher_written(walk->hasher, m->frames[*ret_first + n - 1].offset +
                                                 m->frames[*ret_first + n - 1].size);
    pthread_mutex_unlock(&walk->lock);
    return n;
}

/* True when the frame is the same zeros as one that was checked. */
static bool known_zeros(const struct worker *w, const struct ib_manifest_frame *f,
                        const uint8_t *packed)
{
    const struct ib_manifest_frame *known = &w->zeros_frame;

    return known->raw_size == f->raw_size && known->size == f->size &&
           ib_sha256_equal(&known->sha256, &f->sha256) &&
           memcmp(w->zeros.data, packed, f->size) == 0;
}

static int check_frame(const struct walk *walk, struct worker *w, const struct ib_manifest_frame *f,
                       const uint8_t *packed, struct ib_error **err)
{
    const struct ib_frame frame = {.raw_size = f->raw_size, .size = f->size, .sha256 = f->sha256};

    if (f->zero && known_zeros(w, f, packed))
        return 0;
    w->raw.size = 0;
    uint8_t *raw = ib_buf_reserve(&w->raw, f->raw_size);
    if (ib_frame_decode(w->decoder, &frame, packed, raw, walk->name, err) < 0)
        return ib_hint(err, "get it again from where it was built");
    if (!f->zero)
        return 0;
    if (!ib_is_zero(raw, f->raw_size))
        return ib_failf(err, IB_E_INVALID, "a frame of '%s' that should be zeros is not",
                        walk->name);
    w->zeros.size = 0;
    ib_buf_append(&w->zeros, packed, f->size);
    w->zeros_frame = *f;
    return 0;
}

static int do_frame(const struct walk *walk, struct worker *w, const struct ib_manifest_frame *f,
                    const uint8_t *packed, struct ib_error **err)
{
    const struct ib_artifact_walk *job = walk->job;
    uint64_t begin = IB_MAX(f->raw_offset, walk->offset);
    uint64_t end = IB_MIN(f->raw_offset + f->raw_size, walk->end);

    if (check_frame(walk, w, f, packed, err) < 0)
        return -1;
    if (job->fn && !f->zero &&
        job->fn(w->raw.data + (begin - f->raw_offset), end - begin, begin, job->userdata, err) < 0)
        return -1;
    ib_step_advance(job->step, end - begin);
    return 0;
}

static int do_run(struct walk *walk, struct worker *w, size_t first, size_t count,
                  struct ib_error **err)
{
    const struct ib_manifest_frame *frames = &walk->manifest->frames[first];
    const struct ib_manifest_frame *last = &frames[count - 1];
    uint64_t begin = frames[0].offset, size = last->offset + last->size - begin;

    if (ib_progress_check(walk->job->progress, err) < 0)
        return -1;
    w->packed.size = 0;
    uint8_t *packed = ib_buf_reserve(&w->packed, size);
    if (ib_pread_full(walk->fd, packed, size, begin) < 0)
        return ib_fail(err, IB_E_IO, errno, walk->name, "read");
    for (size_t i = 0; i < count; i++)
        if (do_frame(walk, w, &frames[i], packed + (frames[i].offset - begin), err) < 0)
            return -1;
    return 0;
}

/* ib_parallel_fn */
static int work(void *userdata, struct ib_error **err)
{
    struct walk *walk = userdata;
    _cleanup_(worker_clear) struct worker w = {.decoder = ib_frame_decoder_new()};
    size_t first, count;

    while (!walk->failed && (count = take_run(walk, &first)) > 0) {
        if (do_run(walk, &w, first, count, err) < 0) {
            walk->failed = true;
            return -1;
        }
    }
    return 0;
}

int ib_artifact_walk(const struct ib_artifact *artifact, const struct ib_artifact_walk *job,
                     struct ib_error **err)
{
    struct walk walk = {.job = job,
                        .manifest = ib_artifact_manifest(artifact),
                        .fd = ib_artifact_fd(artifact),
                        .name = ib_artifact_name(artifact),
                        .offset = job->offset,
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    _cleanup_(ib_file_hasher_freep) struct file_hasher *hasher = NULL;
    uint64_t disk = walk.manifest->disk_size_bytes, file = ib_artifact_size(artifact);

    if (job->offset > disk || job->size > disk - job->offset)
        return ib_failf(err, IB_E_INVALID, "the image in '%s' ends before that", walk.name);
    walk.end = job->size ? job->offset + job->size : disk;
    if (walk.offset == disk)
        return 0;
    walk.next = (size_t)(ib_manifest_frame_at(walk.manifest, walk.offset) - walk.manifest->frames);
    if (job->ret_file_sha256)
        walk.hasher = hasher = ib_file_hasher_new(walk.fd, walk.name);
    int r = ib_parallel_run(IB_MIN(ib_cpu_count(), (unsigned)THREADS_MAX), work, &walk, err);
    pthread_mutex_destroy(&walk.lock);
    if (r < 0 || !hasher)
        return r;
    ib_file_hasher_written(hasher, file);
    return ib_file_hasher_finish(hasher, job->ret_file_sha256, err);
}
