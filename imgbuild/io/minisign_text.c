/* SPDX-License-Identifier: Apache-2.0 */
#include "minisign_text.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "io/minisign.h"

enum { BASE64_MAX = 256 };

int ib_minisign_bad(const struct minisign_lines *lines, const char *why)
{
    ib_failf(lines->err, IB_E_INVALID, "%s:%u: not a %s of minisign: %s", lines->name, lines->line,
             lines->what, why);
    return ib_hint(lines->err, "name the whole file, as 'imgbuild keygen', 'imgbuild sign' or "
                               "minisign wrote it");
}

static int next_line(struct minisign_lines *l, const char **ret, size_t *ret_size)
{
    const char *begin = l->text + l->at;

    l->line++;
    if (l->line == 1 && l->size > IB_MINISIGN_TEXT_MAX)
        return ib_minisign_bad(l, "it is too long");
    if (l->at >= l->size)
        return ib_minisign_bad(l, "a line is missing");
    const char *end = memchr(begin, '\n', l->size - l->at);
    size_t size = end ? (size_t)(end - begin) : l->size - l->at;
    l->at += size + (end != NULL);
    if (size && begin[size - 1] == '\r')
        size--;
    if (memchr(begin, 0, size) || memchr(begin, '\r', size))
        return ib_minisign_bad(l, "there is a control character in it");
    *ret = begin;
    *ret_size = size;
    return 0;
}

int ib_minisign_comment(struct minisign_lines *lines, const char *prefix, const char **ret,
                        size_t *ret_size)
{
    size_t n = strlen(prefix), size;
    const char *line;

    if (next_line(lines, &line, &size) < 0)
        return -1;
    if (size < n || memcmp(line, prefix, n) != 0) {
        _cleanup_(ib_freep) char *why = ib_asprintf("the line does not begin with '%s'", prefix);
        return ib_minisign_bad(lines, why);
    }
    if (size - n > IB_MINISIGN_COMMENT_MAX)
        return ib_minisign_bad(lines, "the comment is too long");
    *ret = line + n;
    *ret_size = size - n;
    return 0;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* One way only to write each value: no blanks, whole padding, unused bits zero. */
static bool decode(const char *text, size_t text_size, uint8_t *ret, size_t size)
{
    uint32_t bits = 0;
    unsigned count = 0;
    size_t digits = (size * 8 + 5) / 6, done = 0;

    if (text_size != (size + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < text_size; i++) {
        int digit = digit_of(text[i]);
        if (i >= digits ? text[i] != '=' : digit < 0)
            return false;
        if (i >= digits)
            continue;
        bits = bits << 6 | (uint32_t)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            ret[done++] = (uint8_t)(bits >> count);
        }
    }
    return (bits & ((1U << count) - 1)) == 0;
}

int ib_minisign_base64(struct minisign_lines *lines, void *ret, size_t size)
{
    const char *line;
    size_t line_size;

    if (next_line(lines, &line, &line_size) < 0)
        return -1;
    if (!decode(line, line_size, ret, size)) {
        _cleanup_(ib_freep) char *why =
            ib_asprintf("the line is not the base64 of %zu bytes", size);
        return ib_minisign_bad(lines, why);
    }
    return 0;
}

int ib_minisign_end(struct minisign_lines *lines)
{
    if (lines->at == lines->size)
        return 0;
    lines->line++;
    return ib_minisign_bad(lines, "more follows than there should");
}

void ib_minisign_put_base64(struct ib_buf *out, const void *data, size_t size)
{
    uint8_t text[BASE64_MAX];
    int n = EVP_EncodeBlock(text, data, (int)size);

    if (n < 0 || (size_t)n >= sizeof(text))
        abort(); /* all callers have fixed sizes */
    ib_buf_append(out, text, (size_t)n);
    ib_buf_append_str(out, "\n");
    OPENSSL_cleanse(text, sizeof(text));
}
