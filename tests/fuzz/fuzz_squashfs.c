/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/squashfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t count;
    uint8_t bytes[4096];

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return 0;
    _cleanup_(ib_squashfs_freep) struct ib_squashfs *fs = ib_squashfs_open(fd, 0, size, "x", NULL);
    if (!fs)
        return 0;
    const struct ib_squashfs_entry *entries = ib_squashfs_entries(fs, &count);
    for (size_t i = 0; i < count && i < 100; i++) {
        const struct ib_squashfs_entry *e = &entries[i];
        size_t n = (size_t)IB_MIN(e->size, (uint64_t)sizeof(bytes));
        if (S_ISREG(e->mode) && ib_squashfs_read(fs, e, bytes, n, 0, NULL) < 0)
            return 0;
    }
    return 0;
}
