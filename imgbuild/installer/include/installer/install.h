/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a node's image from the stick onto this machine's disk. */
#pragma once

#include "base/progress.h"
#include "installer/medium.h"
#include "io/disk.h"

/* The one disk that the node's rule means, waiting for it as long as none does. The caller clears.
 */
int ib_install_find_disk(const struct ib_medium_node *node, unsigned timeout_s, struct ib_disk *ret,
                         struct ib_error **err) _must_check_;

struct ib_install {
    const struct ib_stick *stick;
    const struct ib_medium_node *node;
    struct ib_disk *disk; /* gets a refusal where it is the stick */
    /* Shows the plan and asks; 0 to go on. NULL: nobody is asked. */
    int (*confirm)(const struct ib_install *install, const char *plan, struct ib_error **err);
    struct ib_progress *progress;
};

/* Checks, plans, asks and writes; all is on the medium afterwards. */
int ib_install_run(const struct ib_install *install, struct ib_error **err) _must_check_;
