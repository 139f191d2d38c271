/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged tree archive: whatever loads must be readable, and save and load again. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/tree.h"
#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ib_tree *load(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return ib_tree_load(path, NULL);
}

static int read_content(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    _cleanup_(ib_freep) char *again = ib_node_path(node);
    char tail[64];
    size_t n = (size_t)IB_MIN(inode->size, (uint64_t)sizeof(tail));

    (void)userdata;
    if (!ib_streq(path, again))
        abort();
    if (S_ISREG(inode->mode) && ib_inode_read(inode, tail, n, inode->size - n, NULL) < 0)
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int in = memfd_create("in", MFD_CLOEXEC);
    _cleanup_(ib_closep) int out = memfd_create("out", MFD_CLOEXEC);
    _cleanup_(ib_tree_freep) struct ib_tree *tree = NULL, *again = NULL;

    _cleanup_(ib_freep) uint8_t *sealed = seal_headers(data, size);

    if (ib_write_full(in, sealed, size) < 0)
        return 0;
    tree = load(in);
    if (!tree)
        return 0;
    if (ib_tree_walk(tree, read_content, NULL) != 0 ||
        ib_tree_save(tree, out, NULL, NULL, NULL) < 0)
        abort();
    again = load(out);
    if (!again || ib_tree_entry_count(again) != ib_tree_entry_count(tree) ||
        ib_tree_content_size(again) != ib_tree_content_size(tree))
        abort();
    return 0;
}
