/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to image/: chunks go in, frames come out in the same order, compressed and hashed by
 * several threads in between. One thread calls all of this; memory is bounded by the slots.
 */
#pragma once

#include "image/frames.h"

struct frame_pool;

/* Called by ib_frame_pool_add and _finish, in order, on the caller's thread. `data` are frame->size
 * bytes, or NULL for a frame that was found in a store. 0, or -1 and an error. */
typedef int (*frame_pool_fn)(const struct ib_frame *frame, const void *data, void *userdata,
                             struct ib_error **err);

struct frame_pool *ib_frame_pool_new(const struct ib_frames_job *job, frame_pool_fn fn,
                                     void *userdata);
void ib_frame_pool_freep(struct frame_pool **pool); /* stops the threads */

/* Takes a copy of at most IB_CHUNK_MAX bytes. */
int ib_frame_pool_add(struct frame_pool *pool, const void *raw, size_t size,
                      struct ib_error **err) _must_check_;
/* At most IB_FRAME_RAW_MAX zeros. */
int ib_frame_pool_add_zeros(struct frame_pool *pool, size_t size,
                            struct ib_error **err) _must_check_;
int ib_frame_pool_finish(struct frame_pool *pool, struct ib_error **err) _must_check_;
