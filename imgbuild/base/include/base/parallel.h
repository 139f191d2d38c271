/* SPDX-License-Identifier: Apache-2.0 */
/* The same work on several threads at once. */
#pragma once

#include "base/error.h"

/* One thread's share: 0, or -1 and an error. It finds out by its own means that another has failed
 * (a flag in userdata that whoever fails sets). */
typedef int (*ib_parallel_fn)(void *userdata, struct ib_error **err);

/* Runs `work` on `threads` threads, this one among them, and waits for all. The first error is the
 * caller's. Fewer threads than asked for are no error. */
int ib_parallel_run(unsigned threads, ib_parallel_fn work, void *userdata,
                    struct ib_error **err) _must_check_;
