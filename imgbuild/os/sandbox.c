/* SPDX-License-Identifier: Apache-2.0 */
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "disk_tree.h"
#include "namespace.h"
#include "sandbox_engine.h"

/* ---- Choosing an engine --------------------------------------------------------------------- */

static const struct ib_sandbox_ops *find_ops(enum ib_sandbox_engine engine)
{
    return engine == IB_SANDBOX_GUESTFS ? &ib_sandbox_guestfs_ops : &ib_sandbox_namespace_ops;
}

static const char *hint_of(const struct ib_error *err)
{
    const char *hint = ib_error_hint(err);

    return hint ? hint : "'imgbuild doctor' shows what is missing";
}

/* Namespaces where they work, else an appliance; neither: both reasons and both cures. */
static const struct ib_sandbox_ops *choose(struct ib_step *step, struct ib_error **err)
{
    _cleanup_(ib_error_freep) struct ib_error *namespace_err = NULL, *guestfs_err = NULL;

    if (ib_sandbox_namespace_ops.probe(&namespace_err) == 0)
        return &ib_sandbox_namespace_ops;
    _cleanup_(ib_freep) char *namespace_text = ib_error_text(namespace_err);
    if (ib_sandbox_guestfs_ops.probe(&guestfs_err) == 0) {
        ib_step_note(step, "using the guestfs sandbox, which is slower: %s", namespace_text);
        return &ib_sandbox_guestfs_ops;
    }
    _cleanup_(ib_freep) char *guestfs_text = ib_error_text(guestfs_err);
    ib_failf(err, IB_E_UNSUPPORTED, "no sandbox works on this machine: namespace: %s; guestfs: %s",
             namespace_text, guestfs_text);
    ib_hint(err, "for namespace: %s; or for guestfs: %s", hint_of(namespace_err),
            hint_of(guestfs_err));
    return NULL;
}

int ib_sandbox_probe(enum ib_sandbox_engine engine, struct ib_error **err)
{
    if (engine == IB_SANDBOX_AUTO)
        return choose(NULL, err) ? 0 : -1;
    return find_ops(engine)->probe(err);
}

enum ib_sandbox_engine ib_sandbox_engine(const struct ib_sandbox *sandbox)
{
    return sandbox->ops->engine;
}

/* ---- Opening and closing -------------------------------------------------------------------- */

struct ib_sandbox *ib_sandbox_open(const struct ib_tree *tree,
                                   const struct ib_sandbox_options *options, struct ib_error **err)
{
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(options->progress, options->step, "unpack the tree", NULL, 0, IB_UNIT_NONE);
    const struct ib_sandbox_ops *ops =
        options->engine == IB_SANDBOX_AUTO ? choose(step, err) : find_ops(options->engine);

    if (!ops)
        return NULL;
    _cleanup_(ib_sandbox_freep) struct ib_sandbox *sandbox = ib_calloc(1, sizeof(*sandbox));
    sandbox->ops = ops;
    sandbox->tree = tree;
    sandbox->options = *options;
    sandbox->scratch_dir = ib_strdup(options->scratch_dir);
    sandbox->options.scratch_dir = sandbox->scratch_dir;
    sandbox->options.step = step; /* what is told while opening belongs to it */
    if (ops->open(sandbox, err) < 0) {
        ib_wrap(err, ops->name, "open the sandbox");
        return NULL;
    }
    sandbox->options.step = options->step;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return ib_steal(&sandbox);
}

struct ib_sandbox *ib_sandbox_free(struct ib_sandbox *sandbox)
{
    if (sandbox) {
        if (sandbox->state)
            sandbox->ops->close(sandbox);
        free(sandbox->scratch_dir);
        free(sandbox);
    }
    return NULL;
}

void ib_sandbox_freep(struct ib_sandbox **sandbox)
{
    *sandbox = ib_sandbox_free(*sandbox);
}

/* ---- Working in it -------------------------------------------------------------------------- */

static char *check_path(const char *path, struct ib_error **err)
{
    char *normal = ib_path_normalize(path);

    if (normal && *normal)
        return normal;
    free(normal);
    ib_failf(err, IB_E_INVALID, "'%s' is not a path inside a sandbox", path);
    return NULL;
}

static int read_host_directory(struct ib_tree *files, int fd, struct ib_error **err)
{
    static const struct ib_held held = {0};

    return ib_disk_read(files, fd, IB_DISK_ROOT_OWNED, &held, err);
}

