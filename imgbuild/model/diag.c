/* SPDX-License-Identifier: Apache-2.0 */
#include "model/diag.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define MAX_KEPT 1000
#define MAX_NAMES 12 /* longer lists help nobody */

struct ib_diags {
    struct ib_diag *items;
    size_t kept, capacity;
    size_t count;
    bool last_kept; /* whether the last ib_diag is items[kept - 1]: expect and nearest go there */
};

struct ib_diags *ib_diags_new(void)
{
    return ib_calloc(1, sizeof(struct ib_diags));
}

static void diag_clear(struct ib_diag *diag)
{
    free(diag->file);
    free(diag->message);
    free(diag->expectation);
    free(diag->suggestion);
}

struct ib_diags *ib_diags_free(struct ib_diags *diags)
{
    if (!diags)
        return NULL;
    for (size_t i = 0; i < diags->kept; i++)
        diag_clear(&diags->items[i]);
    free(diags->items);
    free(diags);
    return NULL;
}

void ib_diags_freep(struct ib_diags **diags)
{
    ib_diags_free(*diags);
}

/*
 * Texts quote what stands in files, and names of files are bytes of anybody's choice: what would
 * steer a terminal, or is not UTF-8 (also a character that was cut), becomes '?'.
 */
static char *clean(char *text)
{
    unsigned char *p = (unsigned char *)text;

    while (p && *p) {
        size_t n = *p >= 0x20 && *p < 0x7f ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        for (size_t i = 1; i < n; i++)
            if ((p[i] & 0xc0) != 0x80)
                n = 0;
        json_t *string = n > 1 ? json_stringn((char *)p, n) : NULL; /* jansson knows the rest */
        if (n == 0 || (n > 1 && !string)) {
            *p = '?';
            n = 1;
        }
        json_decref(string);
        p += n;
    }
    return text;
}

static char *format(const char *fmt, va_list ap)
{
    struct ib_buf buf = {0};

    ib_buf_vprintf(&buf, fmt, ap);
    return clean(ib_buf_steal_string(&buf));
}

void ib_diag(struct ib_diags *diags, struct ib_origin at, const char *fmt, ...)
{
    va_list ap;

    diags->count++;
    diags->last_kept = diags->kept < MAX_KEPT;
    if (!diags->last_kept)
        return;
    if (diags->kept == diags->capacity) {
        diags->capacity = diags->capacity ? diags->capacity * 2 : 8;
        diags->items = ib_reallocarray(diags->items, diags->capacity, sizeof(*diags->items));
    }
    struct ib_diag *diag = &diags->items[diags->kept++];
    *diag =
        (struct ib_diag){.file = clean(ib_strdup(at.file)), .line = at.line, .column = at.column};
    va_start(ap, fmt);
    diag->message = format(fmt, ap);
    va_end(ap);
}

void ib_diag_expect(struct ib_diags *diags, const char *fmt, ...)
{
    va_list ap;

    if (!diags->last_kept)
        return;
    struct ib_diag *diag = &diags->items[diags->kept - 1];
    assert(!diag->expectation);
    va_start(ap, fmt);
    diag->expectation = format(fmt, ap);
    va_end(ap);
}

void ib_diag_nearest(struct ib_diags *diags, const char *word, const char *const *names,
                     size_t count)
{
    if (!diags->last_kept)
        return;
    struct ib_diag *diag = &diags->items[diags->kept - 1];
    assert(!diag->suggestion);
    diag->suggestion = clean(ib_strdup(ib_nearest(word, names, count)));
}

void ib_diag_expect_names(struct ib_diags *diags, const char *const *names, size_t count,
                          const char *where)
{
    struct ib_buf buf = {0};

    if (count == 0 || count > MAX_NAMES) {
        ib_diag_expect(diags, "expected a name from %s", where);
        return;
    }
    for (size_t i = 0; i < count; i++)
        ib_buf_printf(&buf, "%s'%s'", i ? ", " : "", names[i]);
    ib_diag_expect(diags, "expected %s%s (%s)", count > 1 ? "one of " : "", (char *)buf.data,
                   where);
    ib_buf_clear(&buf);
}

