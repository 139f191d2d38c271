/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the packed formats share. A format unpacks one member (zstd and lz4: frame; gzip: member;
 * bzip2, xz: stream) at a time; unpacker.c feeds it, finds the next member and decides what an end
 * of the source means.
 */
#pragma once

#include "io/unpacker.h"

enum ib_unpack_result { IB_UNPACK_MORE, IB_UNPACK_MEMBER_END, IB_UNPACK_FAILED };

/* One call's input and output; the format moves both. */
struct ib_unpack_io {
    const uint8_t *in;
    size_t in_size;
    uint8_t *out;
    size_t out_size;
    bool at_end; /* nothing follows behind `in` */
};

struct ib_unpack_format {
    const char *name;
    /* Whether a member begins with these bytes (`size` may be small at the end of the source). */
    bool (*begins)(const uint8_t *data, size_t size);
    bool skippable;               /* members of the "skippable frames" that zstd and lz4 share */
    void *(*new)(void);           /* the state; ends the program when memory runs out */
    void (*restart)(void *state); /* before every member */
    enum ib_unpack_result (*run)(void *state, struct ib_unpack_io *io, struct ib_error **err);
    void (*free)(void *state);
    /* The raw size, from the first bytes, or from a file (source may be sequential): or unknown. */
    uint64_t (*raw_size)(const uint8_t *head, size_t size, struct ib_source *source);
};

extern const struct ib_unpack_format ib_unpack_bzip2;
extern const struct ib_unpack_format ib_unpack_gzip;
extern const struct ib_unpack_format ib_unpack_lz4;
extern const struct ib_unpack_format ib_unpack_xz;
extern const struct ib_unpack_format ib_unpack_zstd;

static inline void ib_unpack_advance(struct ib_unpack_io *io, size_t in, size_t out)
{
    io->in += in;
    io->in_size -= in;
    io->out += out;
    io->out_size -= out;
}
