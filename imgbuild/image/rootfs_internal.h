/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files rootfs*.c share:
 *
 *     rootfs.c         options, super block, order of the steps
 *     rootfs_plan.c    inodes and their numbers, order of file data
 *     rootfs_data.c    data blocks and fragments, in parallel
 *     rootfs_tables.c  inode, directory, fragment and owner tables
 *     rootfs_xattrs.c  extended attributes
 *     rootfs_file.c    libsquashfs' output file on our descriptor; its errors as ours
 */
#pragma once

#include <sqfs/block.h>
#include <sqfs/compressor.h>
#include <sqfs/error.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr_writer.h>
#include <sys/stat.h>

#include "image/rootfs.h"

#define ROOTFS_NONE 0xFFFFFFFFu /* squashfs' "no fragment", "no xattrs" */

/* A block of the data area, once written. */
struct rootfs_block {
    uint64_t location; /* byte offset in the file */
    uint32_t size;     /* on disk; bit 24 set where stored as it is; 0: nothing but zeros */
};

/* A block shared by small files. */
struct rootfs_fragment {
    struct rootfs_block block;
    uint32_t index; /* in the fragment table */
};

struct rootfs_inode {
    const struct ib_inode *inode;
    const struct ib_node *node; /* the first of its names */
    uint32_t number;            /* from 1; children before their directory, the root last */
    uint64_t ref;               /* where its inode stands in the inode table, once written */

    const struct rootfs_inode *parent; /* directories; the root has none */
    struct rootfs_inode **children;    /* directories: beside node->children */

    /* Regular files, once the data is written. */
    const struct rootfs_inode *same; /* its data is that file's */
    struct rootfs_block *blocks;
    size_t block_count;
    const struct rootfs_fragment *fragment; /* NULL: none */
    uint32_t fragment_offset;
};

struct rootfs_plan {
    struct rootfs_inode *inodes; /* in no particular order; fixed addresses */
    size_t inode_count;
    struct rootfs_inode **by_number; /* inode_count of them */
    struct rootfs_inode **files;     /* regular files, by path */
    size_t file_count;
    void *hard_links; /* tsearch(3) tree of struct rootfs_inode by ->inode */
};

/* libsquashfs' view of the output; `base` first, so that a pointer to one is one to the other. */
struct rootfs_file {
    sqfs_file_t base;
    int fd;
    uint64_t size;
    int errnum; /* of the last call that failed */
};

struct rootfs {
    struct ib_rootfs_options options; /* defaults filled in */
    struct rootfs_plan plan;
    struct rootfs_file file;
    sqfs_super_t super;
    sqfs_compressor_t *compressor;
    struct rootfs_fragment **fragments;
    size_t fragment_count;
    sqfs_xattr_writer_t *xattrs;
    uint32_t xattr_set_count; /* distinct ones */
    char *first_dropped;      /* what and where, for people */
    struct ib_step *step;
    struct ib_rootfs_info info;
};

/* rootfs_plan.c */
int rootfs_plan_make(struct rootfs_plan *plan, const struct ib_tree *tree,
                     struct ib_error **err) _must_check_;
void rootfs_plan_clear(struct rootfs_plan *plan);

/* rootfs_data.c */
int rootfs_data_write(struct rootfs *r, struct ib_error **err) _must_check_;

/* rootfs_tables.c */
int rootfs_tables_write(struct rootfs *r, struct ib_error **err) _must_check_;

/* rootfs_xattrs.c */
/* Records a file's attributes; may take bits from *mode (see ib_rootfs_write). */
int rootfs_xattrs_add(struct rootfs *r, const struct rootfs_inode *file, uint32_t *ret_index,
                      uint32_t *mode, struct ib_error **err) _must_check_;
int rootfs_xattrs_write(struct rootfs *r, struct ib_error **err) _must_check_;

/* rootfs_file.c */
void rootfs_file_init(struct rootfs_file *file, int fd);
/* Makes an error of a libsquashfs code (negative) met while doing `what`. Returns -1. */
int rootfs_fail(const struct rootfs *r, int code, const char *what, struct ib_error **err);
/* For _cleanup_: any libsquashfs object. */
void rootfs_destroyp(void *object_pointer);
