/* SPDX-License-Identifier: Apache-2.0 */
/* Text from outside (labels, file names, command lines) on a terminal. */
#pragma once

#include <stdio.h>

/* Prints s with control characters as '?': an image must not drive the user's terminal. */
void ib_text_print(FILE *out, const char *s);
