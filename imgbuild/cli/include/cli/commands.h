/* SPDX-License-Identifier: Apache-2.0 */
/* Every command, each defined in its own cmd_NAME.c. */
#pragma once

#include "cli/cli.h"

extern const struct ib_command ib_command_boot;
extern const struct ib_command ib_command_check;
extern const struct ib_command ib_command_clean;
extern const struct ib_command ib_command_completion;
extern const struct ib_command ib_command_diff;
extern const struct ib_command ib_command_doctor;
extern const struct ib_command ib_command_explain;
extern const struct ib_command ib_command_fetch;
extern const struct ib_command ib_command_flash;
extern const struct ib_command ib_command_inspect;
extern const struct ib_command ib_command_keygen;
extern const struct ib_command ib_command_list;
extern const struct ib_command ib_command_lock;
extern const struct ib_command ib_command_man;
extern const struct ib_command ib_command_node;
extern const struct ib_command ib_command_recovery;
extern const struct ib_command ib_command_schema;
extern const struct ib_command ib_command_show;
extern const struct ib_command ib_command_sign;
extern const struct ib_command ib_command_unpack;
extern const struct ib_command ib_command_verify;
