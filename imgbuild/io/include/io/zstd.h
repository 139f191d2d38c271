/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain zstd streams (RFC 8878), as any zstd program reads them: frames one after another, skippable
 * frames passed over.
 */
#pragma once

#include "base/error.h"
#include "base/progress.h"

/*
 * Decompresses in_fd from its current position to its end into out_fd from offset 0, leaving runs of
 * zeros as holes, and sets out_fd's size. `step` advances by compressed bytes. A stream that ends in
 * the middle of a frame, or unpacks to more than max_size_bytes, is IB_E_INVALID.
 */
int ib_zstd_unpack(int in_fd, int out_fd, uint64_t max_size_bytes, struct ib_progress *progress,
                   struct ib_step *step, uint64_t *ret_size_bytes,
                   struct ib_error **err) _must_check_;
