/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives from outside (tar in any form and compression that libarchive reads), read into a tree.
 *
 * Everything is checked before it enters the tree: a name that leaves it ("..", absolute link
 * through a symbolic link), a hard link to something outside, a size beyond the stated bounds, a
 * sparse file that unpacks to more than them, or the same name twice with a different type is an
 * error that names the archive and the entry.
 */
#pragma once

#include "io/tree.h"

struct ib_archive_limits {
    uint64_t max_entries;      /* 0: 2,000,000 */
    uint64_t max_content_size; /* bytes of all regular files; 0: 64 GiB */
};

enum ib_archive_flags {
    IB_ARCHIVE_WHITEOUTS =
        1 << 0, /* OCI image spec, layer.md "Whiteouts": .wh.NAME, .wh..wh..opq */
};

/*
 * Reads the archive from fd and lays it over `tree`. File content is collected in `spool_fd`
 * (appended at its end, a temporary file of the caller's, which must stay while the tree is used).
 * `name` is for messages. On failure the tree is half-changed: throw it away.
 */
int ib_archive_read(struct ib_tree *tree, int fd, const char *name, int spool_fd,
                    enum ib_layer layer, unsigned flags, const struct ib_archive_limits *limits,
                    struct ib_progress *progress, struct ib_step *step,
                    struct ib_error **err) _must_check_;
