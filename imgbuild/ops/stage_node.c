/* SPDX-License-Identifier: Apache-2.0 */
/* The node stage: identity + kernel + initrd → UKI → ESP; with the role's root → artifact. */
#include "stage_node.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/cpio.h"
#include "image/esp.h"
#include "image/rootfs.h"
#include "image/verity.h"
#include "ops/identity.h"

void ib_node_work_clear(struct ib_node_work *w)
{
    ib_cache_entry_free(w->root);
    ib_cache_entry_free(w->initrd);
    ib_root_info_clear(&w->info);
    ib_buf_clear(&w->identity);
    ib_temp_dirp(&w->dir);
    free(w->os_release);
    free(w->cmdline);
    free(w->uki);
    free(w->esp);
    ib_frames_clear(&w->esp_frames);
    ib_closep(&w->esp_frames_fd);
    ib_frame_store_free(w->esp_reference);
    ib_buf_clear(&w->head);
    ib_buf_clear(&w->tail);
}

int ib_stage_node_inputs_cached(const struct ib_build *b, const struct ib_node_spec *node,
                                bool *ret, struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *root = ib_stage_root_key(b, node->root, err);
    _cleanup_(ib_key_freep) struct ib_key *initrd =
        root ? ib_stage_initrd_key(b, node->root->base, &node->drivers, err) : NULL;

    if (!initrd)
        return -1;
    *ret = ib_cache_entry_exists(b->project->cache, root) &&
           ib_cache_entry_exists(b->project->cache, initrd);
    return 0;
}

/* The stages before this one, the initrd's beside the root's: neither needs the other. */
struct initrd_job {
    const struct ib_build *b;
    const struct ib_node_spec *node;
    struct ib_step *step;
    struct ib_cache_entry *entry;
    struct ib_error *err;
};

static void *run_initrd_job(void *userdata)
{
    struct initrd_job *job = userdata;

    job->entry =
        ib_stage_initrd(job->b, job->node->root->base, &job->node->drivers, job->step, &job->err);
    return NULL;
}

static int get_inputs(const struct ib_build *b, const struct ib_node_spec *node,
                      struct ib_node_work *w, struct ib_step *step, struct ib_error **err)
{
    struct initrd_job job = {.b = b, .node = node, .step = step};
    pthread_t thread;

    /* the base first: both stages start from it, and it is made once */
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *base = NULL;
    bool cached;
    if (ib_stage_node_inputs_cached(b, node, &cached, err) < 0)
        return -1;
    if (!cached) {
        base = ib_stage_base(b, node->root->base, step, err);
        if (!base)
            return -1;
    }
    int r = pthread_create(&thread, NULL, run_initrd_job, &job);
    if (r != 0)
        return ib_fail(err, IB_E_IO, r, NULL, "start a thread");
    w->root = ib_stage_root(b, node->root, step, err);
    pthread_join(thread, NULL);
    w->initrd = job.entry;
    if (!w->root) {
        ib_error_free(job.err);
        return -1;
    }
    if (!w->initrd) {
        *err = job.err;
        return -1;
    }
    return ib_root_info_read(w->root, &w->info, err);
}

/*
 * What the kernel is told: the role's root by its hash and nothing else, so that the UKI does not
 * care which slot it lies in. A block that does not match the hash tree stops the machine:
 * dm-verity would otherwise only fail the read.
 */
static char *make_cmdline(const struct ib_node_spec *node, const struct ib_root_info *info)
{
    _cleanup_(ib_freep) char *arguments = ib_strv_join(&node->kernel_arguments, " ");
    char hex[IB_SHA256_HEX_SIZE];

    return ib_asprintf("roothash=%s systemd.verity_root_options=panic-on-corruption "
                       "rootfstype=squashfs ro panic=10%s%s",
                       ib_sha256_hex(&info->root_hash, hex), *arguments ? " " : "", arguments);
}

static uint64_t verity_partition_size(const struct ib_node_spec *node)
{
    return ib_round_up(ib_verity_hash_size(node->slot_size), IB_GPT_ALIGN);
}

static int make_identity(const struct ib_build *b, const struct ib_node_spec *node,
                         const struct ib_root_info *info, struct ib_buf *ret, char **ret_os_release,
                         struct ib_error **err)
{
    const struct ib_identity_input input = {
        .project_dir = b->project->dir,
        .recipe = b->project->recipe,
        .node = node,
        .version = b->version,
        .os_release = info->os_release,
        .verity_size_bytes = verity_partition_size(node),
    };
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_identity_make(&input, b->diags, err);

