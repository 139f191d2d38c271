/* SPDX-License-Identifier: Apache-2.0 */
/* Writing artifacts: first every frame is planned in memory, then one function writes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "artifact_internal.h"
#include "base/atomic.h"
#include "base/file.h"
#include "file_hasher.h"
#include "image/artifact.h"
#include "image/bytes.h"
#include "image/chunk.h"

enum { ZEROS_KEPT = 8 };
#define SEEKABLE_MAGIC UINT32_C(0x8F92EAB1)

/* Where a frame's bytes are: in a file, or in the plan's own memory (fd -1). */
struct piece {
    int fd;
    uint64_t offset;
};

struct plan {
    struct ib_manifest_frame *frames;
    struct piece *pieces;
    size_t count, capacity;
    uint64_t raw_end;
    struct ib_buf memory; /* compressed frames made here */
    const struct ib_manifest *manifest;
    struct ib_frame zeros[ZEROS_KEPT]; /* made already, in memory: at most 16 MiB each to hash */
    size_t next_zeros;
};

static void plan_clear(struct plan *p)
{
    free(p->frames);
    free(p->pieces);
    ib_buf_clear(&p->memory);
}

static int plan_frame(struct plan *p, const struct ib_frame *f, int fd, struct ib_error **err)
{
    if (p->count == IB_MANIFEST_FRAMES_MAX)
        return ib_failf(err, IB_E_INVALID, "an artifact holds at most %d frames",
                        IB_MANIFEST_FRAMES_MAX);
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? 2 * p->capacity : 1024;
        p->frames = ib_reallocarray(p->frames, p->capacity, sizeof(*p->frames));
        p->pieces = ib_reallocarray(p->pieces, p->capacity, sizeof(*p->pieces));
    }
    p->frames[p->count] = (struct ib_manifest_frame){
        .raw_size = f->raw_size, .size = f->size, .zero = f->zero, .sha256 = f->sha256};
    p->pieces[p->count++] = (struct piece){fd, f->offset};
    p->raw_end += f->raw_size;
    return 0;
}

static int plan_bytes(struct plan *p, const uint8_t *data, size_t size, struct ib_error **err)
{
    struct ib_frame f;
    uint64_t at = p->memory.size;

    ib_frame_compress(data, (uint32_t)size, &p->memory, &f);
    f.offset = at;
    return plan_frame(p, &f, -1, err);
}

/* The first place behind `offset` where a partition begins or ends: frames end there too. */
static uint64_t next_boundary(const struct ib_manifest *m, uint64_t offset)
{
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < m->partition_count; i++) {
        uint64_t begin = m->partitions[i].offset_bytes;
        uint64_t end = begin + m->partitions[i].size_bytes;
        if (begin > offset)
            next = IB_MIN(next, begin);
        if (end > offset)
            next = IB_MIN(next, end);
    }
    return next;
}

static const struct ib_frame *get_zeros(struct plan *p, uint32_t size)
{
    for (size_t i = 0; i < ZEROS_KEPT; i++)
        if (p->zeros[i].raw_size == size)
            return &p->zeros[i];
    struct ib_frame *zeros = &p->zeros[p->next_zeros++ % ZEROS_KEPT];
    _cleanup_(ib_freep) uint8_t *raw = ib_calloc(1, size);
    uint64_t at = p->memory.size;
    ib_frame_compress(raw, size, &p->memory, zeros);
    zeros->offset = at;
    zeros->zero = true;
    return zeros;
}

static int plan_zeros(struct plan *p, uint64_t size, struct ib_error **err)
{
    while (size > 0) {
        uint64_t to_boundary = next_boundary(p->manifest, p->raw_end) - p->raw_end;
        uint32_t n = (uint32_t)IB_MIN(IB_MIN(size, to_boundary), IB_FRAME_RAW_MAX);
        if (plan_frame(p, get_zeros(p, n), -1, err) < 0)
            return -1;
        size -= n;
    }
    return 0;
}

