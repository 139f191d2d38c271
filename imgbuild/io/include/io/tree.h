/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file tree in memory: what a root file system will be, without any of it on a real one.
 *
 * Directories, names, owners, modes, times, xattrs and links live here; the content of regular
 * files stays where it is (a range of an archive, or bytes in memory) until somebody reads it. So a
 * tree of 100,000 files costs some 30 MB, needs no root on the host, and can be changed freely:
 * overlays are laid over it, files removed, labels set, before it is written once.
 *
 * On disk a tree is a *tree archive*: an uncompressed pax tar (POSIX.1-2001 pax interchange
 * format), entries sorted by path, xattrs as SCHILY.xattr.* records, numeric owners only. Writing
 * the same tree twice gives the same bytes. Archives from outside go through io/archive.h, which
 * checks them.
 *
 * Paths are always in the form of ib_path_normalize: "usr/bin/sh"; the root is "".
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/progress.h"

/* Who brought a file: the order of file data in the root (docs/architecture.md, "Root"). */
enum ib_layer { IB_LAYER_BASE, IB_LAYER_PACKAGES, IB_LAYER_PAYLOADS, IB_LAYER_OVERLAYS };

struct ib_xattr {
    char *name; /* with its namespace: "security.capability" */
    unsigned char *value;
    size_t size;
};

/* What hard links share. Fields may be changed in place, except nlink and the content. */
struct ib_inode {
    uint32_t mode; /* type and permissions, as in struct stat */
    uint32_t uid, gid;
    uint32_t rdev_major, rdev_minor; /* devices */
    int64_t mtime_s;
    uint32_t nlink; /* names in this tree (directories: 1) */
    enum ib_layer layer;
    uint64_t size;           /* regular files: bytes; symlinks: length of target */
    char *target;            /* symlinks */
    struct ib_xattr *xattrs; /* sorted by name */
    size_t xattr_count;
    struct ib_content *content; /* regular files; opaque, NULL when empty */
};

/* A name in the tree. Read-only for users but for `inode`'s fields. */
struct ib_node {
    const char *name; /* "" for the root */
    struct ib_node *parent;
    struct ib_inode *inode;
    struct ib_node **children; /* directories: sorted by bytes */
    size_t child_count;
};

struct ib_tree;

struct ib_tree *ib_tree_new(void); /* holds a root directory 0755 root:root */
struct ib_tree *ib_tree_free(struct ib_tree *tree);
void ib_tree_freep(struct ib_tree **tree);

/* Reads a tree archive that ib_tree_save wrote (milliseconds: content is not touched). The file must
 * not change while the tree is used; it stays open. */
struct ib_tree *ib_tree_load(const char *archive_path, struct ib_error **err) _must_check_;
/* Writes the tree archive to fd (sequentially: a pipe will do); its hash in *ret where not NULL. */
int ib_tree_save(const struct ib_tree *tree, int fd, struct ib_progress *progress,
                 struct ib_sha256 *ret, struct ib_error **err) _must_check_;

struct ib_node *ib_tree_root(const struct ib_tree *tree);
/* The node of exactly this path, or NULL. Symbolic links are not followed. */
struct ib_node *ib_tree_find(const struct ib_tree *tree, const char *path);
/* The same, following symbolic links as a process chrooted into the tree would; NULL also on a loop
 * or a dangling link. */
struct ib_node *ib_tree_resolve(const struct ib_tree *tree, const char *path);
char *ib_node_path(const struct ib_node *node); /* the caller frees */

/*
 * Adding. Missing parents are made (0755 root:root, the same layer and mtime 0); a symbolic link to
 * a directory among the parents is followed (usr-merge: "lib/x" lands in "usr/lib/x"). What stands
 * under the name already is replaced (a symbolic link too, even to a directory), except that a
 * directory over a directory keeps its children and takes the new attributes. Each returns the node (owned by the tree), or NULL and an error.
 */
struct ib_node *ib_tree_add_directory(struct ib_tree *tree, const char *path, uint32_t mode,
                                      enum ib_layer layer, struct ib_error **err);
struct ib_node *ib_tree_add_file(struct ib_tree *tree, const char *path, uint32_t mode,
                                 const void *data, size_t size, enum ib_layer layer,
                                 struct ib_error **err); /* copies data */
/* Content: size bytes of `fd` at `offset`. The tree keeps its own duplicate of the descriptor. */
struct ib_node *ib_tree_add_file_range(struct ib_tree *tree, const char *path, uint32_t mode,
                                       int fd, uint64_t offset, uint64_t size, enum ib_layer layer,
                                       struct ib_error **err);
/* Content: the regular file `name` below the directory dir_fd (of which the tree keeps a duplicate),
 * opened whenever it is read. It must have exactly this size, and not change while the tree is used. */
struct ib_node *ib_tree_add_file_below(struct ib_tree *tree, const char *path, uint32_t mode,
                                       int dir_fd, const char *name, uint64_t size,
                                       enum ib_layer layer, struct ib_error **err);
struct ib_node *ib_tree_add_symlink(struct ib_tree *tree, const char *path, const char *target,
                                    enum ib_layer layer, struct ib_error **err);
struct ib_node *ib_tree_add_special(struct ib_tree *tree, const char *path, uint32_t mode,
                                    uint32_t rdev_major, uint32_t rdev_minor, enum ib_layer layer,
                                    struct ib_error **err); /* device, fifo, socket */
/* A second name for the inode of `existing`. */
struct ib_node *ib_tree_add_hardlink(struct ib_tree *tree, const char *path,
                                     struct ib_node *existing, enum ib_layer layer,
                                     struct ib_error **err);
/* Removes a name and what is below it; a missing one is fine. */
void ib_tree_remove(struct ib_tree *tree, const char *path);

void ib_inode_set_xattr(struct ib_inode *inode, const char *name, const void *value, size_t size);
const struct ib_xattr *ib_inode_get_xattr(const struct ib_inode *inode, const char *name);
void ib_inode_remove_xattr(struct ib_inode *inode, const char *name);

/* Reads `size` bytes of a regular file's content at `offset`; both must lie inside it. */
int ib_inode_read(const struct ib_inode *inode, void *data, size_t size, uint64_t offset,
                  struct ib_error **err) _must_check_;
/* The whole content of a (small) regular file, following links; at most max_size_bytes. */
int ib_tree_read_file(const struct ib_tree *tree, const char *path, uint64_t max_size_bytes,
                      struct ib_buf *ret, struct ib_error **err) _must_check_;

/* Pre-order, children by name. fn returns 0 to go on, anything else ends the walk and is returned.
 */
typedef int (*ib_tree_fn)(struct ib_node *node, const char *path, void *userdata);
int ib_tree_walk(const struct ib_tree *tree, ib_tree_fn fn, void *userdata);

/* Numbers for progress and limits: names (the root is one), and bytes of regular files (hard links
 * once). */
uint64_t ib_tree_entry_count(const struct ib_tree *tree);
uint64_t ib_tree_content_size(const struct ib_tree *tree);

/*
 * Marks every file of `tree` that is not the same in `older` (path, type, attributes other than
 * mtime, content) with `layer`, and every other with older's layer. For "which files did the
 * packages bring?" Reads the content of pairs of equal size only.
 */
int ib_tree_mark_changes(struct ib_tree *tree, const struct ib_tree *older, enum ib_layer layer,
                         struct ib_error **err) _must_check_;
