/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

#include "base/buffer.h"

void ib_text_print(FILE *out, const char *s)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_buf_append_text(&text, s);
    if (text.size > 0)
        fwrite(text.data, 1, text.size, out);
}
