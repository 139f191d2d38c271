/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostic lines on stderr for whoever debugs imgbuild (IB_LOG=debug, --verbose). Results and
 * errors never go this way: results are returned, errors are error objects, progress is events.
 */
#pragma once

#include "base/util.h"

enum ib_log_level { IB_LOG_WARNING, IB_LOG_INFO, IB_LOG_DEBUG };

/* The only global state of the program. Default: IB_LOG_WARNING. */
void ib_log_set_level(enum ib_log_level level);
void ib_log(enum ib_log_level level, const char *fmt, ...) _printf_(2, 3);

#define ib_debug(...) ib_log(IB_LOG_DEBUG, __VA_ARGS__)
