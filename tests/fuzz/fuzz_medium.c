/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a recovery medium: what is taken is written as the same index. */
#include <string.h>

#include "model/medium.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_medium_clear) struct ib_medium medium = {0}, again = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0}, text_again = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (ib_medium_parse(data, size, "medium", &medium, &err) < 0)
        return 0;
    ib_medium_format(&medium, &text);
    if (ib_medium_parse(text.data, text.size, "medium", &again, NULL) < 0)
        __builtin_trap();
    ib_medium_format(&again, &text_again);
    if (text.size != text_again.size || memcmp(text.data, text_again.data, text.size) != 0)
        __builtin_trap();
    return 0;
}
