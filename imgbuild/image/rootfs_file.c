/* SPDX-License-Identifier: Apache-2.0 */
/* libsquashfs' file interface on a descriptor that the caller owns, and its error codes as errors.
 */
#include <errno.h>
#include <unistd.h>

#include "base/file.h"
#include "rootfs_internal.h"

static int file_result(struct rootfs_file *file, int result)
{
    if (result == 0)
        return 0;
    file->errnum = errno;
    return SQFS_ERROR_IO;
}

static int file_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
    struct rootfs_file *file = (struct rootfs_file *)base;

    return file_result(file, ib_pread_full(file->fd, buffer, size, offset));
}

static int file_write_at(sqfs_file_t *base, sqfs_u64 offset, const void *buffer, size_t size)
{
    struct rootfs_file *file = (struct rootfs_file *)base;

    if (ib_pwrite_full(file->fd, buffer, size, offset) < 0)
        return file_result(file, -1);
    file->size = IB_MAX(file->size, offset + size);
    return 0;
}

static sqfs_u64 file_get_size(const sqfs_file_t *base)
{
    return ((const struct rootfs_file *)base)->size;
}

static int file_truncate(sqfs_file_t *base, sqfs_u64 size)
{
    struct rootfs_file *file = (struct rootfs_file *)base;

    if (ftruncate(file->fd, (off_t)size) < 0)
        return file_result(file, -1);
    file->size = size;
    return 0;
}

static void file_destroy(sqfs_object_t *object _unused_)
{
}

void rootfs_file_init(struct rootfs_file *file, int fd)
{
    *file = (struct rootfs_file){
        .base = {.base = {.destroy = file_destroy},
                 .read_at = file_read_at,
                 .write_at = file_write_at,
                 .get_size = file_get_size,
                 .truncate = file_truncate},
        .fd = fd,
    };
}

static const char *describe(int code)
{
    switch (code) {
    case SQFS_ERROR_COMPRESSOR:
        return "zstd failed";
    case SQFS_ERROR_UNSUPPORTED:
        return "this libsquashfs does not support it";
    case SQFS_ERROR_OVERFLOW:
    case SQFS_ERROR_OUT_OF_BOUNDS:
        return "a table of the format is full";
    default:
        return "libsquashfs failed";
    }
}

int rootfs_fail(const struct rootfs *r, int code, const char *what, struct ib_error **err)
{
    if (code == SQFS_ERROR_IO)
        return ib_fail(err, IB_E_IO, r->file.errnum, NULL, what);
    if (code == SQFS_ERROR_ALLOC)
        return ib_fail(err, IB_E_INTERNAL, ENOMEM, NULL, what);
    return ib_failf(err, IB_E_INTERNAL, "cannot %s: %s (error %d)", what, describe(code), code);
}

void rootfs_destroyp(void *object_pointer)
{
    sqfs_destroy(*(void **)object_pointer);
}
