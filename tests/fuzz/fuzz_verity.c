/* SPDX-License-Identifier: Apache-2.0 */
/* A disk whose first half is data and whose second half is a hash tree. */
#include <stdio.h>
#include <sys/mman.h>

#include "base/file.h"
#include "image/verity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    char path[64];

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    _cleanup_(ib_reader_freep) struct ib_reader *reader = ib_reader_open(path, NULL);
    if (!reader)
        return 0;
    const struct ib_verity_place place = {.reader = reader,
                                          .data_size = size / 2,
                                          .hash_offset = size / 2,
                                          .hash_size = size - size / 2};
    struct ib_sha256 root;
    uint64_t covered;
    if (ib_verity_read_root_hash(&place, &root, &covered, NULL) < 0)
        return 0;
    if (covered > size / 2)
        abort();
    if (ib_verity_check_place(&place, &root, NULL, NULL, NULL) < 0)
        return 0;
    return 0;
}
