/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the root file system share: making an image, reading it back. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "image/rootfs.h"

#define EPOCH 1763800000
#define BLOCK (128 * 1024)

struct place {
    char *dir, *image, *mount;
};

_unused_ static struct place place_new(void)
{
    struct place p = {.dir = ib_make_temp_dir("/tmp", "ib-test", NULL)};

    p.image = ib_path_join(p.dir, "image");
    p.mount = ib_path_join(p.dir, "mount");
    cr_assert_eq(mkdir(p.mount, 0755), 0);
    return p;
}

_unused_ static void place_clear(struct place *p)
{
    umount2(p->mount, MNT_DETACH); /* where mounted */
    free(p->image);
    free(p->mount);
    ib_temp_dirp(&p->dir);
}

_unused_ static void ok(int result, struct ib_error **err)
{
    cr_assert_eq(result, 0, "%s", err && *err ? ib_error_text(*err) : "");
}

_unused_ static struct ib_rootfs_info write_image(const struct ib_tree *tree, const char *path,
                                                  struct ib_rootfs_options options)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct ib_rootfs_info info;
    struct ib_error *err = NULL;
    struct stat st;

    options.epoch_s = EPOCH;
    ok(ib_rootfs_write(tree, fd, &options, &info, &err), &err);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq((uint64_t)st.st_size, info.size);
    cr_assert_eq(info.size % IB_ROOTFS_ALIGN, 0);
    cr_assert_leq(info.bytes_used, info.size);
    close(fd);
    return info;
}

/* Bytes that do not compress, the same for one seed. */
_unused_ static unsigned char *noise(size_t size, uint64_t seed)
{
    unsigned char *data = ib_malloc(size + 8);

    seed = seed * 2 + 1;
    for (size_t i = 0; i < size; i += 8) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t word = seed ^ seed >> 29;
        memcpy(data + i, &word, 8);
    }
    return data;
}

_unused_ static struct ib_node *add_noise(struct ib_tree *tree, const char *path, size_t size,
                                          uint64_t seed, enum ib_layer layer)
{
    _cleanup_(ib_freep) unsigned char *data = noise(size, seed);
    struct ib_node *node = ib_tree_add_file(tree, path, 0644, data, size, layer, NULL);

    cr_assert_not_null(node);
    return node;
}

_unused_ static struct ib_node *add_text(struct ib_tree *tree, const char *path, const char *text,
                                         enum ib_layer layer)
{
    struct ib_node *node = ib_tree_add_file(tree, path, 0644, text, strlen(text), layer, NULL);

    cr_assert_not_null(node);
    return node;
}

/* Mounts in a mount namespace of this test's own; false, with a word why, where that cannot be. */
_unused_ static bool mount_image(const struct place *p)
{
    const char *const argv[] = {"mount",  "-t",     "squashfs", "-o", "loop,ro,nodev,nosuid",
                                p->image, p->mount, NULL};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        cr_log_info("no mount namespace: not read through the kernel");
        return false;
    }
    if (ib_run(&(struct ib_run){.argv = argv}, &err) < 0) {
        cr_log_info("not read through the kernel: %s", ib_error_text(err));
        return false;
    }
    return true;
}

_unused_ static void compare_xattrs(const struct ib_inode *inode, const char *path)
{
    _cleanup_(ib_freep) char *value = ib_malloc(65536);
    char names[1024];
    size_t count = 0;
    ssize_t size = llistxattr(path, names, sizeof(names));

    if (size < 0 && errno == EOPNOTSUPP) /* the image holds none at all */
        size = 0;
    cr_assert_geq(size, 0, "%s: %s", path, strerror(errno));
    for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1)
        count++;
    cr_assert_eq(count, inode->xattr_count, "%s: %zu attributes, not %zu (%.*s)", path, count,
                 inode->xattr_count, (int)size, names);
    for (size_t i = 0; i < inode->xattr_count; i++) {
        const struct ib_xattr *xattr = &inode->xattrs[i];
        ssize_t n = lgetxattr(path, xattr->name, value, 65536);
        cr_assert_eq(n, (ssize_t)xattr->size, "%s: %s", path, xattr->name);
        cr_assert_eq(memcmp(value, xattr->value, xattr->size), 0, "%s: %s", path, xattr->name);
    }
}

_unused_ static void compare_content(const struct ib_inode *inode, const char *path)
{
    enum { CHUNK = 1 << 20 };
    _cleanup_(ib_freep) unsigned char *a = ib_malloc(CHUNK), *b = ib_malloc(CHUNK);
    _cleanup_(ib_closep) int fd = ib_open_read(path, NULL);

    for (uint64_t at = 0; at < inode->size; at += CHUNK) {
        size_t n = (size_t)IB_MIN(inode->size - at, (uint64_t)CHUNK);
        cr_assert_eq(ib_pread_full(fd, a, n, at), 0, "%s: %s", path, strerror(errno));
        ok(ib_inode_read(inode, b, n, at, NULL), NULL);
        cr_assert_eq(memcmp(a, b, n), 0, "%s differs behind %" PRIu64, path, at);
    }
}

_unused_ static int compare_node(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    _cleanup_(ib_freep) char *real =
        *path ? ib_asprintf("%s/%s", (const char *)userdata, path) : ib_strdup(userdata);
    char target[4097] = "";
    unsigned nlink = inode->nlink;
    struct stat st;

    cr_assert_eq(lstat(real, &st), 0, "%s: %s", real, strerror(errno));
    if (S_ISDIR(inode->mode)) {
        nlink = 2;
        for (size_t i = 0; i < node->child_count; i++)
            nlink += S_ISDIR(node->children[i]->inode->mode);
    }
    cr_assert_eq(st.st_mode, inode->mode, "%s: %o, not %o", real, st.st_mode, inode->mode);
    cr_assert(st.st_uid == inode->uid && st.st_gid == inode->gid, "%s", real);
    cr_assert_eq(st.st_mtime, EPOCH, "%s", real);
    cr_assert_eq(st.st_nlink, nlink, "%s: %u links, not %u", real, (unsigned)st.st_nlink, nlink);
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
        cr_assert_eq(st.st_rdev, makedev(inode->rdev_major, inode->rdev_minor), "%s", real);
    if (S_ISLNK(inode->mode)) {
        cr_assert_gt(readlink(real, target, sizeof(target) - 1), 0);
        cr_assert_str_eq(target, inode->target, "%s", real);
    }
    if (S_ISREG(inode->mode)) {
        cr_assert_eq((uint64_t)st.st_size, inode->size, "%s", real);
        if (!inode->xattr_count) /* the kernel counts these too */
            cr_assert_leq(st.st_blocks, (blkcnt_t)(inode->size / 512 + 8), "%s", real);
        compare_content(inode, real);
    }
    compare_xattrs(inode, real);
    return 0;
}

_unused_ static struct ib_buf run(const char *const *argv)
{
    struct ib_buf out = {0};
    struct ib_error *err = NULL;

    ok(ib_run(&(struct ib_run){.argv = argv, .out = &out}, &err), &err);
    ib_buf_append(&out, "", 0);
    return out;
}
