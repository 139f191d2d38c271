/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image comes from: a file, a pipe or an HTTP(S) server, read by offset.
 *
 * A file is read at any offset by any thread. A pipe and a server are *sequential*: one thread at a
 * time, offsets only grow, and what lies between two reads is passed over (a pipe) or never asked
 * for (a server). A server's bytes are fetched ahead in several Range requests at once, by a thread
 * of the source's own, which holds at most ahead_bytes and what is being read; all answers must be
 * of one version (ETag or Last-Modified, and length), or it is IB_E_NETWORK. A server that ignores
 * Range is read as one stream. docs/reference/sources.md has the whole table.
 */
#pragma once

#include "base/error.h"
#include "base/progress.h"

#define IB_SOURCE_SIZE_UNKNOWN UINT64_MAX

struct ib_source;

struct ib_source_options {
    const char *ca_file;          /* PEM; NULL: the system's */
    unsigned connections;         /* at once; 0: 4 */
    unsigned retries;             /* per range, with back-off; 0: 5 */
    unsigned retry_delay_ms;      /* before the first retry, then doubled; 0: 1000 */
    unsigned stall_seconds;       /* no byte for so long is a failure; 0: 30 */
    uint64_t ahead_bytes;         /* bound of what is fetched ahead; 0: 16 MiB */
    struct ib_progress *progress; /* notes of retries; asked whether to stop */
};

/* spec: a path, "-" (standard input), or an http:// or https:// URL. `options` may be NULL; what it
 * points to must outlive the source. */
struct ib_source *ib_source_open(const char *spec, const struct ib_source_options *options,
                                 struct ib_error **err) _must_check_;
/* A source on an open file or pipe; the source keeps its own duplicate. `name` is for messages. */
struct ib_source *ib_source_open_fd(int fd, const char *name, struct ib_error **err) _must_check_;
/*
 * A source put together from pieces of an open file or device, which follow one another in the
 * order given; random access, as a file. Keeps its own duplicate. IB_E_INVALID for a piece beyond
 * the end of the file.
 */
struct ib_source_range;
struct ib_source *ib_source_open_pieces(int fd, const char *name,
                                        const struct ib_source_range *pieces, size_t count,
                                        struct ib_error **err) _must_check_;
struct ib_source *ib_source_free(struct ib_source *source); /* returns NULL */
void ib_source_freep(struct ib_source **source);

const char *ib_source_name(const struct ib_source *source);
/* The file's descriptor, for questions about where it lies; -1: not a file. */
int ib_source_fd(const struct ib_source *source);
uint64_t ib_source_size(const struct ib_source *source); /* or IB_SOURCE_SIZE_UNKNOWN */
bool ib_source_is_sequential(const struct ib_source *source);

/*
 * The first bytes, up to 64 KiB (*ret is less only where the source is shorter), without using them
 * up: a sequential source keeps them and reading still begins at 0. Before any read. Borrowed.
 */
#define IB_SOURCE_PEEK_MAX (64 * IB_KIB)
int ib_source_peek(struct ib_source *source, size_t size, const uint8_t **ret_data, size_t *ret,
                   struct ib_error **err) _must_check_;

/* Exactly size bytes from offset; an early end is IB_E_INVALID ("ends early"). */
int ib_source_read(struct ib_source *source, void *data, size_t size, uint64_t offset,
                   struct ib_error **err) _must_check_;
/* Up to size bytes from offset, 0 at the end: *ret. */
int ib_source_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                        size_t *ret, struct ib_error **err) _must_check_;

/* What will be read, in order, so that a server is asked for nothing else. Optional; may be said
 * once more later (offsets behind all that was read). Ranges are copied, neighbours are joined. */
struct ib_source_range {
    uint64_t offset, size;
};
void ib_source_plan(struct ib_source *source, const struct ib_source_range *ranges, size_t count);

/* Whether the source has ended at `offset` exactly: IB_E_INVALID when bytes follow or are missing
 * (a file or server tells by its size, a pipe is read to its end). */
int ib_source_expect_end(struct ib_source *source, uint64_t offset,
                         struct ib_error **err) _must_check_;
