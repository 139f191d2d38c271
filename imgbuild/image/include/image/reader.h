/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a disk or an image file by many threads: a block device past the page cache (what was
 * just written would be read from memory otherwise), a file through it.
 */
#pragma once

#include "base/error.h"

struct ib_reader;

/* A block device or regular file; anything else is IB_E_INVALID. */
struct ib_reader *ib_reader_open(const char *path, struct ib_error **err) _must_check_;
struct ib_reader *ib_reader_free(struct ib_reader *reader); /* returns NULL */
void ib_reader_freep(struct ib_reader **reader);

const char *ib_reader_name(const struct ib_reader *reader);
uint64_t ib_reader_size(const struct ib_reader *reader);
bool ib_reader_is_device(const struct ib_reader *reader);
int ib_reader_fd(const struct ib_reader *reader); /* through the page cache; borrowed */

/* A thread's own memory, which starts as {0}. */
struct ib_reader_buffer {
    uint8_t *data;
    size_t capacity;
};
void ib_reader_buffer_clear(struct ib_reader_buffer *buffer);

/* Reads any range; *ret points into the buffer until the next read into it. */
int ib_reader_read(const struct ib_reader *reader, struct ib_reader_buffer *buffer, uint64_t offset,
                   size_t size, const uint8_t **ret, struct ib_error **err) _must_check_;

/* Whether a range is a hole of a file: zeros that need not be read. Never of a device, which has no
 * such promise. */
bool ib_reader_is_hole(const struct ib_reader *reader, uint64_t offset, uint64_t size);

/* How many threads read and hash best: enough to keep a disk busy while others hash. At most 8. */
unsigned ib_reader_threads(void);
