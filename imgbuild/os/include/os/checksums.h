/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of SHA-256 sums as projects publish them beside their files, in the two forms of
 * sha256sum(1):
 *
 *     HEX  NAME                  (or "HEX *NAME")
 *     SHA256 (NAME) = HEX        (--tag), where Fedora adds "# NAME: BYTES bytes"
 *
 * Sums of other algorithms in the second form are passed over, and so are comments. Anything else
 * is an error: a list that we do not fully understand is not a list to trust.
 */
#pragma once

#include "base/error.h"
#include "base/hash.h"

struct ib_checksum {
    char *name;
    struct ib_sha256 sha256;
    uint64_t size_bytes; /* 0: not given */
};

/* Starts as {0}. */
struct ib_checksums {
    struct ib_checksum *items; /* in the order of the file */
    size_t count;
};

/* `file` is for messages ("FILE:LINE: …"). IB_E_INVALID also where a name has two sums. */
int ib_checksums_parse(const char *file, const void *data, size_t size, struct ib_checksums *ret,
                       struct ib_error **err) _must_check_;
void ib_checksums_clear(struct ib_checksums *list);

/* Borrowed; NULL where the name is not listed. */
const struct ib_checksum *ib_checksums_find(const struct ib_checksums *list, const char *name);
