/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the files of a container image lie: in a directory, or in an archive that was read into a
 * tree of its own. Private to os/.
 */
#pragma once

#include <sys/types.h>

#include "io/tree.h"

struct ib_oci_store {
    const char *path;      /* of the directory or the archive; borrowed */
    struct ib_tree *files; /* of the archive; NULL for a directory */
};

/* One file of it, open for reading. */
struct ib_oci_file {
    int fd;                       /* -1 where it lies in an archive */
    const struct ib_inode *inode; /* there */
    uint64_t size_bytes, position;
};

/* Opens the image; an archive is unpacked to spool_fd. Clear the store in any case. */
int ib_oci_store_open(struct ib_oci_store *store, const char *path, int spool_fd,
                      struct ib_progress *progress, struct ib_step *step, struct ib_error **err);
void ib_oci_store_clear(struct ib_oci_store *store);
bool ib_oci_store_has(const struct ib_oci_store *store, const char *name);

/* `name` is relative to the store. Close the file in any case (start with fd -1). */
int ib_oci_file_open(const struct ib_oci_store *store, const char *name, struct ib_oci_file *ret,
                     struct ib_error **err);
void ib_oci_file_close(struct ib_oci_file *file);
/* As ib_read_fn. */
ssize_t ib_oci_file_read(struct ib_oci_file *file, void *data, size_t size, struct ib_error **err);
