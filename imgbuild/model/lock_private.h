/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "model/lock.h"

void ib_lock_sort(struct ib_lock *lock);
char *ib_lock_date_format(int64_t date_s); /* "2026-11-20T00:00:00Z"; the caller frees */
