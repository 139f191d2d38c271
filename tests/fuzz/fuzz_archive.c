/* SPDX-License-Identifier: Apache-2.0 */
/* An archive from outside, as a root and as a layer: what is accepted must keep to the limits, and
 * save and load again. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/file.h"
#include "io/archive.h"
#include "seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static ssize_t read_input(void *userdata, void *data, size_t size, struct ib_error **err)
{
    struct input *input = userdata;
    size_t n = IB_MIN(size, input->size);

    (void)err;
    if (n)
        memcpy(data, input->data, n);
    input->data += n;
    input->size -= n;
    return (ssize_t)n;
}

static void read_archive(struct input input, unsigned flags)
{
    static const struct ib_archive_limits limits = {1000, 1 << 20};
    _cleanup_(ib_closep) int spool = memfd_create("spool", MFD_CLOEXEC);
    _cleanup_(ib_closep) int out = memfd_create("out", MFD_CLOEXEC);
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new(), *again = NULL;
    char path[32];

    if (!ib_tree_add_symlink(tree, "lib", "usr/lib", IB_LAYER_BASE, NULL) ||
        !ib_tree_add_file(tree, "usr/lib/a", 0644, "x", 1, IB_LAYER_BASE, NULL))
        abort();
    if (ib_archive_read_stream(tree, read_input, &input, "fuzz", spool, IB_LAYER_PACKAGES, flags,
                               &limits, NULL, NULL, NULL) < 0)
        return;
    if (ib_tree_content_size(tree) > limits.max_content_size + 1)
        abort();
    if (ib_tree_save(tree, out, NULL, NULL, NULL) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", out);
    again = ib_tree_load(path, NULL);
    if (!again || ib_tree_entry_count(again) != ib_tree_entry_count(tree))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_freep) uint8_t *sealed = seal_headers(data, size);

    read_archive((struct input){sealed, size}, 0);
    read_archive((struct input){sealed, size}, IB_ARCHIVE_WHITEOUTS);
    return 0;
}
