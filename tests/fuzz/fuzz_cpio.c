/* SPDX-License-Identifier: Apache-2.0 */
#include "image/cpio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_buf_clear) struct ib_buf again = {0};
    size_t offset;

    if (ib_cpio_find_last(data, size, &offset) && offset >= size)
        abort();
    if (ib_cpio_read(data, size, "fuzz.cpio", tree, NULL) == 0 &&
        ib_cpio_write(tree, 0, &again, NULL) == 0 && again.size % 4 != 0)
        abort();
    return 0;
}
