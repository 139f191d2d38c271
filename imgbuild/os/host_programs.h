/* SPDX-License-Identifier: Apache-2.0 */
/* The table of programs that imgbuild runs, for os/host.h: who needs them, what brings them. */
#pragma once

#include "base/util.h"

struct ib_host_program {
    const char *name;     /* looked up on PATH; or the full path of a file that we read */
    const char *package;  /* its package on this distribution */
    const char *used_for; /* a noun phrase */
};                        /* all strings are static */

/* The index-th program for this machine, by name; false behind the last. */
bool ib_host_program(size_t index, struct ib_host_program *ret);
const char *ib_host_installer(void); /* "apt install", "dnf install" */