    if (!tree || ib_cpio_write(tree, (uint64_t)b->project->lock->date_s, ret, err) < 0)
        return -1;
    *ret_os_release = ib_identity_os_release(&input);
    return 0;
}

static int make_uki(const struct ib_build *b, struct ib_node_work *w, struct ib_error **err)
{
    _cleanup_(ib_freep) char *stub = ib_cache_entry_path(w->initrd, "stub.efi");
    _cleanup_(ib_freep) char *kernel = ib_cache_entry_path(w->initrd, "kernel");
    _cleanup_(ib_freep) char *initrd = ib_cache_entry_path(w->initrd, "initrd");
    _cleanup_(ib_freep) char *microcode = ib_cache_entry_path(w->root, "microcode");
    _cleanup_(ib_freep) char *uname_path = ib_cache_entry_path(w->initrd, "uname");
    _cleanup_(ib_buf_clear) struct ib_buf uname = {0};
    const struct ib_part initrds[] = {
        {.path = microcode}, /* the kernel looks for it before everything else */
        {.path = initrd},
        {.data = w->identity.data, .size = w->identity.size},
    };

    if (ib_read_file(uname_path, 256, &uname, err) < 0)
        return -1;
    const struct ib_uki uki = {
        .stub = {.path = stub},
        .kernel = {.path = kernel},
        .initrds = initrds,
        .initrd_count = IB_ARRAY_SIZE(initrds),
        .os_release = w->os_release,
        .cmdline = w->cmdline,
        .uname = (const char *)uname.data,
        .key_path = b->options->key,
        .certificate_path = b->options->certificate,
    };
    w->uki = ib_path_join(w->dir, "uki.efi");
    _cleanup_(ib_closep) int fd = open(w->uki, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, w->uki, "create");
    return ib_uki_write(&uki, fd, w->dir, err);
}

static int make_esp(const struct ib_build *b, const struct ib_node_spec *node,
                    struct ib_node_work *w, struct ib_error **err)
{
    static const char loader_conf[] = "timeout 0\neditor no\n";
    _cleanup_(ib_freep) char *boot = ib_cache_entry_path(w->initrd, "boot.efi");
    _cleanup_(ib_freep) char *uki_name = ib_asprintf("EFI/Linux/%s_%s.efi", node->name, b->version);
    struct ib_uuid volume;
    /* What nodes share comes first, so that their file systems begin alike. */
    const struct ib_esp_file files[] = {
        {node->root->base->architecture == IB_ARCH_AARCH64 ? "EFI/BOOT/BOOTAA64.EFI"
                                                           : "EFI/BOOT/BOOTX64.EFI",
         {.path = boot}},
        {"loader/loader.conf", {.data = loader_conf, .size = sizeof(loader_conf) - 1}},
        {uki_name, {.path = w->uki}},
    };

    ib_uuid_derive("imgbuild esp", node->name, &volume);
    const struct ib_esp esp = {
        .size_bytes = node->esp_size,
        .volume_id = (uint32_t)volume.bytes[0] << 24 | (uint32_t)volume.bytes[1] << 16 |
                     (uint32_t)volume.bytes[2] << 8 | volume.bytes[3],
        .mtime_s = (uint64_t)b->project->lock->date_s,
        .files = files,
        .file_count = IB_ARRAY_SIZE(files),
    };
    w->esp = ib_path_join(w->dir, "esp.img");
    return ib_esp_make(&esp, w->esp, b->project->progress, err);
}

/* The label of a slot's partitions (at most 36 UTF-16 units): ROLE_VERSION. */
static void set_label(const struct ib_build *b, const struct ib_node_spec *node, char *label,
                      size_t size)
{
    snprintf(label, size, "%.*s_%s",
             (int)(IB_GPT_LABEL_MAX - 1 - IB_MIN(strlen(b->version), (size_t)24)), node->root->name,
             b->version);
}

static int make_gpt(const struct ib_build *b, const struct ib_node_spec *node,
                    struct ib_node_work *w, struct ib_error **err)
{
    const char *arch = node->root->base->architecture == IB_ARCH_AARCH64 ? "arm64" : "x86-64";
    struct ib_gpt_partition *esp = &w->partitions[IB_NODE_ESP];
    struct ib_gpt_partition *root = &w->partitions[IB_NODE_ROOT];
    struct ib_gpt_partition *verity = &w->partitions[IB_NODE_VERITY];

