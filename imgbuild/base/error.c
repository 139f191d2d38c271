/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"

struct ib_error {
    enum ib_error_code code;
    int errnum;
    char *hint;
    struct ib_strv lines; /* innermost first: contexts are pushed on the way up */
};

/* One row a code: the exit statuses are part of the interface (docs/reference/exit-status.md). */
static const struct {
    enum ib_error_code code;
    const char *name;
    int exit_status;
} code_table[] = {
    {IB_E_INTERNAL, "internal", 70},
    {IB_E_USAGE, "usage", 2},
    {IB_E_INVALID, "invalid", 3},
    {IB_E_NOT_FOUND, "not-found", 4},
    {IB_E_IO, "io", 5},
    {IB_E_NO_SPACE, "no-space", 6},
    {IB_E_PERMISSION, "permission", 7},
    {IB_E_VERIFY, "verify", 8},
    {IB_E_NETWORK, "network", 9},
    {IB_E_UNSUPPORTED, "unsupported", 10},
    {IB_E_CHILD, "child", 11},
    {IB_E_REFUSED, "refused", 12},
    {IB_E_INTERRUPTED, "interrupted", 130},
};

static enum ib_error_code refine(enum ib_error_code code, int errnum)
{
    if (code != IB_E_IO)
        return code;
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return IB_E_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
        return IB_E_PERMISSION;
    case ENOENT:
        return IB_E_NOT_FOUND;
    default:
        return code;
    }
}

/* Names from archives and images get into messages: they must not command the terminal. */
static char *printable(char *line)
{
    for (unsigned char *p = (unsigned char *)line; *p; p++)
        if ((*p < ' ' && *p != '\n' && *p != '\t') || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls in UTF-8 */
            *p = p[1] = '?';
    return line;
}

static struct ib_error *error_new(enum ib_error_code code, int errnum, char *line)
{
    struct ib_error *e = ib_calloc(1, sizeof(*e));

    e->code = refine(code, errnum);
    e->errnum = errnum;
    ib_strv_take(&e->lines, printable(line));
    if (errnum == ENOSPC)
        e->hint = ib_strdup("free some space there, or choose another place");
    return e;
}

static char *describe(const char *subject, const char *what)
{
    return subject ? ib_asprintf("cannot %s '%s'", what, subject) : ib_asprintf("cannot %s", what);
}

int ib_fail(struct ib_error **err, enum ib_error_code code, int errnum, const char *subject,
            const char *what)
{
    if (!err)
        return -1;
    _cleanup_(ib_freep) char *d = describe(subject, what);
    char *line = errnum ? ib_asprintf("%s: %s", d, strerror(errnum)) : ib_strdup(d);
    *err = error_new(code, errnum, line);
    return -1;
}

int ib_failf(struct ib_error **err, enum ib_error_code code, const char *fmt, ...)
{
    va_list ap;
    struct ib_buf line = {0};

    if (!err)
        return -1;
    va_start(ap, fmt);
    ib_buf_vprintf(&line, fmt, ap);
    va_end(ap);
    *err = error_new(code, 0, ib_buf_steal_string(&line));
    return -1;
}

int ib_wrap(struct ib_error **err, const char *subject, const char *what)
{
    if (err && *err)
        ib_strv_take(&(*err)->lines, printable(describe(subject, what)));
    return -1;
}

int ib_wrapf(struct ib_error **err, const char *fmt, ...)
{
    va_list ap;
    struct ib_buf line = {0};

    if (!err || !*err)
        return -1;
    va_start(ap, fmt);
    ib_buf_vprintf(&line, fmt, ap);
    va_end(ap);
    ib_strv_take(&(*err)->lines, ib_buf_steal_string(&line));
    return -1;
}

int ib_hint(struct ib_error **err, const char *fmt, ...)
{
    va_list ap;
    struct ib_buf text = {0};

    if (!err || !*err || (*err)->hint)
        return -1;
    va_start(ap, fmt);
    ib_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    (*err)->hint = ib_buf_steal_string(&text);
    return -1;
}

enum ib_error_code ib_error_code(const struct ib_error *err)
{
    return err->code;
}

int ib_error_errno(const struct ib_error *err)
{
    return err->errnum;
}

const char *ib_error_hint(const struct ib_error *err)
{
    if (!err->hint && err->code == IB_E_PERMISSION)
        return "see who may use it (ls -ld), and let this user, or choose another place";
    return err->hint;
}

size_t ib_error_depth(const struct ib_error *err)
{
    return err->lines.count;
}

const char *ib_error_line(const struct ib_error *err, size_t index)
{
    return err->lines.items[err->lines.count - 1 - index];
}

char *ib_error_text(const struct ib_error *err)
{
    struct ib_buf text = {0};

    for (size_t i = 0; i < ib_error_depth(err); i++)
        ib_buf_printf(&text, "%s%s", i ? ": " : "", ib_error_line(err, i));
    return ib_buf_steal_string(&text);
}

void ib_error_print(const struct ib_error *err, const char *program, FILE *out)
{
    fprintf(out, "%s: %s\n", program, ib_error_line(err, 0));
    for (size_t i = 1; i < ib_error_depth(err); i++)
        fprintf(out, "  because: %s\n", ib_error_line(err, i));
    if (ib_error_hint(err))
        fprintf(out, "  try: %s\n", ib_error_hint(err));
}

const char *ib_error_code_name(enum ib_error_code code)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(code_table); i++)
        if (code_table[i].code == code)
            return code_table[i].name;
    return "internal";
}

int ib_error_exit_status(enum ib_error_code code)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(code_table); i++)
        if (code_table[i].code == code)
            return code_table[i].exit_status;
    return 70;
}

struct ib_error *ib_error_free(struct ib_error *err)
{
    if (err) {
        ib_strv_clear(&err->lines);
        free(err->hint);
        free(err);
    }
    return NULL;
}

void ib_error_freep(struct ib_error **err)
{
    *err = ib_error_free(*err);
}

void ib_error_clear(struct ib_error **err)
{
    if (err)
        *err = ib_error_free(*err);
}
