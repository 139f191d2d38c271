/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

int ib_ring_make(struct ring *ring, size_t size, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = memfd_create("imgbuild", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "set memory aside");
    uint8_t *base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return ib_fail(err, IB_E_IO, errno, NULL, "set memory aside");
    for (int half = 0; half < 2; half++) {
        void *at = base + (size_t)half * size;
        if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
            ib_fail(err, IB_E_IO, errno, NULL, "set memory aside");
            munmap(base, 2 * size);
            return -1;
        }
    }
    *ring = (struct ring){base, size};
    return 0;
}

void ib_ring_clear(struct ring *ring)
{
    if (ring->base)
        munmap(ring->base, 2 * ring->size);
    *ring = (struct ring){0};
}
