/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of this machine, printed: `imgbuild flash --list`. */
#pragma once

#include "cli/cli.h"

/* A table on cli->out, or JSON with --json: what each disk is, what is on it, and why it would be
 * refused. With `all`, also what is not a disk of this machine (ib_disks_list). */
int ib_cli_list_disks(struct ib_cli *cli, bool all, struct ib_error **err) _must_check_;
