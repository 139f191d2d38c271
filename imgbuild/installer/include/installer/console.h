/* SPDX-License-Identifier: Apache-2.0 */
/* Talking with whoever sits at the machine: lines on standard output and input. */
#pragma once

#include "base/error.h"
#include "base/progress.h"

/* A line without its end and without blanks around it, after the question; NULL at the end of
 * input. The caller frees. */
char *ib_console_ask(const char *fmt, ...) _printf_(1, 2);
void ib_console_say(const char *fmt, ...) _printf_(1, 2);

/* Notes and steps as lines, each tenth of a step's bytes: a serial console keeps all it is sent. */
struct ib_progress *ib_console_progress(void);

/* A shell, until it ends. */
int ib_console_shell(struct ib_error **err) _must_check_;
