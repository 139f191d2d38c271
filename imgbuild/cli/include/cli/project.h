/* SPDX-License-Identifier: Apache-2.0 */
/* What commands that work on a project share: opening it, and showing what is wrong with it. */
#pragma once

#include "cli/cli.h"
#include "ops/project.h"
#include "os/sandbox.h"

/*
 * Opens the project of -C, on the base of that name where it is not NULL. Mistakes in recipes are
 * all printed (as text, or JSON with --json) on stderr before the call fails with IB_E_INVALID.
 */
int ib_cli_open_project(struct ib_cli *cli, const char *base, struct ib_project *ret,
                        struct ib_error **err) _must_check_;
/* Prints what a later step put into diags. */
void ib_cli_print_diags(const struct ib_cli *cli, const struct ib_diags *diags);

/* --sandbox's value; "auto" where NULL. The option's choices were checked. */
enum ib_sandbox_engine ib_cli_sandbox(const char *value);
#define IB_CLI_SANDBOX_CHOICES "auto|namespace|guestfs"
