/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine that works anywhere: the tree on a scratch disk of one appliance (os/appliance.h).
 *
 * Programs do not run through guestfs_command, which gives them the appliance's devices and our
 * environment's ways, but through its shell (guestfs_debug "sh"), in namespaces as namespace_view.c
 * makes them. /tmp and /run are mounted once, so that guestfs' own calls see into them too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "os/host.h"
#include "sandbox_guestfs.h"

#define DEVICE "/dev/sda"
#define SPARE_SIZE (4 * IB_GIB)
#define BIG_MEMORY_MIB 2048
#define COPY_DIR "/.imgbuild-copy" /* where files wait for their place in the tree */

enum { INODE_RATIO = 8192, COMMAND_SIZE = 64 * 1024 };

const char *const ib_guestfs_mount_points[IB_GUESTFS_MOUNTS] = {"proc", "sys", "dev", "run", "tmp"};

int ib_guestfs_fail(const struct ib_sandbox *sandbox, const char *subject, const char *what,
                    struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;

    return ib_appliance_fail(state->appliance, subject, what, err);
}

/* ---- The appliance's own shell -------------------------------------------------------------- */

void ib_guestfs_quote(struct ib_buf *command, const char *word)
{
    ib_buf_append_str(command, " '");
    for (; *word; word++)
        if (*word == '\'')
            ib_buf_append_str(command, "'\\''");
        else
            ib_buf_append(command, word, 1);
    ib_buf_append_str(command, "'");
}

char *ib_guestfs_shell(const struct ib_sandbox *sandbox, const char *command)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *word = ib_strdup(command);
    char *const args[] = {word, NULL};

    return guestfs_debug(state->g, "sh", args);
}

int ib_guestfs_shell_or_fail(const struct ib_sandbox *sandbox, const char *command,
                             const char *what, struct ib_error **err)
{
    _cleanup_(ib_freep) char *output = ib_guestfs_shell(sandbox, command);

    return output ? 0 : ib_guestfs_fail(sandbox, NULL, what, err);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* A sparse file of this size. */
static int make_disk(const char *path, uint64_t size, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "make");
    return 0;
}

/* How large the disk has to be; the room for what surely fills it is there. */
static int measure(const struct ib_sandbox *sandbox, uint64_t *ret_size, struct ib_error **err)
{
    uint64_t content = ib_tree_content_size(sandbox->tree), size, available;

    if (!ib_mul_u64(content, 2, &size) || !ib_add_u64(size, SPARE_SIZE, &size))
        return ib_failf(err, IB_E_INVALID, "the tree is too large for a disk");
    if (ib_host_disk_free(sandbox->scratch_dir, &available, err) < 0)
        return -1;
    /* as an archive that goes in, as files, as an archive that comes out */
    if (available / 3 < content || available - 3 * content < 512 * IB_MIB)
        return ib_fail(err, IB_E_IO, ENOSPC, sandbox->scratch_dir, "make disks in");
    *ret_size = ib_round_up(size, IB_MIB);
    return 0;
}

static int launch(struct ib_sandbox *sandbox, struct ib_error **err)
{
    struct ib_guestfs *state = sandbox->state;
    uint64_t size = 0;

    state->scratch = ib_make_temp_dir(sandbox->scratch_dir, "sandbox", err);
    if (!state->scratch || measure(sandbox, &size, err) < 0)
        return -1;
    _cleanup_(ib_freep) char *disk = ib_path_join(state->scratch, "disk.raw");
    _cleanup_(ib_freep) char *in = ib_path_join(state->scratch, IB_GUESTFS_IN);
    _cleanup_(ib_freep) char *out = ib_path_join(state->scratch, IB_GUESTFS_OUT);
    if (make_disk(disk, size, err) < 0 || make_disk(out, size, err) < 0 ||
        ib_guestfs_write_archive(sandbox, in, err) < 0)
        return -1;
    const struct ib_appliance_drive drives[] = {
        {.path = disk, .format = "raw", .writable = true, .scratch = true},
        {.path = in, .format = "raw", .label = IB_GUESTFS_IN},
        {.path = out, .format = "raw", .writable = true, .scratch = true, .label = IB_GUESTFS_OUT},
    };
    const struct ib_appliance_options options = {
        .drives = drives,
        .drive_count = IB_ARRAY_SIZE(drives),
        .memory_mib = ib_host_memory_available() > 4 * IB_GIB ? BIG_MEMORY_MIB : 0,
        .space_dir = sandbox->scratch_dir,
        .progress = sandbox->options.progress,
        .step = sandbox->options.step,
    };
    state->appliance = ib_appliance_launch(&options, err);
    if (!state->appliance)
        return -1;
    state->g = ib_appliance_handle(state->appliance);
    return 0;
}

