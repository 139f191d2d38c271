/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root file system: a tree written as squashfs 4.0, compressed with zstd, through libsquashfs.
 *
 * Same tree and options, same bytes, whatever the number of threads. The data area is laid out so
 * that a change moves as little as possible:
 *
 *     super block | data of base | packages | payloads | overlays | inodes, directories, tables
 *
 * and inside a layer by path. What layers before a changed file hold stays byte for byte where it
 * was; behind it, packing finds its old boundaries again after a few blocks (image/rootfs_data.c).
 *
 * Format: Linux, Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h.
 */
#pragma once

#include "io/tree.h"

#define IB_ROOTFS_LAYERS (IB_LAYER_OVERLAYS + 1)
#define IB_ROOTFS_ALIGN 4096 /* dm-verity's block */

struct ib_rootfs_options {
    unsigned level;      /* zstd level, 1 to 22; 0: 15 */
    uint32_t block_size; /* bytes, a power of two from 4096 to 1 MiB; 0: 128 KiB */
    unsigned threads;    /* that compress; 0: as many as this process may run on */
    int64_t epoch_s;     /* modification time of every inode and of the file system; 0 to 2^32-1 */
    struct ib_progress *progress; /* may be NULL, as may step */
    struct ib_step *step;         /* parent for ours */
};

/*
 * The libraries that decide the bytes of a squashfs and of compressed frames, with their versions
 * as far as they tell: an input of every cache key of such bytes. The caller frees.
 */
char *ib_rootfs_writer_version(void);

struct ib_rootfs_info {
    uint64_t size;       /* bytes of the file, a multiple of IB_ROOTFS_ALIGN */
    uint64_t bytes_used; /* of these, what squashfs itself uses; the rest is zeros */
    uint32_t inode_count;
    uint64_t data_end[IB_ROOTFS_LAYERS]; /* byte offset behind each layer's file data */
    uint64_t duplicate_count;            /* files that share an earlier file's data */
    uint64_t duplicate_size;             /* bytes of these */
    uint64_t dropped_xattr_count;        /* see ib_rootfs_write */
};

/*
 * Writes `tree` to fd, an empty regular file open for writing, from its beginning.
 *
 * Squashfs holds the xattrs user.*, trusted.* and security.*. Others are left out, counted in
 * dropped_xattr_count, and the step says so in one note. An access control list among them
 * (system.posix_acl_access) must not widen anybody's rights by going: a file's group permissions
 * then become what the list gives the owning group (acl(5): with a list, the mode's group bits are
 * the list's mask).
 *
 * Errors: IB_E_INVALID where the tree holds what squashfs cannot (the message names the path);
 * IB_E_USAGE for options out of range; whatever reading the tree or writing fd gives. fd's content
 * is then worthless. Memory: about 200 bytes a file and, a thread, some 4 MiB + 20 blocks.
 */
int ib_rootfs_write(const struct ib_tree *tree, int fd, const struct ib_rootfs_options *options,
                    struct ib_rootfs_info *ret, struct ib_error **err) _must_check_;
