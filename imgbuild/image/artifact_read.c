/* SPDX-License-Identifier: Apache-2.0 */
/* Reading artifacts, which may come from anywhere (image/artifact.h). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "artifact_internal.h"
#include "base/file.h"

enum { FIRST_FRAME_MAX = 1024 * 1024 }; /* compressed; ours have a few hundred bytes */
#define SEEKABLE_MAGIC UINT32_C(0x8F92EAB1)

struct ib_artifact {
    int fd;
    char *name;
    uint64_t size;
    struct ib_buf json, signature;
    struct ib_manifest *manifest;
    const struct ib_manifest_frame *current; /* the frame that `raw` holds; NULL: none */
    struct ib_buf raw, packed;
};

static int bad(const struct ib_artifact *a, const char *why, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' is not an image made by imgbuild: %s", a->name, why);
    return -1;
}

static int read_at(const struct ib_artifact *a, void *data, size_t size, uint64_t offset,
                   struct ib_error **err)
{
    if (offset > a->size || size > a->size - offset)
        return bad(a, "it ends early", err);
    if (ib_pread_full(a->fd, data, size, offset) < 0)
        return ib_fail(err, IB_E_IO, errno, a->name, "read");
    return 0;
}

/* The first frame's compressed size. */
static int measure_first_frame(const struct ib_artifact *a, uint64_t *ret, struct ib_error **err)
{
    size_t n = (size_t)IB_MIN(a->size, (uint64_t)FIRST_FRAME_MAX);
    _cleanup_(ib_freep) uint8_t *head = ib_malloc(n);

    if (read_at(a, head, n, 0, err) < 0)
        return -1;
    if (n < 4 || ib_le32(head) != ZSTD_MAGICNUMBER)
        return bad(a, "it does not begin with a zstd frame", err);
    size_t size = ZSTD_findFrameCompressedSize(head, n);
    if (ZSTD_isError(size))
        return bad(a, "its first frame is damaged or too large", err);
    *ret = size;
    return 0;
}

/* Reads the manifest's frame at `at`; *ret_end is behind it. */
static int read_manifest(struct ib_artifact *a, uint64_t at, uint64_t *ret_end,
                         struct ib_error **err)
{
    uint8_t header[SKIPPABLE_HEADER + MANIFEST_HEADER];

    if (read_at(a, header, sizeof(header), at, err) < 0)
        return -1;
    uint64_t content = ib_le32(header + 4), json = ib_le32(header + 16);
    uint64_t signature = ib_le32(header + 20);
    if (!is_manifest_frame(header))
        return bad(a, "there is no manifest behind its first frame", err);
    if (content != MANIFEST_HEADER + json + signature || json > IB_MANIFEST_MAX_SIZE ||
        signature > SIGNATURE_MAX || at + SKIPPABLE_HEADER + content > a->size)
        return bad(a, "its manifest's size is out of range", err);
    if (read_at(a, ib_buf_reserve(&a->json, json), json, at + sizeof(header), err) < 0)
        return -1;
    a->json.size = json;
    a->json.data[json] = 0;
    if (read_at(a, ib_buf_reserve(&a->signature, signature), signature, at + sizeof(header) + json,
                err) < 0)
        return -1;
    a->signature.size = signature;
    a->manifest = ib_manifest_parse(a->json.data, a->json.size, a->name, err);
    *ret_end = at + SKIPPABLE_HEADER + content;
    return a->manifest ? 0 : -1;
}

/* The table at the end must say what the manifest says, entry by entry. */
static int check_seek_table(const struct ib_artifact *a, uint64_t manifest_size, uint64_t at,
                            struct ib_error **err)
{
    const struct ib_manifest *m = a->manifest;
    uint64_t entries = m->frame_count + 1;
    uint64_t size = SKIPPABLE_HEADER + entries * SEEK_ENTRY + SEEK_FOOTER;

    if (at > a->size || a->size - at != size)
        return bad(a, "its frames and seek table do not fill the file", err);
    _cleanup_(ib_freep) uint8_t *table = ib_malloc(size);
    if (read_at(a, table, size, at, err) < 0)
        return -1;
    const uint8_t *footer = table + size - SEEK_FOOTER, *e = table + SKIPPABLE_HEADER;
    bool same = ib_le32(table) == IB_ARTIFACT_SEEK_TABLE_MAGIC &&
                ib_le32(table + 4) == size - SKIPPABLE_HEADER && ib_le32(footer) == entries &&
                footer[4] == 0 && ib_le32(footer + 5) == SEEKABLE_MAGIC;
    for (size_t i = 0; same && i < m->frame_count; i++, e += SEEK_ENTRY) {
        same = ib_le32(e) == m->frames[i].size && ib_le32(e + 4) == m->frames[i].raw_size;
        if (i == 0) {
            e += SEEK_ENTRY;
            same = same && ib_le32(e) == manifest_size && ib_le32(e + 4) == 0;
        }
    }
    return same ? 0 : bad(a, "its seek table does not fit its manifest", err);
}

static int read_structure(struct ib_artifact *a, struct ib_error **err)
{
    uint64_t first, second;

    if (measure_first_frame(a, &first, err) < 0 || read_manifest(a, first, &second, err) < 0)
        return -1;
    if (a->manifest->frames[0].size != first)
        return bad(a, "its first frame is not the one its manifest names", err);
    uint64_t end = ib_manifest_place_frames(a->manifest, second);
    return check_seek_table(a, second - first, end, err);
}

