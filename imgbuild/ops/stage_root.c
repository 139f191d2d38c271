/* SPDX-License-Identifier: Apache-2.0 */
/* The root stage: composed tree → squashfs, hash tree and the frames of both. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "build_internal.h"
#include "image/cpio.h"
#include "image/frames.h"
#include "image/rootfs.h"
#include "image/verity.h"
#include "os/kernel.h"
#include "os/selinux.h"

enum { MAX_INFO_SIZE = 1 << 20, MAX_PACKAGES_SIZE = 64 << 20, MAX_OS_RELEASE_SIZE = 1 << 16 };

static int open_compose(const struct ib_build *b, const struct ib_root_spec *root,
                        struct ib_compose *ret, struct ib_error **err)
{
    const struct ib_compose_input input = {
        .project_dir = b->project->dir,
        .recipe = b->project->recipe,
        .root = root,
        .lock = b->project->lock,
        .cache = b->project->cache,
        .without = b->options->without,
    };

    return ib_compose_open(ret, &input, err);
}

static struct ib_key *make_key(const struct ib_build *b, const struct ib_compose *compose,
                               struct ib_error **err)
{
    const struct ib_root_spec *root = compose->input.root;
    _cleanup_(ib_key_freep) struct ib_key *packages = ib_stage_packages_key(b, root, err);
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("root");
    _cleanup_(ib_freep) char *writer = ib_rootfs_writer_version();

    if (!packages)
        return NULL;
    ib_key_add(key, "name", root->name);
    ib_key_add(key, "files", "frames, with their hashes");
    ib_key_add_key(key, "packages", packages);
    ib_key_add_u64(key, "compression level",
                   (uint64_t)b->project->recipe->cluster.image.compression_level);
    ib_key_add(key, "writer", writer);
    if (ib_compose_add_key(compose, key, err) < 0)
        return NULL;
    return ib_steal(&key);
}

struct ib_key *ib_stage_root_key(const struct ib_build *b, const struct ib_root_spec *root,
                                 struct ib_error **err)
{
    _cleanup_(ib_compose_clear) struct ib_compose compose = {0};

    if (open_compose(b, root, &compose, err) < 0)
        return NULL;
    return make_key(b, &compose, err);
}

/* The list of what is installed goes along: the node's manifest needs it, and nothing before. */
static int copy_package_list(const struct ib_cache_entry *from, const struct ib_cache_entry *to,
                             struct ib_error **err)
{
    _cleanup_(ib_freep) char *in = ib_cache_entry_path(from, "packages.json");
    _cleanup_(ib_freep) char *out = ib_cache_entry_path(to, "packages.json");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(in, MAX_PACKAGES_SIZE, &text, err) < 0)
        return -1;
    return ib_atomic_write(out, 0644, text.data, text.size, err);
}

static struct ib_tree *make_tree(const struct ib_build *b, const struct ib_compose *compose,
                                 const struct ib_cache_entry *entry, struct ib_step *step,
                                 struct ib_error **err)
{
    const struct ib_root_spec *root = compose->input.root;
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *packages =
        ib_stage_packages(b, root, step, err);
    if (!packages || copy_package_list(packages, entry, err) < 0)
        return NULL;
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *base =
        ib_stage_base(b, root->base, step, err);
    if (!base)
        return NULL;
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(packages, "tree.tar");
    _cleanup_(ib_freep) char *base_path = ib_cache_entry_path(base, "tree.tar");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_load(path, err);
    _cleanup_(ib_tree_freep) struct ib_tree *older = tree ? ib_tree_load(base_path, err) : NULL;
    _cleanup_(ib_freep) char *scratch = ib_path_join(ib_cache_dir(b->project->cache), "tmp");
    struct ib_selinux_info labels;
    if (!older || ib_tree_mark_changes(tree, older, IB_LAYER_PACKAGES, err) < 0 ||
        ib_compose_apply(compose, tree, b->diags, err) < 0 ||
        ib_selinux_label(tree, scratch, b->project->progress, &labels, err) < 0)
        return NULL;
    return ib_steal(&tree);
}

