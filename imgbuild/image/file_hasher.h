/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to image/: the SHA-256 of a file while it is being written, by a second thread that reads
 * behind the writer (from the page cache). So hashing costs no time of its own on two CPUs, and
 * what is hashed is what is in the file.
 */
#pragma once

#include "base/hash.h"

struct file_hasher;

/* fd: open for reading too, borrowed until the end. name is for messages. */
struct file_hasher *ib_file_hasher_new(int fd, const char *name);
/* Tells how far the file is written; also starts its way to the disk, for a short fsync later. */
void ib_file_hasher_written(struct file_hasher *hasher, uint64_t size_bytes);
/* Waits until everything told is hashed. */
int ib_file_hasher_finish(struct file_hasher *hasher, struct ib_sha256 *ret,
                          struct ib_error **err) _must_check_;
void ib_file_hasher_freep(struct file_hasher **hasher); /* stops the thread */
