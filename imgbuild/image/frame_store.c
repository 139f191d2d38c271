/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of frames, their index on disk, and stores (image/frames.h). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "image/bytes.h"
#include "image/frames.h"

enum { HEADER_SIZE = 32, ENTRY_SIZE = 40, VERSION = 1 };
static const uint8_t MAGIC[8] = {'I', 'B', 'F', 'R', 'A', 'M', 'E', 'S'};
#define ZERO_BIT UINT32_C(0x80000000)

struct ib_frame_store {
    char *path;
    int fd;
    struct ib_frames frames;
    const struct ib_frame **by_hash; /* sorted; zeros are not in it */
    size_t by_hash_count;
    bool same_zstd;
};

void ib_frames_clear(struct ib_frames *frames)
{
    free(frames->items);
    *frames = (struct ib_frames){0};
}

void ib_frames_add(struct ib_frames *frames, const struct ib_frame *frame)
{
    if (frames->count == frames->capacity) {
        frames->capacity = frames->capacity ? 2 * frames->capacity : 256;
        frames->items = ib_reallocarray(frames->items, frames->capacity, sizeof(*frames->items));
    }
    frames->items[frames->count] = *frame;
    frames->items[frames->count++].raw_offset = frames->raw_size;
    frames->raw_size += frame->raw_size;
}

int ib_frames_save(const struct ib_frames *frames, const char *path, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    uint8_t header[HEADER_SIZE], entry[8];
    struct ib_sha256 hash;

    memcpy(header, MAGIC, sizeof(MAGIC));
    ib_put_le32(header + 8, VERSION);
    ib_put_le32(header + 12, ZSTD_versionNumber());
    ib_put_le64(header + 16, frames->count);
    ib_put_le64(header + 24, frames->raw_size);
    ib_buf_append(&out, header, sizeof(header));
    for (size_t i = 0; i < frames->count; i++) {
        const struct ib_frame *f = &frames->items[i];
        ib_put_le32(entry, f->raw_size | (f->zero ? ZERO_BIT : 0));
        ib_put_le32(entry + 4, f->size);
        ib_buf_append(&out, entry, sizeof(entry));
        ib_buf_append(&out, f->sha256.bytes, IB_SHA256_SIZE);
    }
    ib_sha256(out.data, out.size, &hash);
    ib_buf_append(&out, hash.bytes, IB_SHA256_SIZE);
    return ib_atomic_write(path, 0644, out.data, out.size, err);
}

static int bad(const char *name, const char *why, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "frame index '%s' is damaged: %s", name, why);
    return -1;
}

int ib_frames_parse(const void *data, size_t size, const char *name, struct ib_frames *ret,
                    uint32_t *ret_zstd_version, struct ib_error **err)
{
    const uint8_t *p = data;
    _cleanup_(ib_frames_clear) struct ib_frames frames = {0};
    struct ib_sha256 hash;
    uint64_t offset = 0;

    if (size < HEADER_SIZE + IB_SHA256_SIZE || memcmp(p, MAGIC, 8) != 0)
        return bad(name, "it does not begin with IBFRAMES", err);
    if (ib_le32(p + 8) != VERSION)
        return bad(name, "its version is not 1", err);
    ib_sha256(p, size - IB_SHA256_SIZE, &hash);
    if (memcmp(hash.bytes, p + size - IB_SHA256_SIZE, IB_SHA256_SIZE) != 0)
        return bad(name, "its checksum is wrong", err);
    uint64_t count = ib_le64(p + 16), raw_size = ib_le64(p + 24);
    if (count > IB_FRAMES_MAX || size != HEADER_SIZE + count * ENTRY_SIZE + IB_SHA256_SIZE)
        return bad(name, "its length does not fit its count", err);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *e = p + HEADER_SIZE + i * ENTRY_SIZE;
        struct ib_frame f = {.raw_size = ib_le32(e) & ~ZERO_BIT,
                             .size = ib_le32(e + 4),
                             .zero = ib_le32(e) & ZERO_BIT,
                             .offset = offset};
        if (f.raw_size == 0 || f.raw_size > IB_FRAME_RAW_MAX || f.size == 0 ||
            f.size > ZSTD_compressBound(f.raw_size))
            return bad(name, "a frame's size is out of range", err);
        memcpy(f.sha256.bytes, e + 8, IB_SHA256_SIZE);
        offset += f.size;
        ib_frames_add(&frames, &f);
    }
    if (frames.raw_size != raw_size)
        return bad(name, "its frames do not add up", err);
    *ret_zstd_version = ib_le32(p + 12);
    *ret = frames;
    frames = (struct ib_frames){0};
    return 0;
}

