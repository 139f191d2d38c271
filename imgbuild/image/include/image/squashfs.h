/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a squashfs image holds: a list of its files, and their content. Read in-process through
 * libsquashfs, for images that may come from anywhere; nothing is mounted.
 */
#pragma once

#include "base/error.h"
#include "base/hash.h"

#define IB_SQUASHFS_ENTRIES_MAX 4000000
#define IB_SQUASHFS_PATHS_MAX (512 * IB_MIB) /* bytes of all paths together */

struct ib_squashfs_entry {
    char *path;    /* "usr/bin/sh"; "" is the root */
    uint32_t mode; /* type and permissions, as in struct stat */
    uint32_t uid, gid;
    uint32_t rdev_major, rdev_minor;
    int64_t mtime_s;
    uint64_t size; /* regular files: bytes */
    char *target;  /* symlinks, else NULL */
    size_t xattr_count;
    struct ib_sha256 xattrs; /* of all names and values; zero where there are none */
    void *inode;             /* libsquashfs' own */
};

struct ib_squashfs;

/* Opens size bytes at `offset` of fd, which is borrowed until the end. `name` is for messages. */
struct ib_squashfs *ib_squashfs_open(int fd, uint64_t offset, uint64_t size, const char *name,
                                     struct ib_error **err) _must_check_;
struct ib_squashfs *ib_squashfs_free(struct ib_squashfs *fs); /* returns NULL */
void ib_squashfs_freep(struct ib_squashfs **fs);

/* Everything in it, by path. Borrowed. */
const struct ib_squashfs_entry *ib_squashfs_entries(const struct ib_squashfs *fs,
                                                    size_t *ret_count);

/* Reads bytes of a regular file; the range must lie inside it. Not thread-safe. */
int ib_squashfs_read(struct ib_squashfs *fs, const struct ib_squashfs_entry *entry, void *data,
                     size_t size, uint64_t offset, struct ib_error **err) _must_check_;
