/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>

#include "base/file.h"
#include "image/artifact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    static uint8_t bytes[70000];

    if (fd < 0 || ib_write_full(fd, data, size) < 0)
        return 0;
    _cleanup_(ib_artifact_freep) struct ib_artifact *a = ib_artifact_open_fd(fd, "fuzz", NULL);
    if (!a)
        return 0;
    uint64_t disk = ib_artifact_manifest(a)->disk_size_bytes;
    for (uint64_t at = 0; at < disk && at < 4 * IB_MIB; at += IB_MIB)
        if (ib_artifact_read(a, bytes, (size_t)IB_MIN(sizeof(bytes), disk - at), at, NULL) < 0)
            break;
    if (disk <= 4 * IB_MIB) {
        _cleanup_(ib_closep) int out = memfd_create("out", MFD_CLOEXEC);
        if (ib_artifact_unpack(a, 0, 0, out, NULL, NULL, NULL) < 0)
            return 0;
    }
    return 0;
}