static int by_hash(const void *a, const void *b)
{
    const struct ib_frame *x = *(const struct ib_frame *const *)a;
    const struct ib_frame *y = *(const struct ib_frame *const *)b;
    int r = memcmp(x->sha256.bytes, y->sha256.bytes, IB_SHA256_SIZE);

    return r ? r : x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void sort_by_hash(struct ib_frame_store *store)
{
    store->by_hash = ib_calloc(store->frames.count, sizeof(const struct ib_frame *));
    for (size_t i = 0; i < store->frames.count; i++)
        if (!store->frames.items[i].zero)
            store->by_hash[store->by_hash_count++] = &store->frames.items[i];
    if (store->by_hash_count > 1)
        qsort(store->by_hash, store->by_hash_count, sizeof(const struct ib_frame *), by_hash);
}

struct ib_frame_store *ib_frame_store_open(const char *path, struct ib_error **err)
{
    const uint64_t index_max = IB_FRAMES_MAX * UINT64_C(40) + 64;
    _cleanup_(ib_frame_store_freep) struct ib_frame_store *store = ib_calloc(1, sizeof(*store));
    _cleanup_(ib_freep) char *index_path = ib_asprintf("%s.idx", path);
    _cleanup_(ib_buf_clear) struct ib_buf index = {0};
    uint32_t zstd_version = 0;
    uint64_t end = 0;
    struct stat st;

    store->path = ib_strdup(path);
    store->fd = ib_open_read(path, err);
    if (store->fd < 0 || ib_read_file(index_path, index_max, &index, err) < 0 ||
        ib_frames_parse(index.data, index.size, index_path, &store->frames, &zstd_version, err) < 0)
        return NULL;
    for (size_t i = 0; i < store->frames.count; i++) {
        store->frames.items[i].store = store;
        end += store->frames.items[i].size;
    }
    if (fstat(store->fd, &st) < 0 || (uint64_t)st.st_size != end) {
        ib_failf(err, IB_E_INVALID, "frame store '%s' is not as long as its index says", path);
        return NULL;
    }
    store->same_zstd = zstd_version == ZSTD_versionNumber();
    sort_by_hash(store);
    return ib_steal(&store);
}

struct ib_frame_store *ib_frame_store_free(struct ib_frame_store *store)
{
    if (store) {
        ib_closep(&store->fd);
        ib_frames_clear(&store->frames);
        free(store->by_hash);
        free(store->path);
        free(store);
    }
    return NULL;
}

void ib_frame_store_freep(struct ib_frame_store **store)
{
    *store = ib_frame_store_free(*store);
}

const struct ib_frames *ib_frame_store_frames(const struct ib_frame_store *store)
{
    return &store->frames;
}

int ib_frame_store_fd(const struct ib_frame_store *store)
{
    return store->fd;
}

const char *ib_frame_store_path(const struct ib_frame_store *store)
{
    return store->path;
}

const struct ib_frame *ib_frame_store_find(const struct ib_frame_store *store,
                                           const struct ib_sha256 *sha256, uint32_t raw_size)
{
    size_t low = 0, high = store->same_zstd ? store->by_hash_count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct ib_frame *f = store->by_hash[middle];
        int r = memcmp(sha256->bytes, f->sha256.bytes, IB_SHA256_SIZE);
        if (r == 0)
            return f->raw_size == raw_size ? f : NULL;
        if (r < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct ib_frame *ib_frame_store_find_zeros(const struct ib_frame_store *store,
                                                 uint32_t raw_size)
{
    for (size_t i = 0; store->same_zstd && i < store->frames.count; i++)
        if (store->frames.items[i].zero && store->frames.items[i].raw_size == raw_size)
            return &store->frames.items[i];
    return NULL;
}
