/* SPDX-License-Identifier: Apache-2.0 */
/* The engine that needs nothing but Linux: a tree in namespaces (namespace.h). */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "disk_tree.h"
#include "held.h"
#include "namespace.h"
#include "sandbox_engine.h"

struct state {
    struct ib_ns *ns;
    struct ib_held held;
};

/* One call in a worker, whose memory is a copy of ours. */
struct work {
    const struct ib_sandbox *sandbox;
    const struct state *state;
    const struct ib_tree *files;
    const char *path;
    int fd;
};

static int call(struct ib_sandbox *sandbox, const char *name, ib_ns_fn fn, struct work *work,
                struct ib_error **err)
{
    struct state *state = sandbox->state;

    work->sandbox = sandbox;
    work->state = state;
    return ib_ns_call(state->ns, name, fn, work, sandbox->options.progress, err);
}

/* ---- In the worker -------------------------------------------------------------------------- */

static int write_tree(void *userdata, struct ib_error **err)
{
    const struct work *w = userdata;
    struct ib_tree *copy = (struct ib_tree *)(uintptr_t)w->sandbox->tree; /* this process' own */

    ib_held_strip(copy, &w->state->held);
    return ib_disk_write(copy, ib_ns_tree_fd(w->state->ns), err);
}

static int merge_files(void *userdata, struct ib_error **err)
{
    const struct work *w = userdata;
    _cleanup_(ib_closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (root_fd < 0)
        return ib_fail(err, IB_E_IO, errno, "/", "open");
    return ib_disk_merge(w->files, root_fd, w->path, err);
}

static int copy_file_out(void *userdata, struct ib_error **err)
{
    const struct work *w = userdata;
    struct stat st;
    _cleanup_(ib_closep) int root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(ib_closep) int fd =
        root_fd < 0 ? -1 : ib_disk_open(root_fd, w->path, O_RDONLY | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, w->path, "open");
    if (!S_ISREG(st.st_mode))
        return ib_failf(err, IB_E_INVALID, "'%s' is not a regular file", w->path);
    if (ib_copy_range(fd, 0, w->fd, (uint64_t)st.st_size) < 0)
        return ib_fail(err, IB_E_IO, errno, w->path, "copy");
    return 0;
}

/* The worker's root is the sandbox's, so that no link can lead out of it. */
static int remove_path(void *userdata, struct ib_error **err)
{
    const struct work *w = userdata;
    _cleanup_(ib_freep) char *path = ib_path_join("/", w->path);

    return ib_remove_tree(path, err);
}

/* Mount points that the tree never had, unless something lives there. */
static void drop_mount_points(const struct work *w, struct ib_tree *tree)
{
    static const char *const names[] = {"proc", "sys", "dev", "run", "tmp"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        const struct ib_node *node = ib_tree_find(tree, names[i]);
        if (node && node->child_count == 0 && ib_ns_made(w->state->ns, names[i]))
            ib_tree_remove(tree, names[i]);
    }
}

static int save_tree(void *userdata, struct ib_error **err)
{
    const struct work *w = userdata;
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();

    if (ib_disk_read(tree, ib_ns_tree_fd(w->state->ns), IB_DISK_XATTRS, &w->state->held, err) < 0)
        return -1;
    drop_mount_points(w, tree);
    if (ib_held_restore(tree, w->sandbox->tree, &w->state->held, err) < 0)
        return -1;
    return ib_tree_save(tree, w->fd, NULL, NULL, err);
}

/* ---- The engine ----------------------------------------------------------------------------- */

static int namespace_open(struct ib_sandbox *sandbox, struct ib_error **err)
{
    struct state *state = sandbox->state = ib_calloc(1, sizeof(*state));
    const struct ib_ns_options options = {
        .scratch_dir = sandbox->scratch_dir,
        .memory = sandbox->options.memory,
        .memory_limit = sandbox->options.memory_limit_bytes,
    };

    state->ns = ib_ns_open(&options, err);
    if (!state->ns)
        return -1;
    state->held = (struct ib_held){
        .user_xattrs = !ib_disk_has_user_xattrs(ib_ns_tree_fd(state->ns)),
        .high_ids = !ib_ns_has_high_ids(state->ns),
    };
    if (call(sandbox, "unpack", write_tree, &(struct work){0}, err) < 0)
        return -1;
    return ib_ns_enter(state->ns, err);
}

static void namespace_close(struct ib_sandbox *sandbox)
{
    struct state *state = sandbox->state;

    ib_ns_free(state->ns);
    free(state);
}

static int namespace_merge(struct ib_sandbox *sandbox, const struct ib_tree *files,
                           const char *directory, struct ib_error **err)
{
    struct work work = {.files = files, .path = directory};

    return call(sandbox, "copy", merge_files, &work, err);
}

static int namespace_read_file(struct ib_sandbox *sandbox, const char *path, int fd,
                               struct ib_error **err)
{
    struct work work = {.path = path, .fd = fd};

    return call(sandbox, "copy", copy_file_out, &work, err);
}

static int namespace_run(struct ib_sandbox *sandbox, const char *const *argv,
                         const char *const *env, struct ib_buf *out, struct ib_error **err)
{
    const struct state *state = sandbox->state;

    return ib_ns_run(state->ns, argv, env, out, IB_SANDBOX_MAX_OUTPUT, sandbox->options.progress,
                     err);
}

static int namespace_remove(struct ib_sandbox *sandbox, const char *path, struct ib_error **err)
{
    struct work work = {.path = path};

    return call(sandbox, "remove", remove_path, &work, err);
}

static int namespace_save(struct ib_sandbox *sandbox, int fd, struct ib_error **err)
{
    struct work work = {.fd = fd};

    return call(sandbox, "save", save_tree, &work, err);
}

static int namespace_probe(struct ib_error **err)
{
    const struct ib_ns_options options = {
        .scratch_dir = "/tmp", .memory = true, .memory_limit = IB_MIB};
    _cleanup_(ib_ns_freep) struct ib_ns *ns = ib_ns_open(&options, err);

    return ns ? ib_ns_enter(ns, err) : -1;
}

const struct ib_sandbox_ops ib_sandbox_namespace_ops = {
    .engine = IB_SANDBOX_NAMESPACE,
    .name = "namespace",
    .probe = namespace_probe,
    .open = namespace_open,
    .close = namespace_close,
    .merge = namespace_merge,
    .read_file = namespace_read_file,
    .run = namespace_run,
    .remove = namespace_remove,
    .save = namespace_save,
};
