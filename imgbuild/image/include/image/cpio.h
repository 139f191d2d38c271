/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpio archives in the "newc" form, which the kernel unpacks into its initramfs.
 *
 * Format: Linux Documentation/driver-api/early-userspace/buffer-format.rst; magic 070701. Written
 * by us so that the bytes depend on the tree alone: entries by path, inode numbers from 1, one
 * time for all. The format has no xattrs, and none are written.
 */
#pragma once

#include "io/tree.h"

/* An archive we read holds at most this many entries, each name at most 4095 bytes. */
enum { IB_CPIO_ENTRIES_MAX = 100000 };

/*
 * Appends the tree, without its root directory itself, to `ret` as an uncompressed archive that is
 * padded to four bytes. mtime_s: 0 to UINT32_MAX, for every entry. Sockets are IB_E_INVALID.
 */
int ib_cpio_write(const struct ib_tree *tree, uint64_t mtime_s, struct ib_buf *ret,
                  struct ib_error **err) _must_check_;

/*
 * Reads one uncompressed archive of exactly size bytes (zeros may follow its trailer) into `tree`.
 * It may come from anywhere. `name` is for messages.
 */
int ib_cpio_read(const void *data, size_t size, const char *name, struct ib_tree *tree,
                 struct ib_error **err) _must_check_;

/*
 * Finds the last archive that ib_cpio_write appended to an initrd, whatever stands before it: the
 * offset where it begins. False when the data does not end in one.
 */
bool ib_cpio_find_last(const void *data, size_t size, size_t *ret_offset) _must_check_;
