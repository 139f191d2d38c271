/* SPDX-License-Identifier: Apache-2.0 */
/* What the kinds of sources share. Each kind embeds a struct ib_source as its first member. */
#pragma once

#include "io/source.h"

struct ib_source_ops {
    /* Up to size (> 0) bytes from offset, at least one where it is not the end. A sequential source
     * sets `size` when it meets its end. */
    int (*read_some)(struct ib_source *source, void *data, size_t size, uint64_t offset,
                     size_t *ret, struct ib_error **err);
    void (*plan)(struct ib_source *source, const struct ib_source_range *ranges, size_t count);
    void (*free)(struct ib_source *source); /* all of it */
};

struct ib_source {
    const struct ib_source_ops *ops;
    char *name;
    int fd;        /* of a file; -1 otherwise */
    uint64_t size; /* or IB_SOURCE_SIZE_UNKNOWN */
    bool sequential;
    uint64_t position; /* sequential: behind the last byte read */
    uint8_t *head;     /* the first bytes, after a peek */
    size_t head_size;
};

/* The fields above; takes the name. */
void ib_source_init(struct ib_source *source, const struct ib_source_ops *ops, char *name,
                    bool sequential);
void ib_source_clear(struct ib_source *source);

/* ib_source_open_fd with offsets that count from the descriptor's position, and with a place to ask
 * whether to stop. */
struct ib_source *ib_source_file_new(int fd, const char *name, bool from_position,
                                     struct ib_progress *progress,
                                     struct ib_error **err) _must_check_;
struct ib_source *ib_source_http_new(const char *url, const struct ib_source_options *options,
                                     struct ib_error **err) _must_check_;
