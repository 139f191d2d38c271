/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on the command line: passphrases from the terminal, and which keys are used. */
#pragma once

#include "cli/cli.h"
#include "io/minisign.h"
#include "io/trust.h"

/* Asks on /dev/tty without echo; the caller wipes (explicit_bzero) and frees. NULL and IB_E_USAGE
 * where there is no terminal or nothing was typed. */
char *ib_cli_ask_secret(const char *prompt, struct ib_error **err) _must_check_;
/* Asks twice. */
char *ib_cli_ask_new_secret(const char *prompt, struct ib_error **err) _must_check_;

/*
 * Loads the secret key to sign with: `path` (an option's value), else IMGBUILD_SIGN_KEY. *ret_found
 * is false where neither names one.
 */
int ib_cli_load_sign_key(const char *path, struct ib_minisign_secret *ret, bool *ret_found,
                         struct ib_error **err) _must_check_;

/* The trusted keys: --key's values, else those of io/trust.h with the project around, if any. */
struct ib_trust *ib_cli_load_trust(const struct ib_cli *cli, const struct ib_strv *keys,
                                   struct ib_error **err) _must_check_;
