/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking dm-verity trees where they lie on a disk. libcryptsetup's userspace check
 * (ib_verity_check) needs data and tree as devices or files of their own and has one thread; this
 * one reads partitions in place, on all processors.
 *
 * On disk: the super block (cryptsetup, lib/verity/verity.c), one block; then the levels of the
 * tree, the top one first, each block the digests of 128 blocks of the level below, the lowest
 * those of the data. A digest is SHA-256(salt, block).
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "image/bytes.h"
#include "image/verity.h"

enum {
    BLOCK = IB_VERITY_BLOCK_SIZE,
    FANOUT = BLOCK / IB_SHA256_SIZE,
    LEVELS_MAX = 8,
    SALT_MAX = 256,
};

struct tree {
    const struct ib_verity_place *place;
    const char *name;
    uint64_t data_blocks;
    uint8_t salt[SALT_MAX];
    size_t salt_size;
    unsigned levels;              /* 0 is the lowest */
    uint64_t blocks[LEVELS_MAX];  /* of each level */
    uint64_t offsets[LEVELS_MAX]; /* of each level's first block on the disk */
    uint8_t *above;               /* level 1, checked; NULL: there is none */
    struct ib_sha256 root_hash;

    struct ib_progress *progress;
    struct ib_step *step;
    atomic_uint_fast64_t next; /* the first block of level 0 that nobody has taken */
    atomic_bool failed;
};

static int bad(const struct tree *t, const char *why, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "the hash tree on '%s' cannot be used: %s", t->name, why);
}

static int read_at(const struct tree *t, struct ib_reader_buffer *buffer, uint64_t offset,
                   size_t size, const uint8_t **ret, struct ib_error **err)
{
    return ib_reader_read(t->place->reader, buffer, offset, size, ret, err);
}

static int parse_super_block(struct tree *t, const uint8_t *s, struct ib_error **err)
{
    static const uint8_t magic[8] = "verity\0";
    static const char algorithm[32] = "sha256"; /* padded with NULs */

    if (memcmp(s, magic, sizeof(magic)) != 0)
        return bad(t, "it has no verity super block", err);
    t->data_blocks = ib_le64(s + 72);
    t->salt_size = ib_le16(s + 80);
    if (ib_le32(s + 8) != 1 || ib_le32(s + 12) != 1 ||
        memcmp(s + 32, algorithm, sizeof(algorithm)) != 0)
        return bad(t, "it is not version 1 with SHA-256", err);
    if (ib_le32(s + 64) != BLOCK || ib_le32(s + 68) != BLOCK || t->salt_size > SALT_MAX)
        return bad(t, "its blocks are not of 4096 bytes", err);
    if (t->data_blocks < 2 || t->data_blocks > t->place->data_size / BLOCK)
        return bad(t, "it covers more than the partition holds", err);
    memcpy(t->salt, s + 88, t->salt_size);
    return 0;
}

static int place_levels(struct tree *t, struct ib_error **err)
{
    uint64_t count = t->data_blocks, at = t->place->hash_offset + BLOCK;

    do {
        if (t->levels == LEVELS_MAX)
            return bad(t, "it is too large", err);
        count = (count + FANOUT - 1) / FANOUT;
        t->blocks[t->levels++] = count;
    } while (count > 1);
    for (unsigned level = t->levels; level-- > 0;) {
        t->offsets[level] = at;
        at += t->blocks[level] * BLOCK;
    }
    if (at > t->place->hash_offset + t->place->hash_size)
        return bad(t, "it is longer than its partition", err);
    return 0;
}

static void hash_block(const struct tree *t, struct ib_hasher *h, const uint8_t *block,
                       struct ib_sha256 *ret)
{
    ib_hasher_reset(h);
    ib_hasher_update(h, t->salt, t->salt_size);
    ib_hasher_update(h, block, BLOCK);
    ib_hasher_final(h, ret);
}

static int open_tree(struct tree *t, struct ib_error **err)
{
    _cleanup_(ib_reader_buffer_clear) struct ib_reader_buffer buffer = {0};
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
    const uint8_t *data;

    t->name = ib_reader_name(t->place->reader);
    if (t->place->hash_size < 2 * BLOCK)
        return bad(t, "its partition is too small", err);
    if (read_at(t, &buffer, t->place->hash_offset, BLOCK, &data, err) < 0 ||
        parse_super_block(t, data, err) < 0 || place_levels(t, err) < 0 ||
        read_at(t, &buffer, t->offsets[t->levels - 1], BLOCK, &data, err) < 0)
        return -1;
    hash_block(t, h, data, &t->root_hash);
    return 0;
}