bool ib_diags_has(const struct ib_diags *diags, struct ib_origin at)
{
    for (size_t i = 0; i < diags->kept; i++) {
        const struct ib_diag *d = &diags->items[i];
        if (d->line == at.line && d->column == at.column && ib_streq(d->file, at.file))
            return true;
    }
    return false;
}

size_t ib_diags_count(const struct ib_diags *diags)
{
    return diags->count;
}

size_t ib_diags_kept(const struct ib_diags *diags)
{
    return diags->kept;
}

const struct ib_diag *ib_diags_get(const struct ib_diags *diags, size_t index)
{
    assert(index < diags->kept);
    return &diags->items[index];
}

static int compare_u32(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare(const void *a, const void *b)
{
    const struct ib_diag *x = a, *y = b;
    int r;

    if (!x->file || !y->file)
        r = !x->file - !y->file;
    else
        r = strcmp(x->file, y->file);
    if (r == 0)
        r = compare_u32(x->line, y->line);
    if (r == 0)
        r = compare_u32(x->column, y->column);
    return r != 0 ? r : strcmp(x->message, y->message);
}

void ib_diags_sort(struct ib_diags *diags)
{
    size_t n = 0;

    if (diags->kept == 0)
        return;
    qsort(diags->items, diags->kept, sizeof(*diags->items), compare);
    for (size_t i = 1; i < diags->kept; i++) {
        if (compare(&diags->items[n], &diags->items[i]) == 0) {
            diag_clear(&diags->items[i]);
            diags->count--;
        } else {
            diags->items[++n] = diags->items[i];
        }
    }
    diags->kept = n + 1;
    diags->last_kept = false;
}

static void append_text(struct ib_buf *buf, const struct ib_diag *diag)
{
    if (diag->file) {
        ib_buf_append_str(buf, diag->file);
        if (diag->line)
            ib_buf_printf(buf, ":%u:%u", diag->line, diag->column);
        ib_buf_append_str(buf, ": ");
    }
    ib_buf_append_str(buf, diag->message);
    if (diag->expectation)
        ib_buf_printf(buf, "; %s", diag->expectation);
    if (diag->suggestion)
        ib_buf_printf(buf, "; did you mean '%s'?", diag->suggestion);
}

char *ib_diag_text(const struct ib_diag *diag)
{
    struct ib_buf buf = {0};

    append_text(&buf, diag);
    return ib_buf_steal_string(&buf);
}

char *ib_diags_text(const struct ib_diags *diags)
{
    struct ib_buf buf = {0};

    for (size_t i = 0; i < diags->kept; i++) {
        append_text(&buf, &diags->items[i]);
        ib_buf_append_str(&buf, "\n");
    }
    if (diags->count > diags->kept)
        ib_buf_printf(&buf, "and %zu more\n", diags->count - diags->kept);
    return ib_buf_steal_string(&buf);
}

struct json_t *ib_diags_json(const struct ib_diags *diags)
{
    json_t *array = json_array();

    for (size_t i = 0; i < diags->kept; i++) {
        const struct ib_diag *diag = &diags->items[i];
        json_t *object =
            json_pack("{s:s? s:i s:i s:s s:s? s:s?}", "file", diag->file, "line", (int)diag->line,
                      "column", (int)diag->column, "message", diag->message, "expectation",
                      diag->expectation, "suggestion", diag->suggestion);
        if (!array || !object || json_array_append_new(array, object) < 0)
            abort();
    }
    return array;
}

int ib_diags_to_error(const struct ib_diags *diags, struct ib_error **err)
{
    if (diags->count == 0)
        return 0;
    _cleanup_(ib_freep) char *first = diags->kept ? ib_diag_text(&diags->items[0]) : ib_strdup("");
    if (diags->count > 1)
        ib_failf(err, IB_E_INVALID, "%s (and %zu more)", first, diags->count - 1);
    else
        ib_failf(err, IB_E_INVALID, "%s", first);
    return ib_hint(err, "run 'imgbuild check' for all of them");
}
