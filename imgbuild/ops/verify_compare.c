/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a disk hold what an artifact unpacks to? Every frame inside a partition is read and hashed.
 * The partition table is compared by what it says: on a larger disk its backup lies elsewhere, and
 * a machine that has run has added partitions of its own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "image/gpt_check.h"
#include "verify_internal.h"

#define RUN_SIZE (4 * IB_MIB) /* read at once; a frame may be larger */

struct compare {
    const struct ib_verifying *v;
    const struct ib_reader *reader;
    const struct ib_manifest *m;
    struct ib_step *step;

    pthread_mutex_t lock; /* of what follows */
    size_t next;          /* the first frame that nobody has taken */
    size_t *differing;    /* frames, a partition each */
    uint64_t *first;      /* the first byte of the disk that differs, a partition each */
    atomic_bool failed;
};

/* The partition that holds the frame, or NULL: frames do not cross partitions. */
static const struct ib_manifest_partition *partition_of(const struct ib_manifest *m,
                                                        const struct ib_manifest_frame *f)
{
    for (size_t i = 0; i < m->partition_count; i++) {
        const struct ib_manifest_partition *p = &m->partitions[i];
        if (f->raw_offset >= p->offset_bytes && f->raw_offset - p->offset_bytes < p->size_bytes)
            return p;
    }
    return NULL;
}

/* Takes frames that follow one another in one partition; 0 at the end. */
static size_t take_run(struct compare *c, size_t *ret_first,
                       const struct ib_manifest_partition **ret_partition)
{
    const struct ib_manifest *m = c->m;
    uint64_t size = 0;
    size_t n = 0;

    pthread_mutex_lock(&c->lock);
    while (c->next < m->frame_count && !partition_of(m, &m->frames[c->next]))
        ib_step_advance(c->step, m->frames[c->next++].raw_size);
    *ret_first = c->next;
    *ret_partition = c->next < m->frame_count ? partition_of(m, &m->frames[c->next]) : NULL;
    for (; *ret_first + n < m->frame_count; n++) {
        const struct ib_manifest_frame *f = &m->frames[*ret_first + n];
        if ((n > 0 && size + f->raw_size > RUN_SIZE) || partition_of(m, f) != *ret_partition)
            break;
        size += f->raw_size;
    }
    c->next += n;
    pthread_mutex_unlock(&c->lock);
    return n;
}

static bool holds(const struct ib_manifest_frame *f, const uint8_t *data)
{
    struct ib_sha256 hash;

    if (f->zero)
        return ib_is_zero(data, f->raw_size);
    ib_sha256(data, f->raw_size, &hash);
    return ib_sha256_equal(&hash, &f->sha256);
}

static void note_difference(struct compare *c, const struct ib_manifest_partition *p,
                            const struct ib_manifest_frame *f)
{
    size_t i = (size_t)(p - c->m->partitions);

    pthread_mutex_lock(&c->lock);
    if (c->differing[i]++ == 0 || f->raw_offset < c->first[i])
        c->first[i] = f->raw_offset;
    pthread_mutex_unlock(&c->lock);
}