static int mismatch(const struct tree *t, uint64_t offset, const char *what, struct ib_error **err)
{
    ib_failf(err, IB_E_VERIFY, "%s at byte %llu of '%s' does not fit the hash tree", what,
             (unsigned long long)offset, t->name);
    return ib_hint(err, "the disk is damaged or was changed: write the image to it again");
}

/* Reads the levels from the top down to 1, each checked by the one above; the last is kept. */
static int check_upper_levels(struct tree *t, struct ib_error **err)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
    struct ib_sha256 hash;

    for (unsigned level = t->levels; level-- > 1;) {
        _cleanup_(ib_reader_buffer_clear) struct ib_reader_buffer buffer = {0};
        uint8_t *blocks = ib_malloc(t->blocks[level] * BLOCK);
        const uint8_t *data;
        for (uint64_t i = 0; i < t->blocks[level]; i++) {
            uint64_t at = t->offsets[level] + i * BLOCK;
            if (read_at(t, &buffer, at, BLOCK, &data, err) < 0) {
                free(blocks);
                return -1;
            }
            hash_block(t, h, data, &hash);
            const uint8_t *expected = t->above ? t->above + i * IB_SHA256_SIZE : t->root_hash.bytes;
            if (memcmp(hash.bytes, expected, IB_SHA256_SIZE) != 0) {
                free(blocks);
                return mismatch(t, at, "a block of hashes", err);
            }
            memcpy(blocks + i * BLOCK, data, BLOCK);
        }
        free(t->above);
        t->above = blocks;
    }
    return 0;
}

struct worker {
    struct ib_hasher *h;
    struct ib_reader_buffer hashes, data;
};

static void worker_clear(struct worker *w)
{
    ib_hasher_free(w->h);
    ib_reader_buffer_clear(&w->hashes);
    ib_reader_buffer_clear(&w->data);
}

/* One block of the lowest level, and the up to 128 data blocks that it covers. */
static int check_leaf(struct tree *t, struct worker *w, uint64_t leaf, struct ib_error **err)
{
    uint64_t at = t->offsets[0] + leaf * BLOCK, first = leaf * FANOUT;
    size_t count = (size_t)IB_MIN((uint64_t)FANOUT, t->data_blocks - first);
    uint64_t data_at = t->place->data_offset + first * BLOCK;
    const uint8_t *hashes, *data;
    struct ib_sha256 hash;

    if (ib_progress_check(t->progress, err) < 0 ||
        read_at(t, &w->hashes, at, BLOCK, &hashes, err) < 0 ||
        read_at(t, &w->data, data_at, count * BLOCK, &data, err) < 0)
        return -1;
    hash_block(t, w->h, hashes, &hash);
    const uint8_t *expected = t->above ? t->above + leaf * IB_SHA256_SIZE : t->root_hash.bytes;
    if (memcmp(hash.bytes, expected, IB_SHA256_SIZE) != 0)
        return mismatch(t, at, "a block of hashes", err);
    for (size_t i = 0; i < count; i++) {
        hash_block(t, w->h, data + i * BLOCK, &hash);
        if (memcmp(hash.bytes, hashes + i * IB_SHA256_SIZE, IB_SHA256_SIZE) != 0)
            return mismatch(t, data_at + i * BLOCK, "the block", err);
    }
    ib_step_advance(t->step, count * BLOCK);
    return 0;
}

/* ib_parallel_fn */
static int work(void *userdata, struct ib_error **err)
{
    struct tree *t = userdata;
    _cleanup_(worker_clear) struct worker w = {.h = ib_hasher_new()};

    while (!t->failed) {
        uint64_t leaf = atomic_fetch_add(&t->next, 1);
        if (leaf >= t->blocks[0])
            return 0;
        if (check_leaf(t, &w, leaf, err) < 0) {
            t->failed = true;
            return -1;
        }
    }
    return 0;
}

int ib_verity_read_root_hash(const struct ib_verity_place *place, struct ib_sha256 *ret,
                             uint64_t *ret_data_size, struct ib_error **err)
{
    struct tree t = {.place = place};

    if (open_tree(&t, err) < 0)
        return -1;
    *ret = t.root_hash;
    *ret_data_size = t.data_blocks * BLOCK;
    return 0;
}

int ib_verity_check_place(const struct ib_verity_place *place, const struct ib_sha256 *root_hash,
                          struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    struct tree t = {.place = place, .progress = progress, .step = step};
    int r = open_tree(&t, err);

    if (r == 0 && !ib_sha256_equal(&t.root_hash, root_hash))
        r = mismatch(&t, t.offsets[t.levels - 1], "the top block", err);
    if (r == 0)
        r = check_upper_levels(&t, err);
    if (r == 0)
        r = ib_parallel_run(ib_reader_threads(), work, &t, err);
    free(t.above);
    return r;
}