    strcpy(esp->label, "esp");
    esp->size_bytes = node->esp_size;
    ib_uuid_derive("imgbuild esp partition", node->name, &esp->uuid);
    set_label(b, node, root->label, sizeof(root->label));
    set_label(b, node, verity->label, sizeof(verity->label));
    root->size_bytes = node->slot_size;
    verity->size_bytes = verity_partition_size(node);
    root->attributes = verity->attributes = IB_GPT_READ_ONLY;
    ib_verity_partition_uuids(&w->info.root_hash, &root->uuid, &verity->uuid);
    if (!ib_gpt_type_uuid(IB_GPT_ESP, arch, &esp->type) ||
        !ib_gpt_type_uuid(IB_GPT_ROOT, arch, &root->type) ||
        !ib_gpt_type_uuid(IB_GPT_ROOT_VERITY, arch, &verity->type))
        return ib_failf(err, IB_E_INTERNAL, "no partition types for %s", arch);
    w->gpt.partitions = w->partitions;
    w->gpt.partition_count = IB_NODE_PARTITIONS;
    ib_uuid_derive("imgbuild disk", node->name, &w->gpt.disk);
    return ib_gpt_make(&w->gpt, w->dir, &w->head, &w->tail, err);
}

/*
 * ESPs of nodes with the same kernel and initrd differ in little. The first one's frames are kept,
 * and others take from there what is the same instead of compressing it again.
 */
