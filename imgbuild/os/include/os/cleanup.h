/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a root must not carry: whatever identifies the machine that built it, depends on when it was
 * built, or is only needed while building. Afterwards the same packages give the same tree.
 */
#pragma once

#include "io/tree.h"

/*
 * Removes and empties by the table in cleanup.c, drops __pycache__ directories and kernel images
 * from /boot, gives the runtime's mount points to the tree, and sets every time to mtime_s.
 */
int ib_cleanup_tree(struct ib_tree *tree, int64_t mtime_s, struct ib_error **err) _must_check_;
