/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's command line as text (/proc/cmdline): words between blanks; of a key given twice the
 * last one counts, as for the kernel and systemd.
 */
#pragma once

#include "base/error.h"

/* What follows "KEY=", or NULL where the key is absent. The caller frees. */
char *ib_cmdline_value(const char *cmdline, const char *key);
/* Is the bare word there? */
bool ib_cmdline_has(const char *cmdline, const char *word);

/*
 * The UUIDs of the data and the hash partition that a root hash names: its first and its last 128
 * bits, in either half's written order (Discoverable Partitions Specification). False for text that
 * is no SHA-256.
 */
bool ib_cmdline_root_uuids(const char *roothash, char data[static 37], char hash[static 37]);
