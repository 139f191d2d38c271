/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error object: what failed, on what, because of what, and what to do about it.
 *
 * A fallible function takes `struct ib_error **err` last, returns 0 or -1 (or a pointer or NULL),
 * and on failure leaves a new error in *err, which its caller wraps with what *it* was doing:
 *
 *     if (read_header(fd, &hdr, err) < 0)
 *         return ib_wrap(err, path, "read artifact");
 *
 * Only cli/ prints errors (ib_error_print) and frees them at the end. Passing err == NULL discards
 * the details. An error is written at most once per failure: *err must be NULL on entry.
 */
#pragma once

#include <stdio.h>

#include "base/util.h"

/* The kind of failure; each has one documented exit status (ib_error_exit_status). */
enum ib_error_code {
    IB_E_INTERNAL = 1, /* a broken promise of our own */
    IB_E_USAGE,        /* the command line is wrong */
    IB_E_INVALID,      /* an input file or stream is malformed */
    IB_E_NOT_FOUND,    /* a named thing does not exist */
    IB_E_IO,           /* reading or writing failed */
    IB_E_NO_SPACE,     /* no room on the file system */
    IB_E_PERMISSION,   /* the operating system said no */
    IB_E_VERIFY,       /* a hash or signature does not match */
    IB_E_NETWORK,      /* no answer, or a wrong one, from the other side */
    IB_E_UNSUPPORTED,  /* this machine lacks a program or a kernel feature */
    IB_E_CHILD,        /* a program we ran failed */
    IB_E_REFUSED,      /* we could, but it would destroy something */
    IB_E_INTERRUPTED,  /* the user asked to stop */
};

struct ib_error;

/*
 * New error "cannot WHAT 'SUBJECT'", with strerror(errnum) as the cause when errnum is not 0.
 * ENOSPC/EDQUOT, EACCES/EPERM/EROFS turn a code of IB_E_IO into the more exact one. Returns -1.
 */
int ib_fail(struct ib_error **err, enum ib_error_code code, int errnum, const char *subject,
            const char *what);

/* New error that is a plain sentence, without a trailing full stop. Returns -1. */
int ib_failf(struct ib_error **err, enum ib_error_code code, const char *fmt, ...) _printf_(3, 4);

/* Adds the outer context "cannot WHAT 'SUBJECT'" (subject may be NULL). Returns -1. */
int ib_wrap(struct ib_error **err, const char *subject, const char *what);
/* Adds an outer context that is a plain sentence. Returns -1. */
int ib_wrapf(struct ib_error **err, const char *fmt, ...) _printf_(2, 3);

/* Sets the cure, an imperative phrase; the first one set (nearest the cause) stays. Returns -1. */
int ib_hint(struct ib_error **err, const char *fmt, ...) _printf_(2, 3);

enum ib_error_code ib_error_code(const struct ib_error *err);
int ib_error_errno(const struct ib_error *err);        /* 0 where none */
const char *ib_error_hint(const struct ib_error *err); /* NULL where none; borrowed */

/* The whole chain on one line, outermost first, joined by ": ". The caller frees. */
char *ib_error_text(const struct ib_error *err);

/* Prints "PROGRAM: …", "  because: …" lines and "  try: …" on `out`. */
void ib_error_print(const struct ib_error *err, const char *program, FILE *out);

/* The number of context lines and each of them, outermost first (for JSON). Borrowed. */
size_t ib_error_depth(const struct ib_error *err);
const char *ib_error_line(const struct ib_error *err, size_t index);

/* The stable, lower-case name of a code ("verify"), for JSON. */
const char *ib_error_code_name(enum ib_error_code code);
int ib_error_exit_status(enum ib_error_code code);

struct ib_error *ib_error_free(struct ib_error *err); /* returns NULL; NULL is fine */
void ib_error_freep(struct ib_error **err);
/* Forgets an error that was handled: frees and empties *err. */
void ib_error_clear(struct ib_error **err);
