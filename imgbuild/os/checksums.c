/* SPDX-License-Identifier: Apache-2.0 */
#include "os/checksums.h"

#include <ctype.h>
#include <string.h>

#include "base/buffer.h"

enum { MAX_NAME = 255, MAX_ITEMS = 100000 };

struct parser {
    const char *file;
    size_t line;
    struct ib_checksums *list;
    struct ib_checksums sizes; /* from comments; only name and size_bytes are set */
};

static int fail_at(const struct parser *p, struct ib_error **err, const char *what)
{
    return ib_failf(err, IB_E_INVALID, "%s:%zu: %s", p->file, p->line, what);
}

static struct ib_checksum *add(struct ib_checksums *list, const char *name, size_t length)
{
    if ((list->count & (list->count - 1)) == 0) /* full at each power of two */
        list->items =
            ib_reallocarray(list->items, list->count ? 2 * list->count : 1, sizeof(list->items[0]));
    struct ib_checksum *item = &list->items[list->count++];
    *item = (struct ib_checksum){.name = ib_strndup(name, length)};
    return item;
}

const struct ib_checksum *ib_checksums_find(const struct ib_checksums *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

static int add_sum(struct parser *p, const char *name, size_t length, const char *hex,
                   struct ib_error **err)
{
    struct ib_sha256 sha256;

    if (!ib_sha256_parse(hex, &sha256))
        return fail_at(p, err, "expected a SHA-256 sum of 64 hexadecimal digits");
    if (length == 0 || length > MAX_NAME)
        return fail_at(p, err, "expected a file name of at most 255 bytes");
    if (p->list->count == MAX_ITEMS)
        return fail_at(p, err, "more than 100000 files are listed");
    _cleanup_(ib_freep) char *text = ib_strndup(name, length);
    const struct ib_checksum *known = ib_checksums_find(p->list, text);
    if (known && !ib_sha256_equal(&known->sha256, &sha256))
        return ib_failf(err, IB_E_INVALID, "%s:%zu: '%s' is listed twice, with two sums", p->file,
                        p->line, text);
    if (!known)
        add(p->list, name, length)->sha256 = sha256;
    return 0;
}

/* "# NAME: BYTES bytes"; any other comment is only a comment. */
static void read_comment(struct parser *p, const char *line)
{
    const char *colon = strrchr(line, ':');
    _cleanup_(ib_freep) char *digits = NULL;
    uint64_t size;

    if (!ib_startswith(line, "# ") || !colon || colon[1] != ' ' || !ib_endswith(line, " bytes"))
        return;
    size_t length = strlen(colon + 2);
    if (length <= strlen(" bytes"))
        return;
    digits = ib_strndup(colon + 2, length - strlen(" bytes"));
    if (ib_parse_u64(digits, INT64_MAX, &size) && p->sizes.count < MAX_ITEMS)
        add(&p->sizes, line + 2, (size_t)(colon - line) - 2)->size_bytes = size;
}

/* "ALGORITHM (NAME) = HEX" */
static bool is_tagged(const char *line)
{
    size_t n = 0;

    while (isupper((unsigned char)line[n]) || isdigit((unsigned char)line[n]) || line[n] == '-')
        n++;
    return n > 0 && ib_startswith(line + n, " (") && strstr(line + n, ") = ");
}

static int read_tagged(struct parser *p, const char *line, struct ib_error **err)
{
    const char *end = NULL;

    if (!ib_startswith(line, "SHA256 ("))
        return 0;
    for (const char *next = line; (next = strstr(next, ") = ")); next++)
        end = next; /* the last one: names may hold brackets */
    const char *name = line + strlen("SHA256 (");
    return add_sum(p, name, (size_t)(end - name), end + strlen(") = "), err);
}

static int read_line(struct parser *p, const char *line, struct ib_error **err)
{
    if (!*line)
        return 0;
    if (*line == '#') {
        read_comment(p, line);
        return 0;
    }
    if (is_tagged(line))
        return read_tagged(p, line, err);
    if (strlen(line) < 67 || line[64] != ' ' || (line[65] != ' ' && line[65] != '*'))
        return fail_at(p, err, "expected 'SHA256 (NAME) = HEX' or 'HEX  NAME'");
    _cleanup_(ib_freep) char *hex = ib_strndup(line, 64);
    return add_sum(p, line + 66, strlen(line + 66), hex, err);
}

void ib_checksums_clear(struct ib_checksums *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    free(list->items);
    *list = (struct ib_checksums){0};
}

static int read_lines(struct parser *p, const char *text, size_t size, struct ib_error **err)
{
    const char *const end = text + size;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        p->line++;
        if (memchr(text, 0, length))
            return fail_at(p, err, "it holds a NUL byte");
        _cleanup_(ib_freep) char *line = ib_strndup(text, length);
        if (length && line[length - 1] == '\r') /* clear-signed text may come with CRLF */
            line[length - 1] = 0;
        if (read_line(p, line, err) < 0)
            return -1;
        text += length + (newline ? 1 : 0);
    }
    return 0;
}

int ib_checksums_parse(const char *file, const void *data, size_t size, struct ib_checksums *ret,
                       struct ib_error **err)
{
    _cleanup_(ib_checksums_clear) struct ib_checksums list = {0};
    struct parser p = {.file = file, .list = &list};

    int r = read_lines(&p, data, size, err);
    for (size_t i = 0; r == 0 && i < list.count; i++) {
        const struct ib_checksum *found = ib_checksums_find(&p.sizes, list.items[i].name);
        list.items[i].size_bytes = found ? found->size_bytes : 0;
    }
    ib_checksums_clear(&p.sizes);
    if (r < 0)
        return -1;
    *ret = list;
    list = (struct ib_checksums){0};
    return 0;
}
