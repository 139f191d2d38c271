/* SPDX-License-Identifier: Apache-2.0 */
/* Trees into an appliance and out of it again. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "held.h"
#include "io/archive.h"
#include "sandbox_guestfs.h"

#define DRIVES "/dev/disk/guestfs/"

static const struct ib_held held = {0};

/* ---- Trees into the appliance --------------------------------------------------------------- */

struct feed {
    const struct ib_tree *tree;
    int fd;
};

/* In a child of ours: what a sandbox does not hold is taken out of this process' copy. */
static int feed_main(void *userdata)
{
    const struct feed *feed = userdata;
    struct ib_tree *copy = (struct ib_tree *)(uintptr_t)feed->tree;
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    ib_held_strip(copy, &held);
    if (ib_tree_save(copy, feed->fd, NULL, NULL, &err) == 0)
        return 0;
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    dprintf(2, "%s", text);
    return 1;
}

int ib_guestfs_write_archive(const struct ib_sandbox *sandbox, const char *path,
                             struct ib_error **err)
{
    const char *const argv[] = {"archive", NULL};
    _cleanup_(ib_closep) int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    struct feed feed = {sandbox->tree, fd};

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "make");
    return ib_run(&(struct ib_run){.argv = argv,
                                   .child_main = feed_main,
                                   .userdata = &feed,
                                   .progress = sandbox->options.progress},
                  err);
}

int ib_guestfs_unpack(const struct ib_sandbox *sandbox, struct ib_error **err)
{
    /* ACLs are among the xattrs; with tar's --acls they would be cleared after that */
    return ib_guestfs_shell_or_fail(sandbox,
                                    "tar -C /sysroot -b 2048 --numeric-owner -p --xattrs "
                                    "--xattrs-include='*' -xf " DRIVES IB_GUESTFS_IN,
                                    "unpack the tree", err);
}

/* Streamed from a child of ours. */
int ib_guestfs_tar_in(const struct ib_sandbox *sandbox, const struct ib_tree *tree,
                      const char *directory, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    const char *const argv[] = {"archive", NULL};
    struct ib_error *feed_err = NULL;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a pipe");
    struct feed feed = {tree, ends[1]};
    struct ib_child *child =
        ib_spawn(&(struct ib_run){.argv = argv, .child_main = feed_main, .userdata = &feed}, err);
    close(ends[1]);
    _cleanup_(ib_closep) int in = ends[0];
    if (!child)
        return -1;
    _cleanup_(ib_freep) char *path = ib_asprintf("/dev/fd/%d", in);
    /* ACLs are among the xattrs; with tar's --acls they would be cleared after that */
    int r = guestfs_tar_in_opts(state->g, path, directory, GUESTFS_TAR_IN_OPTS_XATTRS, 1, -1);
    close(ib_steal_fd(&in)); /* else a child that is not read to its end waits for ever */
    if (ib_child_wait(child, &feed_err) < 0 && r == 0) {
        if (err)
            *err = ib_steal(&feed_err);
        r = -1;
    } else if (r < 0)
        ib_guestfs_fail(sandbox, directory, "unpack in", err);
    ib_error_free(feed_err);
    return r;
}

/* ---- Saving --------------------------------------------------------------------------------- */

/* Mounts the tree once more, without what is mounted over it, and packs that onto the drive. */
static char *make_pack_command(const struct ib_guestfs *state)
{
    struct ib_buf c = {0};
    _cleanup_(ib_freep) char *bare =
        ib_asprintf("/sysroot%s/.imgbuild-bare", state->places[IB_GUESTFS_RUN]);

    ib_buf_append_str(&c, "set -e; set --");
    ib_guestfs_quote(&c, bare);
    ib_buf_append_str(&c, "; mkdir \"$1\"; mount --bind /sysroot \"$1\"; r=0; "
                          "tar -C \"$1\" -b 2048 --format=posix --numeric-owner --xattrs "
                          "--xattrs-include='*' --totals -cf " DRIVES IB_GUESTFS_OUT
                          " . 2>&1 || r=$?; umount \"$1\"; rmdir \"$1\"; sync; exit $r");
    return ib_buf_steal_string(&c);
}

/* Returns the archive's length on the drive in *ret. */
static int pack(const struct ib_sandbox *sandbox, uint64_t *ret, struct ib_error **err)
{
    static const char total[] = "Total bytes written: "; /* GNU tar's --totals */
    _cleanup_(ib_freep) char *command = make_pack_command(sandbox->state);
    _cleanup_(ib_freep) char *said = ib_guestfs_shell(sandbox, command);

    if (!said)
        return ib_guestfs_fail(sandbox, NULL, "pack the tree", err);
    char *number = strstr(said, total);
    if (number) {
        number += strlen(total);
        number[strspn(number, "0123456789")] = 0;
    }
    if (!ib_parse_u64(number, INT64_MAX, ret))
        return ib_failf(err, IB_E_INTERNAL, "the appliance's tar told no size: %s", said);
    return 0;
}

/* The archive at the head of the drive's file. */
struct packed {
    int fd;
    uint64_t offset, size;
};

static ssize_t read_packed(void *userdata, void *data, size_t size, struct ib_error **err)
{
    struct packed *p = userdata;
    size_t n = (size_t)IB_MIN(p->size - p->offset, (uint64_t)size);

    if (ib_pread_full(p->fd, data, n, p->offset) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "read what the appliance packed");
    p->offset += n;
    return (ssize_t)n;
}

static int drop_unfit(struct ib_node *node, const char *path, void *userdata)
{
    struct ib_inode *inode = node->inode;

    (void)path, (void)userdata;
    for (size_t i = inode->xattr_count; i > 0; i--)
        if (!ib_held_fits(&held, inode->mode, inode->xattrs[i - 1].name, inode->xattrs[i - 1].size))
            ib_inode_remove_xattr(inode, inode->xattrs[i - 1].name);
    return 0;
}

static void drop_mount_points(const struct ib_guestfs *state, struct ib_tree *tree)
{
    for (size_t i = 0; i < IB_GUESTFS_MOUNTS; i++) {
        const struct ib_node *node = ib_tree_find(tree, ib_guestfs_mount_points[i]);
        if (node && node->child_count == 0 && state->made[i])
            ib_tree_remove(tree, ib_guestfs_mount_points[i]);
    }
}

int ib_guestfs_save(struct ib_sandbox *sandbox, int fd, struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    struct ib_progress *progress = sandbox->options.progress;
    _cleanup_(ib_freep) char *file = ib_path_join(state->scratch, IB_GUESTFS_OUT);
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    struct packed packed = {0};

    if (pack(sandbox, &packed.size, err) < 0)
        return -1;
    _cleanup_(ib_closep) int in = packed.fd = ib_open_read(file, err);
    _cleanup_(ib_closep) int spool = in < 0 ? -1 : ib_temp_file(state->scratch, err);
    if (spool < 0 || ib_archive_read_stream(tree, read_packed, &packed, "the sandbox's tree", spool,
                                            IB_LAYER_BASE, 0, NULL, progress, NULL, err) < 0)
        return -1;
    (void)ib_tree_walk(tree, drop_unfit, NULL);
    drop_mount_points(state, tree);
    if (ib_held_restore(tree, sandbox->tree, &held, err) < 0)
        return -1;
    return ib_tree_save(tree, fd, progress, NULL, err);
}