/* The disk's first bytes are a frame of their own; long zeros behind them are a hole. */
static int plan_memory(struct plan *p, const struct ib_artifact_extent *e, struct ib_error **err)
{
    const uint8_t *data = e->data;
    size_t left = e->size;

    if (p->raw_end == 0 && left > IB_ARTIFACT_FIRST_FRAME) {
        if (plan_bytes(p, data, IB_ARTIFACT_FIRST_FRAME, err) < 0)
            return -1;
        data += IB_ARTIFACT_FIRST_FRAME;
        left -= IB_ARTIFACT_FIRST_FRAME;
    }
    if (left >= IB_FRAMES_HOLE_MIN && ib_is_zero(data, left))
        return plan_zeros(p, left, err);
    while (left > 0) {
        size_t n = (size_t)IB_MIN(left, IB_CHUNK_MAX);
        if (plan_bytes(p, data, n, err) < 0)
            return -1;
        data += n;
        left -= n;
    }
    return 0;
}

static int plan_extent(struct plan *p, const struct ib_artifact_extent *e, struct ib_error **err)
{
    if (e->offset_bytes < p->raw_end || (p->count == 0 && (e->offset_bytes != 0 || !e->data)))
        return ib_failf(err, IB_E_INTERNAL, "the artifact's extents overlap or do not begin at 0");
    if (plan_zeros(p, e->offset_bytes - p->raw_end, err) < 0)
        return -1;
    if (e->data)
        return plan_memory(p, e, err);
    for (size_t i = 0; i < e->frames->count; i++) {
        const struct ib_frame *f = &e->frames->items[i];
        if (plan_frame(p, f, f->store ? ib_frame_store_fd(f->store) : e->fd, err) < 0)
            return -1;
    }
    return 0;
}

static int make_plan(struct plan *p, const struct ib_artifact_extent *extents, size_t count,
                     uint64_t disk_size, struct ib_error **err)
{
    for (size_t i = 0; i < count; i++)
        if (plan_extent(p, &extents[i], err) < 0)
            return -1;
    if (p->raw_end > disk_size || p->count == 0) {
        ib_failf(err, IB_E_INTERNAL, "the artifact's extents are longer than its disk");
        return -1;
    }
    return plan_zeros(p, disk_size - p->raw_end, err);
}

static void append_u32(struct ib_buf *out, uint32_t v)
{
    uint8_t bytes[4];

    ib_put_le32(bytes, v);
    ib_buf_append(out, bytes, sizeof(bytes));
}

void ib_artifact_manifest_frame(const void *json, size_t json_size, const void *signature,
                                size_t signature_size, struct ib_buf *ret)
{
    append_u32(ret, IB_ARTIFACT_MANIFEST_MAGIC);
    append_u32(ret, (uint32_t)(MANIFEST_HEADER + json_size + signature_size));
    ib_buf_append(ret, MANIFEST_MARK, MANIFEST_MARK_SIZE);
    append_u32(ret, (uint32_t)json_size);
    append_u32(ret, (uint32_t)signature_size);
    ib_buf_append(ret, json, json_size);
    ib_buf_append(ret, signature, signature_size);
}

static int make_manifest_frame(const struct ib_manifest *m, const struct ib_minisign_secret *key,
                               struct ib_buf *ret, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf json = {0}, signature = {0};

    ib_manifest_print(m, &json);
    if (json.size > IB_MANIFEST_MAX_SIZE)
        return ib_failf(err, IB_E_INVALID, "the manifest is larger than %llu bytes",
                        (unsigned long long)IB_MANIFEST_MAX_SIZE);
    if (key)
        ib_artifact_sign_manifest(m, json.data, json.size, key, &signature);
    ib_artifact_manifest_frame(json.data, json.size, signature.data, signature.size, ret);
    return 0;
}

void ib_artifact_seek_table(const struct ib_manifest *m, size_t manifest_frame_size,
                            struct ib_buf *ret)
{
    uint32_t entries = (uint32_t)m->frame_count + 1;

    append_u32(ret, IB_ARTIFACT_SEEK_TABLE_MAGIC);
    append_u32(ret, entries * SEEK_ENTRY + SEEK_FOOTER);
    for (size_t i = 0; i < m->frame_count; i++) {
        append_u32(ret, m->frames[i].size);
        append_u32(ret, m->frames[i].raw_size);
        if (i == 0) {
            append_u32(ret, (uint32_t)manifest_frame_size);
            append_u32(ret, 0);
        }
    }
    append_u32(ret, entries);
    ib_buf_append(ret, "\0", 1); /* descriptor: no checksums */
    append_u32(ret, SEEKABLE_MAGIC);
}