static int make_file_system(const struct ib_sandbox *sandbox, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;

    /* Nobody needs the journal of a disk that is thrown away. Only guestfs' own calls know which
     * device this is: the kernel may name the appliance's disk first. */
    if (guestfs_mke2fs(state->g, DEVICE, GUESTFS_MKE2FS_FSTYPE, "ext4", GUESTFS_MKE2FS_HASJOURNAL,
                       0, GUESTFS_MKE2FS_BYTESPERINODE, INODE_RATIO,
                       GUESTFS_MKE2FS_RESERVEDBLOCKSPERCENTAGE, 0, -1) < 0 ||
        guestfs_mount_options(state->g, "noatime,user_xattr,acl", DEVICE, "/") < 0 ||
        guestfs_rmdir(state->g, "/lost+found") < 0)
        return ib_guestfs_fail(sandbox, NULL, "make a file system", err);
    return 0;
}

/* Finds the mount points behind symbolic links of the tree; makes those that are missing. */
static int find_places(const struct ib_sandbox *sandbox, struct ib_error **err)
{
    struct ib_guestfs *state = sandbox->state;

    for (size_t i = 0; i < IB_GUESTFS_MOUNTS; i++) {
        _cleanup_(ib_freep) char *path = ib_asprintf("/%s", ib_guestfs_mount_points[i]);
        _cleanup_(ib_freep) char *in_tree = ib_strdup(ib_guestfs_mount_points[i]);
        state->made[i] = !ib_tree_find(sandbox->tree, in_tree);
        if (state->made[i] && guestfs_mkdir_mode(state->g, path, 0755) < 0)
            return ib_guestfs_fail(sandbox, path, "make the mount point", err);
        state->places[i] = guestfs_realpath(state->g, path);
        if (!state->places[i])
            return ib_guestfs_fail(sandbox, path, "find the mount point", err);
    }
    return 0;
}

static int mount_common(const struct ib_sandbox *sandbox, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_buf_clear) struct ib_buf command = {0};
    _cleanup_(ib_freep) char *run = ib_asprintf("/sysroot%s", state->places[IB_GUESTFS_RUN]);
    _cleanup_(ib_freep) char *tmp = ib_asprintf("/sysroot%s", state->places[IB_GUESTFS_TMP]);

    ib_buf_append_str(&command, "set -e; mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs");
    ib_guestfs_quote(&command, run);
    ib_buf_append_str(&command, "; mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs");
    ib_guestfs_quote(&command, tmp);
    return ib_guestfs_shell_or_fail(sandbox, (const char *)command.data, "mount /run and /tmp",
                                    err);
}

static int engine_open(struct ib_sandbox *sandbox, struct ib_error **err)
{
    sandbox->state = ib_calloc(1, sizeof(struct ib_guestfs));
    if (launch(sandbox, err) < 0 || make_file_system(sandbox, err) < 0 ||
        ib_guestfs_unpack(sandbox, err) < 0 || find_places(sandbox, err) < 0)
        return -1;
    return mount_common(sandbox, err);
}

static void engine_close(struct ib_sandbox *sandbox)
{
    struct ib_guestfs *state = sandbox->state;

    ib_appliance_free(state->appliance);
    ib_temp_dirp(&state->scratch);
    for (size_t i = 0; i < IB_GUESTFS_MOUNTS; i++)
        free(state->places[i]);
    free(state);
}

/* ---- Files in and out ----------------------------------------------------------------------- */

/* The path with every symbolic link of the tree resolved; the caller frees. NULL and an error. */
static char *resolve(const struct ib_sandbox *sandbox, const char *path, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    char *real = guestfs_realpath(state->g, path);

    if (!real)
        ib_guestfs_fail(sandbox, path, "find", err);
    return real;
}

/* One run of the shell moves many files. */
struct moves {
    struct ib_sandbox *sandbox;
    struct ib_buf command;
    struct ib_error **err;
};

static int flush_moves(struct moves *m)
{
    if (m->command.size == 0)
        return 0;
    int r = ib_guestfs_shell_or_fail(m->sandbox, (const char *)m->command.data,
                                     "put files in place", m->err);
    ib_buf_clear(&m->command);
    return r;
}

