/* SPDX-License-Identifier: Apache-2.0 */
/* Asking before a disk is overwritten. */
#pragma once

#include "base/error.h"
#include "io/disk.h"

/* Shows the plan on the terminal (not standard input, which may be an image) and has the disk named
 * again. IB_E_REFUSED where it is not, IB_E_USAGE where there is no terminal. */
int ib_cli_confirm_disk(const struct ib_disk *disk, const char *plan,
                        struct ib_error **err) _must_check_;