static int write_squashfs(const struct ib_build *b, const struct ib_tree *tree, const char *path,
                          struct ib_step *step, struct ib_rootfs_info *ret, struct ib_error **err)
{
    const struct ib_rootfs_options options = {
        .level = (unsigned)b->project->recipe->cluster.image.compression_level,
        .epoch_s = b->project->lock->date_s,
        .progress = b->project->progress,
        .step = step,
    };
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    return ib_rootfs_write(tree, fd, &options, ret, err);
}

/* The salt is the file system's own hash: same content, same hash tree, and no other's. */
static int write_verity(const char *data_path, const char *hash_path, struct ib_sha256 *ret,
                        struct ib_error **err)
{
    struct ib_verity_params params;
    char hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_closep) int fd = ib_open_read(data_path, err);

    if (fd < 0)
        return -1;
    if (ib_sha256_fd(fd, &params.salt, NULL) < 0)
        return ib_fail(err, IB_E_IO, errno, data_path, "read");
    ib_uuid_derive("imgbuild verity", ib_sha256_hex(&params.salt, hex), &params.uuid);
    return ib_verity_format(data_path, hash_path, &params, ret, err);
}

/*
 * Beside a file of frames stands its hash, so that what is published of it need not be read to know
 * whether it is the same.
 */
static int write_hash(int fd, const char *path, struct ib_error **err)
{
    _cleanup_(ib_freep) char *hash_path = ib_asprintf("%s.sha256", path);
    char hex[IB_SHA256_HEX_SIZE];
    struct ib_sha256 hash;

    if (lseek(fd, 0, SEEK_SET) < 0 || ib_sha256_fd(fd, &hash, NULL) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "read");
    ib_sha256_hex(&hash, hex);
    return ib_atomic_write(hash_path, 0644, hex, strlen(hex), err);
}

/* Cuts a finished file into frames: FILE.frames with its index, copied into artifacts as it is. */
static int write_frames(const struct ib_build *b, const struct ib_cache_entry *entry,
                        const char *from, const char *name, struct ib_step *parent,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, name);
    _cleanup_(ib_freep) char *index = ib_asprintf("%s.idx", path);
    _cleanup_(ib_frames_clear) struct ib_frames frames = {0};
    _cleanup_(ib_closep) int in = ib_open_read(from, err);
    struct stat st;

    if (in < 0)
        return -1;
    _cleanup_(ib_closep) int out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0 || fstat(in, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(b->project->progress, parent, "frames", ib_path_base(from),
                      (uint64_t)st.st_size, IB_UNIT_BYTES);
    const struct ib_frames_job job = {
        .fd = in,
        .size = (uint64_t)st.st_size,
        .name = from,
        .progress = b->project->progress,
        .step = step,
    };
    if (ib_frames_make(&job, out, &frames, err) < 0 || ib_frames_save(&frames, index, err) < 0 ||
        write_hash(out, path, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

/* The early initrd of the role's microcode packages; empty where there are none. */
static int write_microcode(const struct ib_build *b, const struct ib_tree *microcode,
                           const struct ib_cache_entry *entry, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "microcode");
    _cleanup_(ib_buf_clear) struct ib_buf cpio = {0};

    if (ib_tree_entry_count(microcode) > 1 &&
        ib_cpio_write(microcode, (uint64_t)b->project->lock->date_s, &cpio, err) < 0)
        return -1;
    return ib_atomic_write(path, 0644, cpio.data, cpio.size, err);
}

static int write_info(const struct ib_cache_entry *entry, const struct ib_root_info *info,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "root.json");
    char hex[IB_SHA256_HEX_SIZE];
    json_t *o = json_pack("{s:s, s:I, s:I, s:s}", "root_hash", ib_sha256_hex(&info->root_hash, hex),
                          "root_size", (json_int_t)info->root_size_bytes, "verity_size",
                          (json_int_t)info->verity_size_bytes, "os_release", info->os_release);
    _cleanup_(ib_freep) char *text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);

    json_decref(o);
    if (!text)
        return ib_failf(err, IB_E_INVALID, "the root's os-release is not UTF-8 text");
    return ib_atomic_write(path, 0644, text, strlen(text), err);
}

