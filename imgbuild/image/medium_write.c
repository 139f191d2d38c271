/* SPDX-License-Identifier: Apache-2.0 */
/* Putting artifacts together so that every frame is stored once (image/medium.h). */
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "image/artifact.h"
#include "image/artifact_head.h"
#include "image/medium.h"

/* A frame that is stored. */
struct stored {
    struct ib_sha256 sha256; /* of what it unpacks to */
    uint32_t size;           /* packed; 0: an empty place in the table */
    uint64_t offset;         /* of the data area */
    size_t artifact;         /* where it is copied from … */
    uint64_t source_offset;  /* … and its place there */
};

/* A run to be copied; runs follow one another in the data area. */
struct run {
    size_t artifact;
    uint64_t source_offset, size;
};

struct artifact {
    struct ib_source *source;
    uint64_t size;
};

struct ib_medium_writer {
    struct ib_medium medium;
    struct artifact *artifacts;
    struct run *runs;
    size_t run_count, run_capacity;
    struct stored *table; /* open addressing; a power of two */
    size_t table_size, table_used;
    uint64_t data_size;
    struct ib_buf json;
};

struct ib_medium_writer *ib_medium_writer_new(void)
{
    struct ib_medium_writer *w = ib_calloc(1, sizeof(*w));

    w->table_size = 1024;
    w->table = ib_calloc(w->table_size, sizeof(*w->table));
    return w;
}

struct ib_medium_writer *ib_medium_writer_free(struct ib_medium_writer *w)
{
    if (w) {
        for (size_t i = 0; i < w->medium.count; i++)
            ib_source_free(w->artifacts[i].source);
        free(w->artifacts);
        free(w->runs);
        free(w->table);
        ib_medium_clear(&w->medium);
        ib_buf_clear(&w->json);
        free(w);
    }
    return NULL;
}

void ib_medium_writer_freep(struct ib_medium_writer **writer)
{
    *writer = ib_medium_writer_free(*writer);
}

/* The place of this hash: the frame's, or an empty one. */
static struct stored *look_up(struct stored *table, size_t table_size,
                              const struct ib_sha256 *sha256, uint32_t size)
{
    uint64_t hash;

    memcpy(&hash, sha256->bytes, sizeof(hash));
    for (size_t i = hash & (table_size - 1);; i = (i + 1) & (table_size - 1))
        if (table[i].size == 0 ||
            (table[i].size == size && ib_sha256_equal(&table[i].sha256, sha256)))
            return &table[i];
}

static void grow_table(struct ib_medium_writer *w)
{
    size_t bigger = w->table_size * 2;
    struct stored *table = ib_calloc(bigger, sizeof(*table));

    for (size_t i = 0; i < w->table_size; i++)
        if (w->table[i].size > 0)
            *look_up(table, bigger, &w->table[i].sha256, w->table[i].size) = w->table[i];
    free(w->table);
    w->table = table;
    w->table_size = bigger;
}

/* Appends bytes of the newest artifact to the data area. */
static uint64_t store(struct ib_medium_writer *w, uint64_t source_offset, uint64_t size)
{
    size_t artifact = w->medium.count - 1;
    struct run *last = w->run_count > 0 ? &w->runs[w->run_count - 1] : NULL;
    uint64_t offset = w->data_size;

    w->data_size += size;
    if (last && last->artifact == artifact && last->source_offset + last->size == source_offset) {
        last->size += size;
        return offset;
    }
    if (w->run_count == w->run_capacity) {
        w->run_capacity = w->run_capacity ? 2 * w->run_capacity : 64;
        w->runs = ib_reallocarray(w->runs, w->run_capacity, sizeof(*w->runs));
    }
    w->runs[w->run_count++] = (struct run){artifact, source_offset, size};
    return offset;
}

static void add_piece(struct ib_medium_node *node, uint64_t offset, uint64_t size)
{
    struct ib_source_range *last =
        node->piece_count > 0 ? &node->pieces[node->piece_count - 1] : NULL;

    if (last && last->offset + last->size == offset) {
        last->size += size;
        return;
    }
    if ((node->piece_count & (node->piece_count - 1)) == 0) /* full: capacities are powers of 2 */
        node->pieces =
            ib_reallocarray(node->pieces, 2 * node->piece_count + 1, sizeof(*node->pieces));
    node->pieces[node->piece_count++] = (struct ib_source_range){offset, size};
}

/* The same packed bytes: an artifact must come out of the medium as it went in. */
static int same_bytes(const struct ib_medium_writer *w, const struct stored *old, uint64_t offset,
                      bool *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *a = ib_malloc(old->size), *b = ib_malloc(old->size);

    if (ib_source_read(w->artifacts[old->artifact].source, a, old->size, old->source_offset, err) <
            0 ||
        ib_source_read(w->artifacts[w->medium.count - 1].source, b, old->size, offset, err) < 0)
        return -1;
    *ret = memcmp(a, b, old->size) == 0;
    return 0;
}

static int add_frame(struct ib_medium_writer *w, struct ib_medium_node *node,
                     const struct ib_manifest_frame *f, struct ib_error **err)
{
    struct stored *place = look_up(w->table, w->table_size, &f->sha256, f->size);
    bool same = false;

    if (place->size > 0 && same_bytes(w, place, f->offset, &same, err) < 0)
        return -1;
    if (same) {
        add_piece(node, place->offset, f->size);
        return 0;
    }
    uint64_t offset = store(w, f->offset, f->size);
    add_piece(node, offset, f->size);
    if (place->size > 0)
        return 0;
    *place = (struct stored){f->sha256, f->size, offset, w->medium.count - 1, f->offset};
    if (++w->table_used * 2 > w->table_size)
        grow_table(w);
    return 0;
}

