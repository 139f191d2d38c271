/* SPDX-License-Identifier: Apache-2.0 */
/* The stick that this environment was started from. */
#pragma once

#include "image/medium.h"

struct ib_stick {
    int fd;     /* its data partition, read-only; -1: not open */
    char *path; /* of the partition */
    struct ib_medium medium;
};

/*
 * Waits for the partition that `imgbuild.medium=` on the kernel's command line names by the SHA-256
 * of its index, and checks that the index has it. The caller closes.
 */
int ib_stick_open(const char *cmdline, const char *dev, unsigned timeout_s, struct ib_stick *ret,
                  struct ib_error **err) _must_check_;
void ib_stick_close(struct ib_stick *stick);

/* The node with a MAC address of one of this machine's interfaces below `sysfs` ("/sys"), or
 * NULL. Two such nodes are NULL, too: somebody has to say which. */
const struct ib_medium_node *ib_stick_find_node(const struct ib_stick *stick, const char *sysfs);
