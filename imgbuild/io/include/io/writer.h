/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing a stream of pieces to a target: many threads fill them, a few write, in bounded memory.
 *
 *     ib_writer_reserve(w, offset, size, &piece, err)   one thread at a time, offsets ascend
 *     fill piece.data                                   any thread, in any order
 *     ib_writer_commit(w, &piece)
 *     ib_writer_finish(w, &result, err)                 all is on the medium and was compared
 *
 * Pieces need no alignment: neighbours lie in one ring of memory as they lie on the target, so a
 * write is cut from it where the target wants, and nothing is copied. Where a run of pieces begins
 * or ends inside a block, the rest of the block is read from the target first.
 *
 * Reading back compares what the medium gives with a checksum (XXH3, 64 bits) taken as it was
 * written; reads are direct, and trail the writes or wait for their end.
 */
#pragma once

#include "base/progress.h"
#include "io/target.h"

#define IB_WRITER_PIECE_MAX (16 * IB_MIB)

struct ib_writer;

struct ib_writer_options {
    unsigned depth;      /* writes at once; 0: 4; fewer while the device takes long for each */
    bool read_back;      /* compare what was written */
    bool read_trails;    /* … while writing goes on, instead of at the end */
    uint64_t ring_bytes; /* 0: 32 MiB; at least twice the largest piece */
    struct ib_progress *progress;
    struct ib_step *write_step; /* advanced by bytes of pieces written; may be NULL */
    struct ib_step *read_step;  /* … read back; may be NULL */
};

struct ib_writer_piece {
    uint8_t *data;
    size_t size;
    uint64_t position; /* the writer's own */
    uint64_t first;
};

struct ib_writer_result {
    uint64_t written_bytes;   /* with the blocks' rests */
    uint64_t read_back_bytes; /* compared */
};

/* The target and the options' pointers are borrowed. */
struct ib_writer *ib_writer_new(struct ib_target *target, const struct ib_writer_options *options,
                                struct ib_error **err) _must_check_;
/* Stops all threads; what was not written stays so. Returns NULL. */
struct ib_writer *ib_writer_free(struct ib_writer *writer);
void ib_writer_freep(struct ib_writer **writer);

/* Waits for room. Fails with the error of a write that went wrong, or when the user stops. A piece
 * that was reserved must be committed unless the writer is given up. */
int ib_writer_reserve(struct ib_writer *writer, uint64_t offset, size_t size,
                      struct ib_writer_piece *ret, struct ib_error **err) _must_check_;
void ib_writer_commit(struct ib_writer *writer, const struct ib_writer_piece *piece);

/* Writes what is left, syncs the target, and reads back what is still to compare. IB_E_VERIFY when
 * the medium gives other bytes than were written. */
int ib_writer_finish(struct ib_writer *writer, struct ib_writer_result *ret,
                     struct ib_error **err) _must_check_;
