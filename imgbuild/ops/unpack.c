/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/unpack.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image/artifact.h"
#include "io/unpacker.h"

enum { BUFFER = 1 << 20, BLOCK = 64 << 10 };

void ib_unpacked_clear(struct ib_unpacked *result)
{
    free(result->format);
    free(result->signed_by);
    *result = (struct ib_unpacked){0};
}

static int refuse_device(const char *out, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED, "'%s' is not a place for a regular file", out);
    return ib_hint(err, "'imgbuild flash' writes to devices; here, name a file");
}

/* True for a name below /dev, also where it does not exist: nothing may appear there. */
static bool is_below_dev(const char *out)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(out);
    _cleanup_(ib_freep) char *real = realpath(dir, NULL);

    return real && (ib_streq(real, "/dev") ||
                    (ib_startswith(real, "/dev/") && !ib_startswith(real, "/dev/shm")));
}

static int check_out(const char *out, int source, bool force, struct ib_error **err)
{
    struct stat st, source_st;

    if (is_below_dev(out))
        return refuse_device(out, err);
    if (stat(out, &st) < 0)
        return 0; /* what is wrong with it, creating it tells */
    if (!S_ISREG(st.st_mode))
        return refuse_device(out, err);
    if (fstat(source, &source_st) == 0 && source_st.st_dev == st.st_dev &&
        source_st.st_ino == st.st_ino) {
        ib_failf(err, IB_E_REFUSED, "'%s' is the image itself", out);
        return ib_hint(err, "choose another name");
    }
    if (!force) {
        ib_failf(err, IB_E_REFUSED, "'%s' exists", out);
        return ib_hint(err, "use --force to replace it, or choose another name");
    }
    return 0;
}

