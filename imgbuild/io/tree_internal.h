/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the file tree (tree*.c, archive*.c) know of each other. Private to io/.
 */
#pragma once

#include <sys/types.h>

#include "io/tree.h"

enum {
    IB_TREE_MAX_PATH = 4095, /* bytes, as PATH_MAX without its NUL; also bounds every recursion */
    IB_TREE_MAX_NAME = 255,  /* NAME_MAX */
    IB_TREE_MAX_LINKS = 40,  /* symbolic links followed for one name, as in Linux */
};

/* A file that holds content. Owned by the tree, so that 100,000 files cost one descriptor. */
struct ib_source {
    int fd;
    dev_t device;
    ino_t inode;
    struct ib_source *next;
};

/* Where a regular file's bytes are: at `offset` of a source, in a file below it, or right here. */
struct ib_content {
    const struct ib_source *source; /* NULL: in data */
    uint64_t offset;
    bool below; /* source is a directory, and data the file's name below it, with its NUL */
    unsigned char data[];
};

struct ib_tree {
    struct ib_node *root;
    uint64_t entry_count, content_size;
    struct ib_source *sources;
    /*
     * Each archive that is read gets a generation, and each name it touches carries it: this is how
     * a whiteout spares what its own layer brought. While `guarded`, a name of this generation is
     * not followed as a symbolic link and not replaced by another type.
     */
    uint32_t generation;
    bool guarded;
};

/* What stands behind every struct ib_node. */
struct ib_entry {
    struct ib_node node; /* first: the two pointers are the same */
    uint32_t capacity;   /* of node.children */
    uint32_t generation;
    uint16_t path_length;
    char name[];
};

static inline struct ib_entry *ib_entry_of(struct ib_node *node)
{
    return (struct ib_entry *)node;
}

/* A new inode without a name yet (nlink 0). */
struct ib_inode *ib_inode_new(uint32_t mode, enum ib_layer layer);
struct ib_inode *ib_inode_free(struct ib_inode *inode); /* returns NULL */
/* Names the source of the descriptor's file: a known one, or a duplicate of fd. NULL with errno. */
const struct ib_source *ib_tree_source(struct ib_tree *tree, int fd);
void ib_inode_set_range(struct ib_inode *inode, const struct ib_source *source, uint64_t offset,
                        uint64_t size);
void ib_inode_set_below(struct ib_inode *inode, const struct ib_source *directory, const char *name,
                        uint64_t size);

/* The child of this name, or NULL. */
struct ib_node *ib_node_child(const struct ib_node *directory, const char *name);
/* Appends a child whose name sorts behind all that are there; for the loader, which has checked. */
struct ib_node *ib_tree_append(struct ib_tree *tree, struct ib_node *directory, const char *name,
                               struct ib_inode *inode);
/* Gives `inode` the name `path` by the rules of "Adding" in io/tree.h. Takes one reference (nlink)
 * on success; on failure an inode without a name is freed. */
struct ib_node *ib_tree_put(struct ib_tree *tree, const char *path, struct ib_inode *inode,
                            struct ib_error **err);
/* Takes a child out of its directory and frees it with all below it. */
void ib_tree_detach(struct ib_tree *tree, struct ib_node *node);
