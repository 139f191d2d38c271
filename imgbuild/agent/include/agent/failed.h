/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the initrd cannot start the system: find out why, say it on the console, and restart, so
 * that boot counting can fall back to the version before.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

struct ib_failed {
    const char *cmdline; /* text of /proc/cmdline */
    const char *dev;     /* "/dev" */
    const char *sysfs;   /* "/sys" */
};

/*
 * Appends what is wrong with the root device, in lines for the console: a partition that roothash=
 * names and that is not there (with the disks that are), or verity that refused it. Nothing where
 * the root was opened.
 */
void ib_failed_explain_root(const struct ib_failed *f, struct ib_buf *ret);

/* Appends the failed units and the last errors of the journal. */
void ib_failed_list_units(struct ib_buf *ret);

/* A shell on the console, where the initrd holds one; until it ends. */
int ib_failed_shell(struct ib_error **err) _must_check_;

/* Waits and restarts the machine. Returns only where the kernel refuses. */
int ib_failed_restart(unsigned seconds, struct ib_error **err) _must_check_;
