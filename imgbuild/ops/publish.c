/* SPDX-License-Identifier: Apache-2.0 */
/* The node stage's second half: the parts put together, and the files beside the artifact. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "image/artifact.h"
#include "image/bmap.h"
#include "stage_node.h"
#include "sums.h"

enum { MAX_NOTE_SIZE = 1 << 20, MAX_PACKAGES_SIZE = 64 << 20 };

static int add_packages(const struct ib_node_work *w, struct ib_manifest *m, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(w->root, "packages.json");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    json_t *p;
    size_t i;

    if (ib_read_file(path, MAX_PACKAGES_SIZE, &text, err) < 0)
        return -1;
    json_t *array = json_loadb((const char *)text.data, text.size, 0, NULL);
    json_array_foreach (array, i, p) {
        const char *name, *version, *architecture;
        if (json_unpack(p, "{s:s, s:s, s:s}", "name", &name, "version", &version, "architecture",
                        &architecture) == 0)
            ib_manifest_add_package(m, name, version, architecture);
    }
    json_decref(array);
    return 0;
}

static void add_source(const struct ib_build *b, struct ib_manifest *m, enum ib_lock_kind kind,
                       const char *name)
{
    const struct ib_lock_entry *e = ib_lock_entry(b->project->lock, kind, name);

    if (e && e->urls.count)
        ib_manifest_add_source(m, name, e->urls.items[0], &e->sha256);
}

static void add_sources(const struct ib_build *b, const struct ib_node_spec *node,
                        struct ib_manifest *m)
{
    const struct ib_root_spec *root = node->root;
    const struct ib_strv *without = b->options->without;

    add_source(b, m, IB_LOCK_BASE, root->base->name);
    for (size_t i = 0; i < root->payloads.count; i++) {
        const char *name = root->payloads.items[i].name;
        if (without && ib_strv_contains(without, name))
            ib_strv_add(&m->without, name);
        else
            add_source(b, m, IB_LOCK_PAYLOAD, name);
    }
    ib_strv_sort_unique(&m->without);
}

static void add_partitions(const struct ib_node_work *w, struct ib_manifest *m)
{
    for (unsigned i = 0; i < IB_NODE_PARTITIONS; i++) {
        const struct ib_gpt_partition *from = &w->gpt.partitions[i];
        struct ib_manifest_partition *p = ib_manifest_add_partition(m);
        p->number = i + 1;
        p->label = ib_strdup(from->label);
        p->type_name = ib_strdup(ib_gpt_type_name(&from->type));
        p->type = from->type;
        p->uuid = from->uuid;
        p->attributes = from->attributes;
        p->offset_bytes = from->offset_bytes;
        p->size_bytes = from->size_bytes;
        p->has_root_hash = i != IB_NODE_ESP;
        if (p->has_root_hash)
            p->root_hash = w->info.root_hash;
    }
}

static struct ib_manifest *make_manifest(const struct ib_build *b, const struct ib_node_spec *node,
                                         const struct ib_node_work *w, struct ib_error **err)
{
    _cleanup_(ib_manifest_freep) struct ib_manifest *m = ib_manifest_new();
    _cleanup_(ib_freep) char *uname_path = ib_cache_entry_path(w->initrd, "uname");
    _cleanup_(ib_buf_clear) struct ib_buf uname = {0};

    if (ib_read_file(uname_path, 256, &uname, err) < 0)
        return NULL;
    m->tool = ib_strdup("imgbuild " IB_VERSION);
    m->node = ib_strdup(node->name);
    m->role = ib_strdup(node->root->role->name);
    m->version = ib_strdup(b->version);
    m->base = ib_strdup(node->root->base->name);
    m->architecture =
        ib_strdup(node->root->base->architecture == IB_ARCH_AARCH64 ? "arm64" : "x86-64");
    m->kernel = ib_strdup((const char *)uname.data);
    m->cmdline = ib_strdup(w->cmdline);
    m->disk = w->gpt.disk;
    m->disk_size_bytes = w->gpt.disk_size_bytes;
    m->sector_size = IB_GPT_SECTOR_SIZE;
    add_partitions(w, m);
    add_sources(b, node, m);
    m->uki = w->uki_hash;
    m->has_uki = true;
    if (add_packages(w, m, err) < 0)
        return NULL;
    return ib_steal(&m);
}

static char *out_path(const struct ib_build *b, const char *name, const char *suffix)
{
    return ib_asprintf("%s/%s_%s%s", b->out_dir, name, b->version, suffix);
}

static int write_artifact(const struct ib_build *b, struct ib_node_work *w, struct ib_manifest *m,
                          const char *path, struct ib_artifact_result *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) char *root_path = ib_cache_entry_path(w->root, "root.frames");
    _cleanup_(ib_freep) char *verity_path = ib_cache_entry_path(w->root, "verity.frames");
    _cleanup_(ib_frame_store_freep) struct ib_frame_store *root =
        ib_frame_store_open(root_path, err);
    _cleanup_(ib_frame_store_freep) struct ib_frame_store *verity =
        root ? ib_frame_store_open(verity_path, err) : NULL;

    if (!verity)
        return -1;
    const struct ib_gpt_partition *p = w->gpt.partitions;
    const struct ib_artifact_extent extents[] = {
        {.offset_bytes = 0, .data = w->head.data, .size = w->head.size},
        {.offset_bytes = p[IB_NODE_ESP].offset_bytes,
         .frames = &w->esp_frames,
         .fd = w->esp_frames_fd},
        {.offset_bytes = p[IB_NODE_ROOT].offset_bytes,
         .frames = ib_frame_store_frames(root),
         .fd = ib_frame_store_fd(root)},
        {.offset_bytes = p[IB_NODE_VERITY].offset_bytes,
         .frames = ib_frame_store_frames(verity),
         .fd = ib_frame_store_fd(verity)},
        {.offset_bytes = w->gpt.disk_size_bytes - w->tail.size,
         .data = w->tail.data,
         .size = w->tail.size},
    };
    return ib_artifact_write_signed(m, extents, IB_ARRAY_SIZE(extents), path, b->options->sign_key,
                                    b->project->progress, ret, err);
}

/* Copies a file with this hash to `path`, unless it is there already. */
static int publish_copy(const char *from, const char *path, const struct ib_sha256 *hash,
                        struct ib_sums *sums, struct ib_error **err)
{
    _cleanup_(ib_closep) int in = ib_open_read(from, err);
    struct stat st, old;