static int move(struct moves *m, const char *from, const char *to)
{
    _cleanup_(ib_freep) char *source = ib_asprintf("/sysroot%s", from);
    _cleanup_(ib_freep) char *target = ib_asprintf("/sysroot%s", to);

    ib_buf_append_str(&m->command, m->command.size ? "mv -fT --" : "set -e; mv -fT --");
    ib_guestfs_quote(&m->command, source);
    ib_guestfs_quote(&m->command, target);
    ib_buf_append_str(&m->command, ";");
    return m->command.size > COMMAND_SIZE ? flush_moves(m) : 0;
}

/* `to` is a directory without symbolic links. Recursion is bounded by the length of a path. */
static int move_children(struct moves *m, const struct ib_node *node, const char *from,
                         const char *to)
{
    const struct ib_guestfs *state = m->sandbox->state;

    for (size_t i = 0; i < node->child_count; i++) {
        const struct ib_node *child = node->children[i];
        _cleanup_(ib_freep) char *source = ib_path_join(from, child->name);
        _cleanup_(ib_freep) char *target = ib_path_join(to, child->name);
        int exists = 0;
        if (S_ISDIR(child->inode->mode))
            exists =
                guestfs_is_dir_opts(state->g, target, GUESTFS_IS_DIR_OPTS_FOLLOWSYMLINKS, 1, -1);
        if (exists < 0)
            return ib_guestfs_fail(m->sandbox, target, "look at", m->err);
        if (!exists) {
            if (move(m, source, target) < 0)
                return -1;
            continue;
        }
        _cleanup_(ib_freep) char *real = resolve(m->sandbox, target, m->err);
        if (!real || move_children(m, child, source, real) < 0)
            return -1;
    }
    return 0;
}

static int engine_merge(struct ib_sandbox *sandbox, const struct ib_tree *files,
                        const char *directory, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *path = ib_asprintf("/%s", directory);
    struct moves m = {.sandbox = sandbox, .err = err};

    if (guestfs_mkdir_p(state->g, path) < 0)
        return ib_guestfs_fail(sandbox, path, "make the directory", err);
    _cleanup_(ib_freep) char *real = resolve(sandbox, path, err);
    if (!real)
        return -1;
    if (guestfs_mkdir(state->g, COPY_DIR) < 0)
        return ib_guestfs_fail(sandbox, COPY_DIR, "make the directory", err);
    int r = ib_guestfs_tar_in(sandbox, files, COPY_DIR, err);
    if (r == 0)
        r = move_children(&m, ib_tree_root(files), COPY_DIR, real);
    if (r == 0)
        r = flush_moves(&m);
    ib_buf_clear(&m.command);
    if (guestfs_rm_rf(state->g, COPY_DIR) < 0 && r == 0)
        return ib_guestfs_fail(sandbox, COPY_DIR, "remove", err);
    return r;
}

static int engine_read_file(struct ib_sandbox *sandbox, const char *path, int fd,
                            struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *inside = ib_asprintf("/%s", path);
    _cleanup_(ib_freep) char *real = resolve(sandbox, inside, err);
    _cleanup_(ib_freep) char *target = ib_asprintf("/dev/fd/%d", fd);

    if (!real)
        return -1;
    int regular = guestfs_is_file(state->g, real);
    if (regular == 0)
        return ib_failf(err, IB_E_INVALID, "'%s' is not a regular file", path);
    if (regular < 0 || guestfs_download(state->g, real, target) < 0)
        return ib_guestfs_fail(sandbox, path, "copy", err);
    return 0;
}

static int engine_remove(struct ib_sandbox *sandbox, const char *path, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *inside = ib_asprintf("/%s", path);
    _cleanup_(ib_freep) char *parent = ib_path_dir(inside);
    int exists = guestfs_exists(state->g, parent);

    if (exists == 0)
        return 0;
    _cleanup_(ib_freep) char *real = exists < 0 ? NULL : resolve(sandbox, parent, err);
    if (!real)
        return exists < 0 ? ib_guestfs_fail(sandbox, path, "remove", err) : -1;
    _cleanup_(ib_freep) char *target = ib_path_join(real, ib_path_base(inside));
    if (guestfs_rm_rf(state->g, target) < 0)
        return ib_guestfs_fail(sandbox, path, "remove", err);
    return 0;
}

const struct ib_sandbox_ops ib_sandbox_guestfs_ops = {
    .engine = IB_SANDBOX_GUESTFS,
    .name = "guestfs",
    .probe = ib_host_probe_appliance,
    .open = engine_open,
    .close = engine_close,
    .merge = engine_merge,
    .read_file = engine_read_file,
    .run = ib_guestfs_run,
    .remove = engine_remove,
    .save = ib_guestfs_save,
};
