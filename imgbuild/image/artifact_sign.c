/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing artifacts. The signature's size moves all frames behind it, so signing is a copy: the
 * artifact must be read once anyway for its new SHA-256, and a copy can take the old one's place in
 * one step.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact_internal.h"
#include "base/atomic.h"
#include "base/file.h"
#include "file_hasher.h"
#include "image/artifact.h"

enum { COMMENT_PART_MAX = 200 };
#define COPY_STEP (8 * IB_MIB) /* so that the hasher starts early */

/* A text from a manifest inside one line of a trusted comment. */
static void append_part(struct ib_buf *out, const char *name, const char *value)
{
    ib_buf_printf(out, " %s:", name);
    for (size_t i = 0; value && value[i] && i < COMMENT_PART_MAX; i++) {
        char c = value[i] > ' ' && value[i] < 0x7f ? value[i] : '_';
        ib_buf_append(out, &c, 1);
    }
}

void ib_artifact_sign_manifest(const struct ib_manifest *manifest, const void *json, size_t size,
                               const struct ib_minisign_secret *key, struct ib_buf *ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf comment = {0};

    ib_buf_append_str(&comment, "imgbuild manifest"); /* and no time: builds can be repeated */
    append_part(&comment, "node", manifest->node);
    append_part(&comment, "version", manifest->version);
    ib_minisign_sign(key, json, size, (const char *)comment.data, ret);
}

struct copy {
    struct ib_artifact *artifact;
    int in, out;
    const char *path;
    uint64_t size; /* written */
    struct file_hasher *hasher;
    struct ib_progress *progress;
    struct ib_step *step;
};

static int put(struct copy *c, const struct ib_buf *data, struct ib_error **err)
{
    if (ib_write_full(c->out, data->data, data->size) < 0)
        return ib_fail(err, IB_E_IO, errno, c->path, "write");
    c->size += data->size;
    return 0;
}

static int copy_range(struct copy *c, uint64_t from, uint64_t to, struct ib_error **err)
{
    while (from < to) {
        uint64_t n = IB_MIN(to - from, COPY_STEP);
        if (ib_progress_check(c->progress, err) < 0)
            return -1;
        if (ib_copy_range(c->in, from, c->out, n) < 0)
            return ib_fail(err, IB_E_IO, errno, c->path, "copy");
        from += n;
        c->size += n;
        ib_file_hasher_written(c->hasher, c->size);
        ib_step_advance(c->step, n);
    }
    return 0;
}

static int copy_all(struct copy *c, const struct ib_buf *signature, struct ib_error **err)
{
    const struct ib_manifest *m = ib_artifact_manifest(c->artifact);
    const struct ib_manifest_frame *last = &m->frames[m->frame_count - 1];
    _cleanup_(ib_buf_clear) struct ib_buf manifest = {0}, table = {0};
    size_t json_size;
    const char *json = ib_artifact_json(c->artifact, &json_size);

    ib_artifact_manifest_frame(json, json_size, signature->data, signature->size, &manifest);
    ib_artifact_seek_table(m, manifest.size, &table);
    if (copy_range(c, 0, m->frames[0].size, err) < 0 || put(c, &manifest, err) < 0)
        return -1;
    if (m->frame_count > 1 &&
        copy_range(c, m->frames[1].offset, last->offset + last->size, err) < 0)
        return -1;
    if (put(c, &table, err) < 0)
        return -1;
    ib_file_hasher_written(c->hasher, c->size);
    return 0;
}

static int write_copy(struct copy *c, const struct ib_buf *signature,
                      struct ib_artifact_result *ret, struct ib_error **err)
{
    struct ib_sha256 hash;
    struct stat st;

    if (fstat(c->in, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, c->path, "read");
    _cleanup_(ib_atomic_freep) struct ib_atomic *file =
        ib_atomic_open(c->path, st.st_mode & 0777, err);
    if (!file)
        return -1;
    _cleanup_(ib_file_hasher_freep) struct file_hasher *hasher =
        ib_file_hasher_new(ib_atomic_fd(file), c->path);
    c->out = ib_atomic_fd(file);
    c->hasher = hasher;
    if (copy_all(c, signature, err) < 0 || ib_file_hasher_finish(hasher, &hash, err) < 0 ||
        ib_atomic_commit(file, err) < 0)
        return -1;
    *ret = (struct ib_artifact_result){.size_bytes = c->size, .sha256 = hash};
    return 0;
}

int ib_artifact_sign(const char *path, const struct ib_minisign_secret *key,
                     struct ib_progress *progress, struct ib_artifact_result *ret,
                     bool *ret_changed, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);
    _cleanup_(ib_artifact_freep) struct ib_artifact *a =
        fd < 0 ? NULL : ib_artifact_open_fd(fd, path, err);
    _cleanup_(ib_buf_clear) struct ib_buf signature = {0};
    size_t json_size, old_size;

    if (!a)
        return -1;
    const char *json = ib_artifact_json(a, &json_size), *old = ib_artifact_signature(a, &old_size);
    ib_artifact_sign_manifest(ib_artifact_manifest(a), json, json_size, key, &signature);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, NULL, "sign", path, ib_artifact_size(a), IB_UNIT_BYTES);
    *ret_changed = old_size != signature.size || memcmp(old, signature.data, old_size) != 0;
    if (*ret_changed) {
        struct copy c = {.artifact = a, .in = fd, .path = path, .progress = progress, .step = step};
        if (write_copy(&c, &signature, ret, err) < 0)
            return -1;
    } else if (lseek(fd, 0, SEEK_SET) < 0 || ib_sha256_fd(fd, &ret->sha256, &ret->size_bytes) < 0) {
        return ib_fail(err, IB_E_IO, errno, path, "read");
    }
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
