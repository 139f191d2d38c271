/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void *ib_buf_reserve(struct ib_buf *buf, size_t extra)
{
    size_t need;

    if (__builtin_add_overflow(buf->size, extra, &need) || need == SIZE_MAX)
        abort();
    need++; /* the closing NUL */
    if (need > buf->capacity) {
        size_t capacity = buf->capacity ? buf->capacity : 64;
        while (capacity < need)
            capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
        buf->data = ib_realloc(buf->data, capacity);
        buf->capacity = capacity;
    }
    return buf->data + buf->size;
}

void ib_buf_append(struct ib_buf *buf, const void *data, size_t size)
{
    unsigned char *end = ib_buf_reserve(buf, size);

    if (size)
        memcpy(end, data, size);
    buf->size += size;
    buf->data[buf->size] = 0;
}

void ib_buf_append_str(struct ib_buf *buf, const char *s)
{
    ib_buf_append(buf, s, strlen(s));
}

void ib_buf_append_text(struct ib_buf *buf, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        /* 0xc2 0x80 to 0x9f are the control characters behind ASCII */
        bool wide = c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0;
        s += wide;
        ib_buf_append(buf, wide || c < 0x20 || c == 0x7f ? "?" : s, 1);
    }
}

void ib_buf_append_zeros(struct ib_buf *buf, size_t size)
{
    memset(ib_buf_reserve(buf, size), 0, size + 1);
    buf->size += size;
}

void ib_buf_vprintf(struct ib_buf *buf, const char *fmt, va_list ap)
{
    va_list again;

    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    assert(n >= 0);
    vsnprintf(ib_buf_reserve(buf, (size_t)n), (size_t)n + 1, fmt, ap);
    buf->size += (size_t)n;
}

void ib_buf_printf(struct ib_buf *buf, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    ib_buf_vprintf(buf, fmt, ap);
    va_end(ap);
}

char *ib_buf_steal_string(struct ib_buf *buf)
{
    ib_buf_append(buf, "", 0);
    char *s = (char *)ib_steal(&buf->data);
    buf->size = buf->capacity = 0;
    return s;
}

void ib_buf_clear(struct ib_buf *buf)
{
    free(buf->data);
    *buf = (struct ib_buf){0};
}

void ib_strv_take(struct ib_strv *list, char *s)
{
    if (list->count + 2 > list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 8;
        list->items = ib_reallocarray(list->items, list->capacity, sizeof(char *));
    }
    list->items[list->count++] = s;
    list->items[list->count] = NULL;
}

void ib_strv_add(struct ib_strv *list, const char *s)
{
    ib_strv_take(list, ib_strdup(s));
}

void ib_strv_addf(struct ib_strv *list, const char *fmt, ...)
{
    va_list ap;
    struct ib_buf text = {0};

    va_start(ap, fmt);
    ib_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    ib_strv_take(list, ib_buf_steal_string(&text));
}

void ib_strv_add_all(struct ib_strv *list, const char *const *items)
{
    for (; *items; items++)
        ib_strv_add(list, *items);
}

void ib_strv_append(struct ib_strv *list, const struct ib_strv *other)
{
    for (size_t i = 0; i < other->count; i++)
        ib_strv_add(list, other->items[i]);
}

bool ib_strv_contains(const struct ib_strv *list, const char *s)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], s) == 0)
            return true;
    return false;
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void ib_strv_sort(struct ib_strv *list)
{
    if (list->count > 1)
        qsort(list->items, list->count, sizeof(char *), compare_strings);
}

void ib_strv_sort_unique(struct ib_strv *list)
{
    size_t kept = 0;

    ib_strv_sort(list);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->items[kept - 1], list->items[i]) == 0)
            free(list->items[i]);
        else
            list->items[kept++] = list->items[i];
    }
    list->count = kept;
    if (list->items)
        list->items[kept] = NULL;
}

char *ib_strv_join(const struct ib_strv *list, const char *separator)
{
    struct ib_buf text = {0};

    for (size_t i = 0; i < list->count; i++) {
        if (i)
            ib_buf_append_str(&text, separator);
        ib_buf_append_str(&text, list->items[i]);
    }
    return ib_buf_steal_string(&text);
}

void ib_strv_split(struct ib_strv *list, const char *s, const char *separators)
{
    while (*s) {
        size_t n = strcspn(s, separators);
        if (n)
            ib_strv_take(list, ib_strndup(s, n));
        s += n;
        s += strspn(s, separators);
    }
}

void ib_strv_clear(struct ib_strv *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct ib_strv){0};
}
