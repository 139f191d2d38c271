/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives from outside (tar in any form, plain or compressed with gzip, bzip2, xz, lzma, zstd, lz4
 * or compress), read into a tree.
 *
 * Everything is checked before it enters the tree. An error that names the archive and the entry:
 *
 *   - a name with "..", or an absolute one (`tar -P`), for it means to leave the tree. Only layers
 *     (IB_ARCHIVE_WHITEOUTS) may hold absolute names, as some image builders write them: there, "/"
 *     is the tree's root;
 *   - a name below a symbolic link that the same archive brought. A link that stood in the tree
 *     before is followed, inside the tree, as a process chrooted into it would: packages bring
 *     "lib/x" where "lib" leads to "usr/lib";
 *   - a hard link to what is not in the tree;
 *   - the same name twice with different types. With one type the later one wins, as tar has it;
 *   - more entries, content (holes of sparse files count) or metadata than the limits;
 *   - a name over 4095 bytes or with a part over 255; an archive that is cut off or damaged.
 *
 * Kept: owners as numbers, modes, times (seconds), devices, hard links, xattrs with their bytes.
 * ACLs become system.posix_acl_* xattrs. security.selinux always ends in one NUL, as the kernel
 * stores what setfiles writes, although GNU tar (--selinux) leaves it out. File flags are dropped.
 */
#pragma once

#include <sys/types.h>

#include "io/tree.h"

struct ib_archive_limits {
    uint64_t max_entries;      /* 0: 2,000,000 */
    uint64_t max_content_size; /* bytes of all regular files; 0: 64 GiB */
};

enum ib_archive_flags {
    IB_ARCHIVE_WHITEOUTS = 1 << 0, /* OCI image spec, layer.md "Whiteouts": .wh.NAME, .wh..wh..opq */
};

/*
 * Reads the archive from fd, from where it stands to its end, and lays it over `tree`. File content
 * is collected in `spool_fd` (appended at its end, a temporary file of the caller's, which must stay
 * while the tree is used). `name` is for messages. `step` advances by the bytes read from fd. On
 * failure the tree is half-changed: throw it away.
 */
int ib_archive_read(struct ib_tree *tree, int fd, const char *name, int spool_fd,
                    enum ib_layer layer, unsigned flags, const struct ib_archive_limits *limits,
                    struct ib_progress *progress, struct ib_step *step,
                    struct ib_error **err) _must_check_;

/* Reads up to `size` bytes; the number, 0 at the end, or -1 and an error. */
typedef ssize_t (*ib_read_fn)(void *userdata, void *data, size_t size, struct ib_error **err);

/* The same from any other place. `read` is called until it says 0 (so that it can hash it all). */
int ib_archive_read_stream(struct ib_tree *tree, ib_read_fn read, void *userdata, const char *name,
                           int spool_fd, enum ib_layer layer, unsigned flags,
                           const struct ib_archive_limits *limits, struct ib_progress *progress,
                           struct ib_step *step, struct ib_error **err) _must_check_;