/* Everything that is no frame of data is stored for each node: the first frame with the manifest
 * behind it, and the seek table at the end. */
static int add_pieces(struct ib_medium_writer *w, struct ib_medium_node *node,
                      const struct ib_artifact_head *head, uint64_t size, struct ib_error **err)
{
    const struct ib_manifest *m = head->manifest;
    uint64_t first_end = m->frame_count > 1 ? m->frames[1].offset : head->frames_end;

    add_piece(node, store(w, 0, first_end), first_end);
    for (size_t i = 1; i < m->frame_count; i++)
        if (add_frame(w, node, &m->frames[i], err) < 0)
            return -1;
    if (size > head->frames_end)
        add_piece(node, store(w, head->frames_end, size - head->frames_end),
                  size - head->frames_end);
    return 0;
}

static int check_frames(const char *path, struct ib_progress *progress, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *artifact = ib_artifact_open(path, err);
    const struct ib_artifact_walk walk = {.progress = progress};

    return artifact ? ib_artifact_walk(artifact, &walk, err) : -1;
}

int ib_medium_writer_add(struct ib_medium_writer *w, struct ib_medium_node *node, const char *path,
                         struct ib_progress *progress, struct ib_error **err)
{
    _cleanup_(ib_artifact_head_clear) struct ib_artifact_head head = {0};
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);
    _cleanup_(ib_source_freep) struct ib_source *source =
        fd < 0 ? NULL : ib_source_open_fd(fd, path, err);

    if (!source || check_frames(path, progress, err) < 0 ||
        ib_artifact_head_read(source, &head, err) < 0)
        return -1;
    const struct ib_manifest *m = head.manifest;
    if (!ib_streq(m->node, node->name)) {
        ib_failf(err, IB_E_INVALID, "'%s' is an image of '%s', not of '%s'", path, m->node,
                 node->name);
        return ib_hint(err, "imgbuild node %s", node->name);
    }
    if (ib_medium_find(&w->medium, m->node))
        return ib_failf(err, IB_E_USAGE, "'%s' is a second image of '%s'", path, m->node);
    w->medium.nodes =
        ib_reallocarray(w->medium.nodes, w->medium.count + 1, sizeof(*w->medium.nodes));
    w->artifacts = ib_reallocarray(w->artifacts, w->medium.count + 1, sizeof(*w->artifacts));
    struct ib_medium_node *added = &w->medium.nodes[w->medium.count];
    uint64_t size = ib_source_size(source);
    w->artifacts[w->medium.count++] = (struct artifact){ib_steal(&source), size};
    *added = *node;
    *node = (struct ib_medium_node){0};
    added->role = ib_strdup(m->role ? m->role : "");
    added->version = ib_strdup(m->version ? m->version : "");
    added->artifact = ib_asprintf("%s_%s.img.zst", m->node, added->version);
    ib_sha256(head.json.data, head.json.size, &added->manifest);
    return add_pieces(w, added, &head, size, err);
}

uint64_t ib_medium_writer_artifact_bytes(const struct ib_medium_writer *w)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < w->medium.count; i++)
        sum += w->artifacts[i].size;
    return sum;
}

int ib_medium_writer_finish(struct ib_medium_writer *w, struct ib_sha256 *ret_id,
                            uint64_t *ret_size, struct ib_error **err)
{
    _cleanup_(ib_medium_clear) struct ib_medium again = {0};

    ib_buf_clear(&w->json);
    ib_medium_format(&w->medium, &w->json);
    /* what the stick will not read must not be written: manifests come from anywhere */
    if (ib_medium_parse(w->json.data, w->json.size, "the recovery medium", &again, err) < 0)
        return -1;
    ib_sha256(w->json.data, w->json.size, ret_id);
    *ret_size = ib_round_up(IB_MEDIUM_INDEX_OFFSET + w->json.size, IB_MEDIUM_ALIGN) +
                ib_round_up(w->data_size, IB_MEDIUM_ALIGN);
    return 0;
}

static int write_head(const struct ib_medium_writer *w, int fd, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf head = {0};
    uint64_t size = htole64(w->json.size);
    struct ib_sha256 hash;

    ib_sha256(w->json.data, w->json.size, &hash);
    ib_buf_append(&head, IB_MEDIUM_MAGIC, 8);
    ib_buf_append(&head, &size, sizeof(size));
    ib_buf_append(&head, hash.bytes, sizeof(hash.bytes));
    ib_buf_append_zeros(&head, IB_MEDIUM_INDEX_OFFSET - head.size);
    ib_buf_append(&head, w->json.data, w->json.size);
    ib_buf_append_zeros(&head, ib_round_up(head.size, IB_MEDIUM_ALIGN) - head.size);
    if (ib_write_full(fd, head.data, head.size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "write the recovery medium");
    return 0;
}

int ib_medium_writer_write(struct ib_medium_writer *w, int fd, struct ib_progress *progress,
                           struct ib_step *step, struct ib_error **err)
{
    if (write_head(w, fd, err) < 0)
        return -1;
    for (size_t i = 0; i < w->run_count; i++) {
        const struct run *run = &w->runs[i];
        struct ib_source *source = w->artifacts[run->artifact].source;
        if (ib_progress_check(progress, err) < 0)
            return -1;
        if (ib_copy_range(ib_source_fd(source), run->source_offset, fd, run->size) < 0)
            return ib_fail(err, IB_E_IO, errno, ib_source_name(source), "copy to the medium");
        ib_step_advance(step, run->size);
    }
    return 0;
}
