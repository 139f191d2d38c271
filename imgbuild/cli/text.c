/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/text.h"

void ib_text_print(FILE *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        /* 0xc2 0x80 to 0x9f are the control characters behind ASCII, in UTF-8 */
        if (c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0) {
            fputc('?', out);
            s++;
        } else {
            fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
        }
    }
}
