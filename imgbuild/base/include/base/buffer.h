/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable bytes (struct ib_buf) and growable lists of strings (struct ib_strv).
 *
 * Both start as {0}, own what they hold, and go with _cleanup_(ib_buf_clear) or
 * _cleanup_(ib_strv_clear). A buffer's data is always followed by a NUL that size does not count.
 */
#pragma once

#include <stdarg.h>

#include "base/util.h"

struct ib_buf {
    unsigned char *data; /* NULL while empty */
    size_t size;
    size_t capacity;
};

void ib_buf_append(struct ib_buf *buf, const void *data, size_t size);
void ib_buf_append_str(struct ib_buf *buf, const char *s);
/* Text from outside for a terminal: its control characters, also those behind ASCII in UTF-8, as
 * '?'. */
void ib_buf_append_text(struct ib_buf *buf, const char *s);
void ib_buf_append_zeros(struct ib_buf *buf, size_t size);
void ib_buf_printf(struct ib_buf *buf, const char *fmt, ...) _printf_(2, 3);
void ib_buf_vprintf(struct ib_buf *buf, const char *fmt, va_list ap) _printf_(2, 0);
/* Room for `extra` more bytes at data + size; the caller then raises size itself. */
void *ib_buf_reserve(struct ib_buf *buf, size_t extra);
/* The bytes as a string that the caller frees ("" when empty); the buffer is empty after. */
char *ib_buf_steal_string(struct ib_buf *buf);
void ib_buf_clear(struct ib_buf *buf);

struct ib_strv {
    char **items; /* count strings and, after any change, a closing NULL: usable as an argv */
    size_t count;
    size_t capacity;
};

void ib_strv_add(struct ib_strv *list, const char *s); /* copies */
void ib_strv_take(struct ib_strv *list, char *s);      /* becomes the owner of s */
void ib_strv_addf(struct ib_strv *list, const char *fmt, ...) _printf_(2, 3);
void ib_strv_add_all(struct ib_strv *list, const char *const *items); /* up to a closing NULL */
void ib_strv_append(struct ib_strv *list, const struct ib_strv *other);
bool ib_strv_contains(const struct ib_strv *list, const char *s);
void ib_strv_sort(struct ib_strv *list);        /* by bytes, whatever the locale */
void ib_strv_sort_unique(struct ib_strv *list); /* and drops repeats */
char *ib_strv_join(const struct ib_strv *list, const char *separator);
/* Splits at any of `separators`, dropping empty parts. */
void ib_strv_split(struct ib_strv *list, const char *s, const char *separators);
void ib_strv_clear(struct ib_strv *list);
