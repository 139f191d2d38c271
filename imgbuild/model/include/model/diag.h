/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: everything that is wrong with the input files of one run, each with its place.
 *
 * Reading recipes does not stop at the first mistake: functions below report into a list and go on
 * with what is left. Whoever handed in the list looks at ib_diags_count afterwards, prints all of
 * it, and turns it into one error (ib_diags_to_error).
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

struct json_t;

/* A place in an input file. Lines and columns count from 1; 0 where there is none (defaults). */
struct ib_origin {
    const char *file; /* borrowed: lives as long as what was read from it; NULL: no file */
    uint32_t line, column;
};

struct ib_diag {
    char *file; /* NULL where no file is to blame */
    uint32_t line, column;
    char *message;     /* what is wrong: "unknown key 'rolle'" */
    char *expectation; /* what would be right: "expected one of …", or NULL */
    char *suggestion;  /* the nearest valid name, or NULL */
};

struct ib_diags; /* owns copies of all texts */

struct ib_diags *ib_diags_new(void);
struct ib_diags *ib_diags_free(struct ib_diags *diags); /* returns NULL */
void ib_diags_freep(struct ib_diags **diags);

/* Adds one; the place may be {0}. At most 1000 are kept, the rest only counted. */
void ib_diag(struct ib_diags *diags, struct ib_origin at, const char *fmt, ...) _printf_(3, 4);
/* Complete the diagnostic added last: what was expected, which name was perhaps meant. */
void ib_diag_expect(struct ib_diags *diags, const char *fmt, ...) _printf_(2, 3);
/* Looks for the nearest of `names` to `word` and, where one is close, suggests it. */
void ib_diag_nearest(struct ib_diags *diags, const char *word, const char *const *names,
                     size_t count);

/* Completes with "expected one of 'a', 'b' (WHERE)"; with WHERE alone where the names are many. */
void ib_diag_expect_names(struct ib_diags *diags, const char *const *names, size_t count,
                          const char *where);

size_t ib_diags_count(const struct ib_diags *diags); /* all that were added */
/* Whether something was reported at exactly this place: what follows from it is no news. */
bool ib_diags_has(const struct ib_diags *diags, struct ib_origin at);
/* Sorts by file, line, column (those without a file last) and drops exact repeats. */
void ib_diags_sort(struct ib_diags *diags);
/* The index-th kept one (index < ib_diags_kept); borrowed. */
size_t ib_diags_kept(const struct ib_diags *diags);
const struct ib_diag *ib_diags_get(const struct ib_diags *diags, size_t index);

/* One line: "FILE:LINE:COLUMN: MESSAGE; EXPECTATION; did you mean 'X'?". The caller frees. */
char *ib_diag_text(const struct ib_diag *diag);
/* All of them as such lines, each ended by a newline. The caller frees. */
char *ib_diags_text(const struct ib_diags *diags);
/* New array of objects {file, line, column, message, expectation, suggestion}; absent: null. */
struct json_t *ib_diags_json(const struct ib_diags *diags);

/*
 * The whole list as one IB_E_INVALID error: the first diagnostic as the cause, "and N more" where
 * there are more, the hint names `imgbuild check`. Returns -1; 0 when the list is empty.
 */
int ib_diags_to_error(const struct ib_diags *diags, struct ib_error **err);