    if (in < 0)
        return -1;
    if (fstat(in, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "look at");
    if (stat(path, &old) == 0 && old.st_size == st.st_size &&
        ib_sums_has_hash(sums, ib_path_base(path), hash))
        return 0;
    _cleanup_(ib_atomic_freep) struct ib_atomic *out = ib_atomic_open(path, 0644, err);
    if (!out)
        return -1;
    if (ib_copy_range(in, 0, ib_atomic_fd(out), (uint64_t)st.st_size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    ib_sums_set(sums, ib_path_base(path), hash);
    return ib_atomic_commit(out, err);
}

static int publish_text(const struct ib_buf *text, const char *path, struct ib_sums *sums,
                        struct ib_error **err)
{
    struct ib_sha256 hash;

    ib_sha256(text->data, text->size, &hash);
    ib_sums_set(sums, ib_path_base(path), &hash);
    return ib_atomic_write(path, 0644, text->data, text->size, err);
}

/* A file of frames, whose hash stands beside it. */
static int publish_frames(const char *from, const char *path, struct ib_sums *sums,
                          struct ib_error **err)
{
    _cleanup_(ib_freep) char *hash_path = ib_asprintf("%s.sha256", from);
    _cleanup_(ib_buf_clear) struct ib_buf hex = {0};
    struct ib_sha256 hash;

    if (ib_read_file(hash_path, IB_SHA256_HEX_SIZE, &hex, err) < 0)
        return -1;
    if (!ib_sha256_parse((const char *)hex.data, &hash)) {
        ib_failf(err, IB_E_INVALID, "'%s' in the cache is damaged", hash_path);
        return ib_hint(err, "imgbuild clean --all, then build again");
    }
    return publish_copy(from, path, &hash, sums, err);
}

/* The role's root and hash tree, for updates that replace a slot: the same for all its nodes. */
static int publish_root(const struct ib_build *b, const struct ib_node_spec *node,
                        const struct ib_node_work *w, struct ib_sums *sums, struct ib_error **err)
{
    _cleanup_(ib_freep) char *root = ib_cache_entry_path(w->root, "root.frames");
    _cleanup_(ib_freep) char *verity = ib_cache_entry_path(w->root, "verity.frames");
    _cleanup_(ib_freep) char *root_out = out_path(b, node->root->name, ".root.zst");
    _cleanup_(ib_freep) char *verity_out = out_path(b, node->root->name, ".verity.zst");

    if (publish_frames(root, root_out, sums, err) < 0)
        return -1;
    return publish_frames(verity, verity_out, sums, err);
}

/* The signature that is in the artifact, for the manifest beside it; an old one goes away. */
static int publish_signature(const struct ib_build *b, const struct ib_manifest *m,
                             const struct ib_buf *json, const char *json_path,
                             struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s.minisig", json_path);
    _cleanup_(ib_buf_clear) struct ib_buf signature = {0};

    if (!b->options->sign_key)
        return unlink(path) < 0 && errno != ENOENT ? ib_fail(err, IB_E_IO, errno, path, "remove")
                                                   : 0;
    ib_artifact_sign_manifest(m, json->data, json->size, b->options->sign_key, &signature);
    return ib_atomic_write(path, 0644, signature.data, signature.size, err);
}

static int publish_beside(const struct ib_build *b, const struct ib_node_spec *node,
                          const struct ib_node_work *w, const struct ib_manifest *m,
                          const struct ib_artifact_result *artifact, struct ib_error **err)
{
    _cleanup_(ib_freep) char *json_path = out_path(b, node->name, ".json");
    _cleanup_(ib_freep) char *bmap_path = out_path(b, node->name, ".img.bmap");
    _cleanup_(ib_freep) char *efi_path = out_path(b, node->name, ".efi");
    _cleanup_(ib_freep) char *artifact_name = out_path(b, node->name, ".img.zst");
    _cleanup_(ib_buf_clear) struct ib_buf json = {0}, bmap = {0};
    _cleanup_(ib_sums_closep) struct ib_sums *sums = ib_sums_open(b->out_dir, err);

    if (!sums)
        return -1;
    ib_manifest_print(m, &json);
    ib_bmap_print(m, &bmap);
    ib_sums_set(sums, ib_path_base(artifact_name), &artifact->sha256);
    if (publish_text(&json, json_path, sums, err) < 0 ||
        publish_signature(b, m, &json, json_path, err) < 0 ||
        publish_text(&bmap, bmap_path, sums, err) < 0 ||
        publish_copy(w->uki, efi_path, &w->uki_hash, sums, err) < 0 ||
        publish_root(b, node, w, sums, err) < 0)
        return -1;
    return ib_sums_save(sums, b->options->sign_key, err);
}

static void fill_result(const struct ib_build *b, const struct ib_node_spec *node,
                        struct ib_built *ret)
{
    ret->node = ib_strdup(node->name);
    ret->version = ib_strdup(b->version);
    ret->artifact = out_path(b, node->name, ".img.zst");
}

static int write_note(const struct ib_cache_entry *entry, const struct ib_built *built,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "node.json");
    char sha256[IB_SHA256_HEX_SIZE], root_hash[IB_SHA256_HEX_SIZE];
    json_t *o = json_pack("{s:I, s:s, s:s}", "size", (json_int_t)built->size_bytes, "sha256",
                          ib_sha256_hex(&built->sha256, sha256), "root_hash",
                          ib_sha256_hex(&built->root_hash, root_hash));
    _cleanup_(ib_freep) char *text = json_dumps(o, JSON_INDENT(1));

    json_decref(o);
    return ib_atomic_write(path, 0644, text, strlen(text), err);
}

int ib_publish(const struct ib_build *b, const struct ib_node_spec *node, struct ib_node_work *w,
               const struct ib_cache_entry *entry, struct ib_built *ret, struct ib_error **err)
{
    _cleanup_(ib_manifest_freep) struct ib_manifest *m = make_manifest(b, node, w, err);
    _cleanup_(ib_freep) char *path = out_path(b, node->name, ".img.zst");
    struct ib_artifact_result artifact;

    if (!m || write_artifact(b, w, m, path, &artifact, err) < 0 ||
        publish_beside(b, node, w, m, &artifact, err) < 0)
        return ib_out_hint(b, err);
    fill_result(b, node, ret);
    ret->size_bytes = artifact.size_bytes;
    ret->sha256 = artifact.sha256;
    ret->root_hash = w->info.root_hash;
    return ib_cache_entry_hit(entry) ? 0 : write_note(entry, ret, err);
}

bool ib_published_read(const struct ib_build *b, const struct ib_node_spec *node,
                       const struct ib_cache_entry *entry, struct ib_built *ret)
{
    const char *const suffixes[] = {".img.zst", ".json", ".img.bmap", ".efi",
                                    b->options->sign_key ? ".json.minisig" : ".json"};
    _cleanup_(ib_freep) char *note = ib_cache_entry_path(entry, "node.json");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    const char *sha256, *root_hash;
    json_int_t size = 0;
    struct stat st;

    for (size_t i = 0; i < IB_ARRAY_SIZE(suffixes); i++) {
        _cleanup_(ib_freep) char *path = out_path(b, node->name, suffixes[i]);
        if (!ib_path_exists(path))
            return false;
    }
    if (ib_read_file(note, MAX_NOTE_SIZE, &text, NULL) < 0)
        return false;
    json_t *o = json_loadb((const char *)text.data, text.size, 0, NULL);
    bool ok = o &&
              json_unpack(o, "{s:I, s:s, s:s}", "size", &size, "sha256", &sha256, "root_hash",
                          &root_hash) == 0 &&
              ib_sha256_parse(sha256, &ret->sha256) && ib_sha256_parse(root_hash, &ret->root_hash);
    json_decref(o);
    _cleanup_(ib_freep) char *artifact = out_path(b, node->name, ".img.zst");
    ok = ok && stat(artifact, &st) == 0 && st.st_size == size &&
         ib_sums_match(b->out_dir, ib_path_base(artifact), &ret->sha256);
    if (!ok)
        return false;
    ret->size_bytes = (uint64_t)size;
    fill_result(b, node, ret);
    return true;
}