struct output {
    int fd;
    const char *path;
    uint64_t size;
    struct file_hasher *hasher;
    struct ib_progress *progress;
};

static int write_bytes(struct output *out, const void *data, size_t size, struct ib_error **err)
{
    if (ib_write_full(out->fd, data, size) < 0)
        return ib_fail(err, IB_E_IO, errno, out->path, "write");
    out->size += size;
    return 0;
}

/* Writes frames [first, first + n), which stand one behind the other in one place. */
static int write_run(struct output *out, const struct plan *p, size_t first, size_t n,
                     struct ib_error **err)
{
    const struct piece *from = &p->pieces[first];
    uint64_t size = 0;

    for (size_t i = first; i < first + n; i++)
        size += p->frames[i].size;
    if (ib_progress_check(out->progress, err) < 0)
        return -1;
    if (from->fd < 0)
        return write_bytes(out, p->memory.data + from->offset, (size_t)size, err);
    if (ib_copy_range(from->fd, from->offset, out->fd, size) < 0)
        return ib_fail(err, IB_E_IO, errno, out->path, "copy frames into");
    out->size += size;
    return 0;
}

/* How many frames from `first` on can be copied at once: contiguous, and not too much. */
static size_t run_length(const struct plan *p, size_t first)
{
    const uint64_t at_most = 8 * IB_MIB; /* so that the hasher starts early */
    uint64_t size = p->frames[first].size;
    size_t n = 1;

    for (; first + n < p->count && size < at_most; n++) {
        const struct piece *from = &p->pieces[first], *next = &p->pieces[first + n];
        if (next->fd != from->fd || next->offset != from->offset + size)
            break;
        size += p->frames[first + n].size;
    }
    return n;
}

static int write_all(struct output *out, const struct plan *p, const struct ib_buf *manifest,
                     struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf table = {0};

    if (write_run(out, p, 0, 1, err) < 0 ||
        write_bytes(out, manifest->data, manifest->size, err) < 0)
        return -1;
    for (size_t i = 1; i < p->count;) {
        size_t n = run_length(p, i);
        if (write_run(out, p, i, n, err) < 0)
            return -1;
        ib_file_hasher_written(out->hasher, out->size);
        i += n;
    }
    ib_artifact_seek_table(p->manifest, manifest->size, &table);
    if (write_bytes(out, table.data, table.size, err) < 0)
        return -1;
    ib_file_hasher_written(out->hasher, out->size);
    return 0;
}

int ib_artifact_write(struct ib_manifest *manifest, const struct ib_artifact_extent *extents,
                      size_t extent_count, const char *path, struct ib_progress *progress,
                      struct ib_artifact_result *ret, struct ib_error **err)
{
    return ib_artifact_write_signed(manifest, extents, extent_count, path, NULL, progress, ret,
                                    err);
}

int ib_artifact_write_signed(struct ib_manifest *manifest, const struct ib_artifact_extent *extents,
                             size_t extent_count, const char *path,
                             const struct ib_minisign_secret *key, struct ib_progress *progress,
                             struct ib_artifact_result *ret, struct ib_error **err)
{
    _cleanup_(plan_clear) struct plan plan = {.manifest = manifest};
    _cleanup_(ib_buf_clear) struct ib_buf manifest_frame = {0};

    if (make_plan(&plan, extents, extent_count, manifest->disk_size_bytes, err) < 0)
        return -1;
    ib_manifest_set_frames(manifest, ib_memdup(plan.frames, plan.count * sizeof(*plan.frames)),
                           plan.count);
    if (ib_manifest_finish(manifest, err) < 0 ||
        make_manifest_frame(manifest, key, &manifest_frame, err) < 0)
        return -1;
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(path, 0644, err);
    if (!file)
        return -1;
    _cleanup_(ib_file_hasher_freep) struct file_hasher *hasher =
        ib_file_hasher_new(ib_atomic_fd(file), path);
    struct output out = {
        .fd = ib_atomic_fd(file), .path = path, .hasher = hasher, .progress = progress};
    struct ib_artifact_result result;
    if (write_all(&out, &plan, &manifest_frame, err) < 0 ||
        ib_file_hasher_finish(hasher, &result.sha256, err) < 0)
        return -1;
    result.size_bytes = out.size;
    if (ib_atomic_commit(file, err) < 0)
        return -1;
    *ret = result;
    return 0;
}