static int make_esp_frames(const struct ib_build *b, struct ib_node_work *w, struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("esp-frames");
    _cleanup_(ib_closep) int in = ib_open_read(w->esp, err);
    struct ib_frames_job job = {.fd = in, .name = "esp", .progress = b->project->progress};
    struct stat st;

    if (in < 0)
        return -1;
    if (fstat(in, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, w->esp, "look at");
    job.size = (uint64_t)st.st_size;
    _cleanup_(ib_freep) char *writer = ib_rootfs_writer_version();
    ib_key_add(key, "writer", writer); /* a fresh build must give the same frames */
    ib_key_add(key, "initrd", ib_path_base(ib_cache_entry_dir(w->initrd)));
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *entry =
        ib_cache_entry_get(b->project->cache, key, b->project->progress, err);
    if (!entry)
        return -1;
    bool hit = ib_cache_entry_hit(entry);
    _cleanup_(ib_freep) char *store_path = ib_cache_entry_path(entry, "esp.frames");
    const struct ib_frame_store *reuse[1];
    if (hit) {
        if (!(w->esp_reference = ib_frame_store_open(store_path, err)))
            return -1;
        reuse[0] = w->esp_reference;
        job.reuse = reuse;
        job.reuse_count = 1;
        job.link_reused = true;
    }
    _cleanup_(ib_freep) char *out_path =
        hit ? ib_path_join(w->dir, "esp.frames") : ib_strdup(store_path);
    w->esp_frames_fd = open(out_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (w->esp_frames_fd < 0)
        return ib_fail(err, IB_E_IO, errno, out_path, "create");
    if (ib_frames_make(&job, w->esp_frames_fd, &w->esp_frames, err) < 0)
        return -1;
    if (hit)
        return 0;
    _cleanup_(ib_freep) char *index = ib_asprintf("%s.idx", store_path);
    if (ib_frames_save(&w->esp_frames, index, err) < 0)
        return -1;
    return ib_cache_entry_commit(entry, err);
}

/* The UKI's hash, made while the ESP is. */
struct hash_job {
    const char *path;
    struct ib_sha256 hash;
    struct ib_error *err;
    int result;
};

static void *run_hash_job(void *userdata)
{
    struct hash_job *job = userdata;
    _cleanup_(ib_closep) int fd = ib_open_read(job->path, &job->err);

    job->result = fd < 0 ? -1 : ib_sha256_fd(fd, &job->hash, NULL);
    if (job->result < 0 && !job->err)
        job->result = ib_fail(&job->err, IB_E_IO, errno, job->path, "read");
    return NULL;
}

static int make_esp_and_hash(const struct ib_build *b, const struct ib_node_spec *node,
                             struct ib_node_work *w, struct ib_error **err)
{
    struct hash_job job = {.path = w->uki};
    pthread_t thread;

    int r = pthread_create(&thread, NULL, run_hash_job, &job);
    if (r != 0)
        return ib_fail(err, IB_E_IO, r, NULL, "start a thread");
    r = make_esp(b, node, w, err) < 0 || make_gpt(b, node, w, err) < 0 ? -1 : 0;
    pthread_join(thread, NULL);
    if (r == 0 && job.result < 0) {
        *err = job.err;
        return -1;
    }
    ib_error_free(job.err);
    w->uki_hash = job.hash;
    return r;
}

static int make_parts(const struct ib_build *b, const struct ib_node_spec *node,
                      struct ib_node_work *w, struct ib_error **err)
{
    w->dir = ib_cache_temp_dir(b->project->cache, "node", err);
    if (!w->dir || make_identity(b, node, &w->info, &w->identity, &w->os_release, err) < 0)
        return -1;
    w->cmdline = make_cmdline(node, &w->info);
    if (make_uki(b, w, err) < 0 || make_esp_and_hash(b, node, w, err) < 0)
        return -1;
    return make_esp_frames(b, w, err);
}

static int add_overlay_keys(const struct ib_build *b, const struct ib_node_spec *node,
                            struct ib_key *key, struct ib_error **err)
{
    for (size_t i = 0; i < node->overlays.count; i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("overlay %s", node->overlays.items[i]);
        _cleanup_(ib_overlay_freep) struct ib_overlay *overlay =
            ib_overlay_read(b->project->dir, node->overlays.items[i], err);
        struct ib_sha256 hash;
        if (!overlay || ib_overlay_hash(overlay, &hash, err) < 0)
            return -1;
        ib_key_add_hash(key, name, &hash);
    }
    for (size_t i = 0; i < node->files.count; i++)
        if (node->files.items[i].source &&
            ib_key_add_source(key, b->project->dir, node->files.items[i].source, err) < 0)
            return -1;
    return 0;
}

struct ib_key *ib_stage_node_key(const struct ib_build *b, const struct ib_node_spec *node,
                                 struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *root = ib_stage_root_key(b, node->root, err);
    _cleanup_(ib_key_freep) struct ib_key *initrd =
        root ? ib_stage_initrd_key(b, node->root->base, &node->drivers, err) : NULL;
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("node");

    if (!initrd)
        return NULL;
    _cleanup_(ib_freep) char *canonical = ib_node_spec_canonical(node);
    ib_key_add(key, "name", node->name);
    ib_key_add_key(key, "root", root);
    ib_key_add_key(key, "initrd", initrd);
    ib_key_add(key, "recipe", canonical);
    ib_key_add(key, "version", b->version);
    if (b->options->key && (ib_key_add_file(key, "key", b->options->key, err) < 0 ||
                            ib_key_add_file(key, "certificate", b->options->certificate, err) < 0))
        return NULL;
    if (b->options->sign_key) {
        char hex[2 * IB_MINISIGN_KEY_SIZE + 1];
        ib_key_add(key, "signed by",
                   ib_hex(b->options->sign_key->public.key, IB_MINISIGN_KEY_SIZE, hex));
    }
    if (add_overlay_keys(b, node, key, err) < 0)
        return NULL;
    return ib_steal(&key);
}

int ib_stage_node(const struct ib_build *b, const struct ib_node_spec *node, struct ib_step *step,
                  struct ib_built *ret, struct ib_error **err)
{
    _cleanup_(ib_node_work_clear) struct ib_node_work w = {.esp_frames_fd = -1};
    _cleanup_(ib_key_freep) struct ib_key *key = ib_stage_node_key(b, node, err);
    if (!key)
        return -1;
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *entry =
        ib_cache_entry_get(b->project->cache, key, b->project->progress, err);
    if (!entry)
        return -1;
    if (ib_cache_entry_hit(entry) && ib_published_read(b, node, entry, ret)) {
        ret->cached = true;
        return 0;
    }
    if (get_inputs(b, node, &w, step, err) < 0 || make_parts(b, node, &w, err) < 0 ||
        ib_publish(b, node, &w, entry, ret, err) < 0)
        return -1;
    return ib_cache_entry_hit(entry) ? 0 : ib_cache_entry_commit(entry, err);
}