bool ib_artifact_is_ours_fd(int fd)
{
    uint8_t head[64 * 1024]; /* the first frame unpacks to 32 KiB */
    ssize_t n = pread(fd, head, sizeof(head), 0);

    return n > 0 && ib_artifact_find_manifest(head, (size_t)n) > 0;
}

struct ib_artifact *ib_artifact_open_fd(int fd, const char *name, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_calloc(1, sizeof(*a));
    struct stat st;

    a->name = ib_strdup(name);
    a->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (a->fd < 0 || fstat(a->fd, &st) < 0) {
        ib_fail(err, IB_E_IO, errno, name, "read");
        return NULL;
    }
    if (!S_ISREG(st.st_mode)) {
        ib_failf(err, IB_E_INVALID, "'%s' is not a regular file", name);
        return NULL;
    }
    a->size = (uint64_t)st.st_size;
    return read_structure(a, err) < 0 ? NULL : ib_steal(&a);
}

struct ib_artifact *ib_artifact_open(const char *path, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);

    return fd < 0 ? NULL : ib_artifact_open_fd(fd, path, err);
}

struct ib_artifact *ib_artifact_free(struct ib_artifact *artifact)
{
    if (artifact) {
        ib_closep(&artifact->fd);
        ib_buf_clear(&artifact->json);
        ib_buf_clear(&artifact->signature);
        ib_buf_clear(&artifact->raw);
        ib_buf_clear(&artifact->packed);
        ib_manifest_free(artifact->manifest);
        free(artifact->name);
        free(artifact);
    }
    return NULL;
}

void ib_artifact_freep(struct ib_artifact **artifact)
{
    *artifact = ib_artifact_free(*artifact);
}

const struct ib_manifest *ib_artifact_manifest(const struct ib_artifact *artifact)
{
    return artifact->manifest;
}

const char *ib_artifact_json(const struct ib_artifact *artifact, size_t *ret_size)
{
    *ret_size = artifact->json.size;
    return (const char *)artifact->json.data;
}

const char *ib_artifact_signature(const struct ib_artifact *artifact, size_t *ret_size)
{
    *ret_size = artifact->signature.size;
    return (const char *)artifact->signature.data;
}

int ib_artifact_fd(const struct ib_artifact *artifact)
{
    return artifact->fd;
}

const char *ib_artifact_name(const struct ib_artifact *artifact)
{
    return artifact->name;
}

uint64_t ib_artifact_size(const struct ib_artifact *artifact)
{
    return artifact->size;
}

/* Makes `raw` hold this frame. */
static int load_frame(struct ib_artifact *a, const struct ib_manifest_frame *f,
                      struct ib_error **err)
{
    if (a->current == f)
        return 0;
    a->current = NULL;
    a->raw.size = a->packed.size = 0;
    uint8_t *packed = ib_buf_reserve(&a->packed, f->size);
    uint8_t *raw = ib_buf_reserve(&a->raw, f->raw_size);
    const struct ib_frame frame = {.raw_size = f->raw_size, .size = f->size, .sha256 = f->sha256};
    if (read_at(a, packed, f->size, f->offset, err) < 0 ||
        ib_frame_decompress(&frame, packed, raw, a->name, err) < 0)
        return -1;
    if (f->zero && !ib_is_zero(raw, f->raw_size))
        return bad(a, "a frame that should be zeros is not", err);
    a->raw.size = f->raw_size;
    a->current = f;
    return 0;
}

int ib_artifact_read(struct ib_artifact *artifact, void *data, size_t size, uint64_t offset,
                     struct ib_error **err)
{
    struct ib_artifact *a = artifact;
    uint64_t disk = a->manifest->disk_size_bytes;
    uint8_t *out = data;

    if (offset > disk || size > disk - offset)
        return ib_failf(err, IB_E_INVALID, "the image in '%s' ends before byte %llu", a->name,
                        (unsigned long long)offset + size);
    while (size > 0) {
        const struct ib_manifest_frame *f = ib_manifest_frame_at(a->manifest, offset);
        if (load_frame(a, f, err) < 0)
            return -1;
        size_t skip = (size_t)(offset - f->raw_offset), n = IB_MIN(size, f->raw_size - skip);
        memcpy(out, a->raw.data + skip, n);
        out += n;
        offset += n;
        size -= n;
    }
    return 0;
}

struct unpacking {
    int fd;
    uint64_t offset; /* of the disk, where the file begins */
    const char *name;
};

/* ib_artifact_data_fn */
static int write_data(const void *data, size_t size, uint64_t offset, void *userdata,
                      struct ib_error **err)
{
    const struct unpacking *u = userdata;

    if (ib_pwrite_full(u->fd, data, size, offset - u->offset) < 0)
        return ib_fail(err, IB_E_IO, errno, u->name, "unpack");
    return 0;
}

int ib_artifact_unpack(struct ib_artifact *artifact, uint64_t offset, uint64_t size, int out_fd,
                       struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    const struct ib_artifact *a = artifact;
    struct unpacking unpacking = {out_fd, offset, a->name};
    const struct ib_artifact_walk walk = {.offset = offset,
                                          .size = size,
                                          .fn = write_data,
                                          .userdata = &unpacking,
                                          .progress = progress,
                                          .step = step};
    uint64_t disk = a->manifest->disk_size_bytes;

    if (offset > disk || size > disk - offset)
        return ib_failf(err, IB_E_INVALID, "the image in '%s' ends before that", a->name);
    if (ftruncate(out_fd, (off_t)(size ? size : disk - offset)) < 0)
        return ib_fail(err, IB_E_IO, errno, a->name, "make room to unpack");
    return ib_artifact_walk(a, &walk, err);
}