static int read_host_file(struct ib_tree *files, const char *name, int fd, const struct stat *st,
                          struct ib_error **err)
{
    struct ib_node *node = ib_tree_add_file_range(files, name, st->st_mode, fd, 0,
                                                  (uint64_t)st->st_size, IB_LAYER_BASE, err);

    if (!node)
        return -1;
    node->inode->mtime_s = st->st_mtim.tv_sec;
    return 0;
}

/* The host's files as a tree; *ret_directory is where in the sandbox its root belongs. */
static int read_host(struct ib_tree *files, const char *host_path, const char *path,
                     char **ret_directory, struct ib_error **err)
{
    struct stat st;
    _cleanup_(ib_closep) int fd = open(host_path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, host_path, "open");
    if (S_ISDIR(st.st_mode)) {
        *ret_directory = ib_strdup(path);
        return read_host_directory(files, fd, err);
    }
    if (!S_ISREG(st.st_mode))
        return ib_failf(err, IB_E_INVALID, "'%s' is neither a file nor a directory", host_path);
    const char *name = ib_path_base(path);
    *ret_directory = name == path ? ib_strdup("") : ib_strndup(path, (size_t)(name - path - 1));
    return read_host_file(files, name, fd, &st, err);
}

int ib_sandbox_copy_in(struct ib_sandbox *sandbox, const char *host_path, const char *path,
                       struct ib_error **err)
{
    _cleanup_(ib_freep) char *inside = check_path(path, err);
    _cleanup_(ib_freep) char *directory = NULL;
    _cleanup_(ib_tree_freep) struct ib_tree *files = ib_tree_new();

    if (!inside || read_host(files, host_path, inside, &directory, err) < 0 ||
        sandbox->ops->merge(sandbox, files, directory, err) < 0)
        return ib_wrap(err, host_path, "copy into the sandbox");
    return 0;
}

int ib_sandbox_copy_out(struct ib_sandbox *sandbox, const char *path, const char *host_path,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *inside = check_path(path, err);
    _cleanup_(ib_atomic_freep) struct ib_atomic *file =
        inside ? ib_atomic_open(host_path, 0644, err) : NULL;

    if (!file || sandbox->ops->read_file(sandbox, inside, ib_atomic_fd(file), err) < 0 ||
        ib_atomic_commit(file, err) < 0)
        return ib_wrap(err, path, "copy out of the sandbox");
    return 0;
}

static void set_env(struct ib_strv *env, const char *entry)
{
    size_t key = strcspn(entry, "=") + 1;

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], entry, key) == 0) {
            free(env->items[i]);
            env->items[i] = ib_strdup(entry);
            return;
        }
    }
    ib_strv_add(env, entry);
}

int ib_sandbox_run(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
                   struct ib_buf *out, struct ib_error **err)
{
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "LC_ALL=C.UTF-8",
        "TZ=UTC0",
        "TERM=dumb",
        NULL,
    };
    _cleanup_(ib_strv_clear) struct ib_strv all = {0};

    if (argv[0][0] != '/')
        return ib_failf(err, IB_E_INTERNAL, "'%s' is not an absolute path", argv[0]);
    ib_strv_add_all(&all, defaults);
    for (; env && *env; env++)
        set_env(&all, *env);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(sandbox->options.progress, sandbox->options.step, "run",
                      ib_path_base(argv[0]), 0, IB_UNIT_NONE);
    if (sandbox->ops->run(sandbox, argv, (const char *const *)all.items, out, err) < 0)
        return ib_wrap(err, argv[0], "run in the sandbox");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_sandbox_remove(struct ib_sandbox *sandbox, const char *path, struct ib_error **err)
{
    _cleanup_(ib_freep) char *inside = check_path(path, err);

    if (!inside || sandbox->ops->remove(sandbox, inside, err) < 0)
        return ib_wrap(err, path, "remove from the sandbox");
    return 0;
}

int ib_sandbox_export(struct ib_sandbox *sandbox, int fd, struct ib_error **err)
{
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        sandbox->options.progress, sandbox->options.step, "save the tree", NULL, 0, IB_UNIT_NONE);

    if (sandbox->ops->save(sandbox, fd, err) < 0)
        return ib_wrap(err, NULL, "save the tree of the sandbox");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_sandbox_remove_leftover(const char *path, struct ib_error **err)
{
    return ib_ns_remove_scratch(path, err);
}