static int compare_run(struct compare *c, struct ib_reader_buffer *buffer, size_t first,
                       size_t count, const struct ib_manifest_partition *p, struct ib_error **err)
{
    const struct ib_manifest_frame *frames = &c->m->frames[first], *last = &frames[count - 1];
    uint64_t begin = frames->raw_offset, end = last->raw_offset + last->raw_size;
    const uint8_t *data;

    if (ib_progress_check(c->v->options->progress, err) < 0)
        return -1;
    if (count == 1 && frames->zero && ib_reader_is_hole(c->reader, begin, end - begin)) {
        ib_step_advance(c->step, end - begin);
        return 0;
    }
    if (ib_reader_read(c->reader, buffer, begin, (size_t)(end - begin), &data, err) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (!holds(&frames[i], data + (frames[i].raw_offset - begin)))
            note_difference(c, p, &frames[i]);
    ib_step_advance(c->step, end - begin);
    return 0;
}

/* ib_parallel_fn */
static int work(void *userdata, struct ib_error **err)
{
    struct compare *c = userdata;
    _cleanup_(ib_reader_buffer_clear) struct ib_reader_buffer buffer = {0};
    const struct ib_manifest_partition *p;
    size_t first, count;

    while (!c->failed && (count = take_run(c, &first, &p)) > 0) {
        if (compare_run(c, &buffer, first, count, p, err) < 0) {
            c->failed = true;
            return -1;
        }
    }
    return 0;
}

static const struct ib_gpt_partition *find_partition(const struct ib_gpt *gpt, uint64_t offset)
{
    for (size_t i = 0; i < gpt->partition_count; i++)
        if (gpt->partitions[i].offset_bytes == offset)
            return &gpt->partitions[i];
    return NULL;
}

static bool same_partition(const struct ib_manifest_partition *a, const struct ib_gpt_partition *b)
{
    return a->size_bytes == b->size_bytes && ib_streq(a->label, b->label) &&
           memcmp(&a->uuid, &b->uuid, sizeof(a->uuid)) == 0 &&
           memcmp(&a->type, &b->type, sizeof(a->type)) == 0;
}

static int compare_tables(const struct ib_verifying *v, const struct ib_reader *reader,
                          const struct ib_manifest *m, struct ib_error **err)
{
    _cleanup_(ib_gpt_clear) struct ib_gpt gpt = {0};
    int fd = ib_reader_fd(reader);

    if (ib_gpt_check(fd, v->path, NULL, err) < 0 || ib_gpt_read(fd, v->path, &gpt, err) < 0)
        return -1;
    for (size_t i = 0; i < m->partition_count; i++) {
        const struct ib_manifest_partition *p = &m->partitions[i];
        const struct ib_gpt_partition *found = find_partition(&gpt, p->offset_bytes);
        if (found && same_partition(p, found))
            continue;
        ib_failf(err, IB_E_VERIFY, "partition %u '%s' of '%s' is not on '%s'", p->number, p->label,
                 v->options->image, v->path);
        return ib_hint(err, "another image is on that disk; flash it to change that");
    }
    size_t others = gpt.partition_count - IB_MIN(gpt.partition_count, m->partition_count);
    if (others)
        ib_verify_passed(v, "partitions", "%zu of the image; %zu others were left alone",
                         m->partition_count, others);
    else
        ib_verify_passed(v, "partitions", "%zu", m->partition_count);
    return 0;
}

static int report_content(const struct compare *c, struct ib_error **err)
{
    size_t worst = c->m->partition_count, total = 0;

    for (size_t i = 0; i < c->m->partition_count; i++) {
        const struct ib_manifest_partition *p = &c->m->partitions[i];
        char size[16];
        if (c->differing[i] == 0)
            ib_verify_passed(c->v, "content", "partition %u '%s': %s", p->number, p->label,
                             ib_format_size(p->size_bytes, size));
        else if (worst == c->m->partition_count)
            worst = i;
        total += c->differing[i];
    }
    if (total == 0)
        return 0;
    ib_failf(err, IB_E_VERIFY,
             "%zu frame%s of '%s' differ%s on '%s', the first in partition %u '%s' at byte %llu",
             total, total == 1 ? "" : "s", c->v->options->image, total == 1 ? "s" : "", c->v->path,
             c->m->partitions[worst].number, c->m->partitions[worst].label,
             (unsigned long long)c->first[worst]);
    return ib_hint(err, "flash the image again: only what differs is written");
}

static int compare_content(struct compare *c, struct ib_error **err)
{
    const struct ib_manifest *m = c->m;
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        c->v->options->progress, NULL, "verify", c->v->path, m->disk_size_bytes, IB_UNIT_BYTES);

    c->step = step;
    if (ib_parallel_run(ib_reader_threads(), work, c, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return report_content(c, err);
}

int ib_verify_compare(const struct ib_verifying *v, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open(v->options->image, err);
    _cleanup_(ib_reader_freep) struct ib_reader *reader = a ? ib_reader_open(v->path, err) : NULL;

    if (!reader || ib_verify_signature(v, a, v->options->image, err) < 0)
        return -1;
    const struct ib_manifest *m = ib_artifact_manifest(a);
    if (ib_reader_size(reader) < m->disk_size_bytes)
        return ib_failf(err, IB_E_VERIFY, "'%s' is smaller than the image in '%s'", v->path,
                        v->options->image);
    if (compare_tables(v, reader, m, err) < 0)
        return -1;
    struct compare c = {.v = v,
                        .reader = reader,
                        .m = m,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .differing = ib_calloc(m->partition_count + 1, sizeof(*c.differing)),
                        .first = ib_calloc(m->partition_count + 1, sizeof(*c.first))};
    int r = compare_content(&c, err);
    free(c.differing);
    free(c.first);
    pthread_mutex_destroy(&c.lock);
    return r;
}