static int unpack_artifact(int source, const char *name, int out, const struct ib_unpack_options *o,
                           struct ib_unpacked *ret, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open_fd(source, name, err);
    size_t json_size, signature_size;
    const char *key;

    if (!a)
        return -1;
    const char *json = ib_artifact_json(a, &json_size);
    const char *signature = ib_artifact_signature(a, &signature_size);
    if (ib_trust_verify(o->trust, json, json_size, signature, signature_size, name, &key, NULL,
                        err) < 0)
        return -1;
    ret->size_bytes = ib_artifact_manifest(a)->disk_size_bytes;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(o->progress, NULL, "unpack", name, ret->size_bytes, IB_UNIT_BYTES);
    if (ib_artifact_unpack(a, 0, 0, out, o->progress, step, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    ret->format = ib_strdup("imgbuild");
    ret->signed_by = ib_strdup(key);
    return 0;
}

/* A virtual machine's format would come out as it went in, which is not what was asked for. */
static int check_raw(const uint8_t *data, size_t size, const char *name, struct ib_error **err)
{
    static const struct {
        const char *magic, *what;
    } formats[] = {{"QFI\xfb", "qcow2"}, {"KDMV", "VMDK"}, {"vhdxfile", "VHDX"}};

    for (size_t i = 0; i < IB_ARRAY_SIZE(formats); i++) {
        size_t n = strlen(formats[i].magic);
        if (size < n || memcmp(data, formats[i].magic, n) != 0)
            continue;
        ib_failf(err, IB_E_INVALID, "'%s' is a %s image, not a raw one", name, formats[i].what);
        return ib_hint(err, "qemu-img convert -O raw makes a raw image of it");
    }
    return 0;
}

/* Writes all but blocks of zeros: the file is new, so that those are holes. */
static int write_sparse(int out, const uint8_t *data, size_t size, uint64_t offset)
{
    for (size_t at = 0; at < size; at += BLOCK) {
        size_t n = IB_MIN(size - at, (size_t)BLOCK);
        if (!ib_is_zero(data + at, n) && ib_pwrite_full(out, data + at, n, offset + at) < 0)
            return -1;
    }
    return 0;
}

static int copy_raw(struct ib_unpacker *unpacker, const char *name, int out,
                    struct ib_progress *progress, struct ib_step *step, uint64_t *ret_size,
                    struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *buffer = ib_malloc(BUFFER);
    uint64_t size = 0, consumed = 0;
    size_t n;

    do {
        if (ib_progress_check(progress, err) < 0 ||
            ib_unpacker_read(unpacker, buffer, BUFFER, &n, err) < 0 ||
            (size == 0 && check_raw(buffer, n, name, err) < 0))
            return -1;
        if (write_sparse(out, buffer, n, size) < 0)
            return ib_fail(err, IB_E_IO, errno, name, "unpack");
        size += n;
        ib_step_advance(step, ib_unpacker_consumed(unpacker) - consumed);
        consumed = ib_unpacker_consumed(unpacker);
    } while (n == BUFFER);
    if (size == 0)
        return ib_failf(err, IB_E_INVALID, "'%s' is empty", name);
    if (ftruncate(out, (off_t)size) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "unpack");
    *ret_size = size;
    return 0;
}

static int unpack_foreign(int fd, const char *name, int out, const struct ib_unpack_options *o,
                          struct ib_unpacked *ret, struct ib_error **err)
{
    _cleanup_(ib_source_freep) struct ib_source *source = ib_source_open_fd(fd, name, err);
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker =
        source ? ib_unpacker_new(source, err) : NULL;

    if (!unpacker)
        return -1;
    if (o->need_signature) {
        ib_failf(err, IB_E_VERIFY, "'%s' is not an image of ours and has no signature", name);
        return ib_hint(err, "leave out --key if you trust it");
    }
    uint64_t total = ib_source_size(source);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(o->progress, NULL, "unpack", name,
                      total == IB_SOURCE_SIZE_UNKNOWN ? 0 : total, IB_UNIT_BYTES);
    if (copy_raw(unpacker, name, out, o->progress, step, &ret->size_bytes, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    ret->format = ib_strdup(ib_unpacker_format(unpacker));
    return 0;
}

static int unpack_raw(int source, const char *name, int out, const struct ib_unpack_options *o,
                      struct ib_unpacked *ret, struct ib_error **err)
{
    return ib_artifact_is_ours_fd(source) ? unpack_artifact(source, name, out, o, ret, err)
                                          : unpack_foreign(source, name, out, o, ret, err);
}

/* qemu-img gets both files through /proc, which its process may open as we may. */
static int convert(int raw, int out, const char *name, struct ib_progress *progress,
                   struct ib_error **err)
{
    _cleanup_(ib_freep) char *from = ib_asprintf("/proc/%d/fd/%d", (int)getpid(), raw);
    _cleanup_(ib_freep) char *to = ib_asprintf("/proc/%d/fd/%d", (int)getpid(), out);
    const char *const argv[] = {"qemu-img", "convert", "-q", "-f", "raw",
                                "-O",       "qcow2",   from, to,   NULL};
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, NULL, "convert", name, 0, IB_UNIT_NONE);

    if (ib_run(&(struct ib_run){.argv = argv, .progress = progress}, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

static int unpack_to(int source, const char *name, const char *out,
                     const struct ib_unpack_options *o, struct ib_unpacked *ret,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(out);
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(out, 0644, err);
    _cleanup_(ib_closep) int raw = -1;

    if (!file)
        return -1;
    if (o->format == IB_UNPACK_RAW) {
        if (unpack_raw(source, name, ib_atomic_fd(file), o, ret, err) < 0)
            return -1;
    } else {
        raw = ib_temp_file(dir, err);
        if (raw < 0 || unpack_raw(source, name, raw, o, ret, err) < 0 ||
            convert(raw, ib_atomic_fd(file), out, o->progress, err) < 0)
            return -1;
    }
    return o->force ? ib_atomic_commit(file, err) : ib_atomic_commit_new(file, err);
}

int ib_unpack(const char *source, const char *out, const struct ib_unpack_options *options,
              struct ib_unpacked *ret, struct ib_error **err)
{
    _cleanup_(ib_unpacked_clear) struct ib_unpacked result = {0};
    _cleanup_(ib_closep) int fd = ib_open_read(source, err);

    if (fd < 0 || check_out(out, fd, options->force, err) < 0 ||
        unpack_to(fd, source, out, options, &result, err) < 0)
        return ib_wrap(err, source, "unpack");
    *ret = result;
    result = (struct ib_unpacked){0};
    return 0;
}
