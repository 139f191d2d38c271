/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of memory that is mapped twice in a row, so that a piece which wraps around is contiguous
 * all the same.
 */
#pragma once

#include "base/error.h"

struct ring {
    uint8_t *base;
    size_t size; /* a power of two, a multiple of the page */
};

int ib_ring_make(struct ring *ring, size_t size, struct ib_error **err) _must_check_;
void ib_ring_clear(struct ring *ring);

static inline uint8_t *ib_ring_at(const struct ring *ring, uint64_t position)
{
    return ring->base + (position & (ring->size - 1));
}
