/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading back what was written: checksums taken at writing, compared with what the medium gives.
 * A part of io/writer.h.
 */
#pragma once

#include "base/progress.h"
#include "io/target.h"

struct read_back;

/* `trails`: a thread reads while writing goes on, some way behind it. */
struct read_back *ib_read_back_new(struct ib_target *target, bool trails, struct ib_step *step);
struct read_back *ib_read_back_free(struct read_back *rb); /* stops; returns NULL */

/* These bytes were just written there; at most 1 MiB. Any thread. */
void ib_read_back_add(struct read_back *rb, const void *data, size_t size, uint64_t offset);

/* After the sync: compares all that was not compared yet. IB_E_VERIFY names the place. */
int ib_read_back_finish(struct read_back *rb, struct ib_progress *progress, uint64_t *ret_bytes,
                        struct ib_error **err) _must_check_;
