/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "image/gpt.h"
#include "image/gpt_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input as the start of a disk of 2 MiB, without a backup at its end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_closep) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    _cleanup_(ib_gpt_clear) struct ib_gpt gpt = {0};

    if (fd < 0 || size > 2 * IB_MIB || ftruncate(fd, 2 * IB_MIB) < 0 ||
        ib_pwrite_full(fd, data, size, 0) < 0)
        return 0;
    bool good = ib_gpt_check(fd, "fuzz", NULL, NULL) == 0;
    if (ib_gpt_read(fd, "fuzz", &gpt, NULL) < 0)
        return 0;
    for (size_t i = 0; i < gpt.partition_count; i++)
        if (gpt.partitions[i].offset_bytes + gpt.partitions[i].size_bytes > 2 * IB_MIB)
            abort();
    if (good && gpt.disk_size_bytes != 2 * IB_MIB)
        abort();
    return 0;
}
