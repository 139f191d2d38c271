/* SPDX-License-Identifier: Apache-2.0 */
#include "oci_store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/archive.h"

int ib_oci_store_open(struct ib_oci_store *store, const char *path, int spool_fd,
                      struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);
    struct stat st;

    store->path = path;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "open");
    if (S_ISDIR(st.st_mode))
        return 0;
    store->files = ib_tree_new();
    _cleanup_(ib_step_failp) struct ib_step *read_step = ib_step_begin(
        progress, step, "read", ib_path_base(path), (uint64_t)st.st_size, IB_UNIT_BYTES);
    if (ib_archive_read(store->files, fd, path, spool_fd, IB_LAYER_BASE, 0, NULL, progress,
                        read_step, err) < 0)
        return -1;
    ib_step_end(ib_steal(&read_step), IB_STEP_DONE);
    return 0;
}

void ib_oci_store_clear(struct ib_oci_store *store)
{
    store->files = ib_tree_free(store->files);
}

bool ib_oci_store_has(const struct ib_oci_store *store, const char *name)
{
    if (store->files)
        return ib_tree_resolve(store->files, name) != NULL;
    _cleanup_(ib_freep) char *path = ib_path_join(store->path, name);
    return ib_path_exists(path);
}

static int fail_missing(const struct ib_oci_store *store, const char *name, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' holds no file '%s'", store->path, name);
    return ib_hint(err, "get the image again: it is incomplete");
}

int ib_oci_file_open(const struct ib_oci_store *store, const char *name, struct ib_oci_file *ret,
                     struct ib_error **err)
{
    if (store->files) {
        const struct ib_node *node = ib_tree_resolve(store->files, name);
        if (!node || !S_ISREG(node->inode->mode))
            return fail_missing(store, name, err);
        ret->inode = node->inode;
        ret->size_bytes = node->inode->size;
        return 0;
    }

    _cleanup_(ib_freep) char *path = ib_path_join(store->path, name);
    struct stat st;
    ret->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* not waiting for a fifo */
    if (ret->fd < 0 && errno == ENOENT)
        return fail_missing(store, name, err);
    if (ret->fd < 0 || fstat(ret->fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "open");
    if (!S_ISREG(st.st_mode))
        return fail_missing(store, name, err);
    ret->size_bytes = (uint64_t)st.st_size;
    return 0;
}

void ib_oci_file_close(struct ib_oci_file *file)
{
    ib_closep(&file->fd);
}

ssize_t ib_oci_file_read(struct ib_oci_file *file, void *data, size_t size, struct ib_error **err)
{
    size_t n = (size_t)IB_MIN(file->size_bytes - file->position, (uint64_t)size);

    if (n == 0)
        return 0;
    if (file->inode) {
        if (ib_inode_read(file->inode, data, n, file->position, err) < 0)
            return -1;
    } else if (ib_pread_full(file->fd, data, n, file->position) < 0)
        return ib_failf(err, IB_E_IO, "reading failed: %s", strerror(errno));
    file->position += n;
    return (ssize_t)n;
}