int ib_root_info_read(const struct ib_cache_entry *entry, struct ib_root_info *ret,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "root.json");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    const char *hex = NULL, *os_release = NULL;
    json_int_t root_size, verity_size;

    if (ib_read_file(path, MAX_INFO_SIZE, &text, err) < 0)
        return -1;
    json_t *o = json_loadb((const char *)text.data, text.size, 0, NULL);
    bool ok = o &&
              json_unpack(o, "{s:s, s:I, s:I, s:s}", "root_hash", &hex, "root_size", &root_size,
                          "verity_size", &verity_size, "os_release", &os_release) == 0 &&
              ib_sha256_parse(hex, &ret->root_hash) && root_size > 0 && verity_size > 0;
    if (ok) {
        ret->root_size_bytes = (uint64_t)root_size;
        ret->verity_size_bytes = (uint64_t)verity_size;
        ret->os_release = ib_strdup(os_release);
    }
    json_decref(o);
    if (ok)
        return 0;
    ib_failf(err, IB_E_INVALID, "'%s' in the cache is damaged", path);
    return ib_hint(err, "imgbuild clean --all, then build again");
}

void ib_root_info_clear(struct ib_root_info *info)
{
    free(info->os_release);
    *info = (struct ib_root_info){0};
}

static int check_slot(const struct ib_build *b, const struct ib_root_spec *root, uint64_t size,
                      struct ib_error **err)
{
    uint64_t slot = b->project->recipe->cluster.image.slot_size;
    char a[16], c[16];

    if (size <= slot)
        return 0;
    ib_failf(err, IB_E_INVALID, "the root of '%s' is %s, more than a slot's %s", root->name,
             ib_format_size(size, a), ib_format_size(slot, c));
    return ib_hint(err, "raise image: slot_size: in recipes/cluster.yaml, or drop packages");
}

static int make_root(const struct ib_build *b, const void *subject,
                     const struct ib_cache_entry *entry, struct ib_step *step,
                     struct ib_error **err)
{
    const struct ib_compose *compose = subject;
    const struct ib_root_spec *root = compose->input.root;
    _cleanup_(ib_root_info_clear) struct ib_root_info info = {0};
    _cleanup_(ib_buf_clear) struct ib_buf os_release = {0};
    _cleanup_(ib_freep) char *squashfs = ib_cache_entry_path(entry, "root.squashfs");
    _cleanup_(ib_freep) char *verity = ib_cache_entry_path(entry, "root.verity");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = make_tree(b, compose, entry, step, err);
    _cleanup_(ib_tree_freep) struct ib_tree *microcode =
        tree ? ib_kernel_microcode(tree, err) : NULL;
    struct ib_rootfs_info rootfs;

    if (!microcode ||
        ib_tree_read_file(tree, "usr/lib/os-release", MAX_OS_RELEASE_SIZE, &os_release, err) < 0 ||
        write_squashfs(b, tree, squashfs, step, &rootfs, err) < 0 ||
        check_slot(b, root, rootfs.size, err) < 0 ||
        write_verity(squashfs, verity, &info.root_hash, err) < 0 ||
        write_frames(b, entry, squashfs, "root.frames", step, err) < 0 ||
        write_frames(b, entry, verity, "verity.frames", step, err) < 0)
        return -1;
    /* the frames hold the same bytes */
    if (unlink(squashfs) < 0 || unlink(verity) < 0)
        return ib_fail(err, IB_E_IO, errno, squashfs, "remove");
    if (write_microcode(b, microcode, entry, err) < 0)
        return -1;
    info.root_size_bytes = rootfs.size;
    info.verity_size_bytes = ib_verity_hash_size(rootfs.size);
    info.os_release = ib_buf_steal_string(&os_release);
    return write_info(entry, &info, err);
}

struct ib_cache_entry *ib_stage_root(const struct ib_build *b, const struct ib_root_spec *root,
                                     struct ib_step *parent, struct ib_error **err)
{
    _cleanup_(ib_compose_clear) struct ib_compose compose = {0};
    const struct ib_stage stage = {root->name, "build root", make_root, &compose};

    if (open_compose(b, root, &compose, err) < 0)
        return NULL;
    return ib_stage_run(b, &stage, make_key(b, &compose, err), parent, err);
}
