/* SPDX-License-Identifier: Apache-2.0 */
/* Private to io/target*.c. */
#pragma once

#include <stdatomic.h>

#include "io/target.h"

struct ib_target {
    char *name;
    uint64_t size_bytes;
    uint32_t block, logical_block;
    bool is_disk, is_removable;
    bool is_new;           /* a file that we made: its directory has to be synced too */
    bool zeroes_offloaded; /* of the disk, when it was opened */
    int fd;                /* through the page cache; holds the lock and, for a disk, O_EXCL */
    int direct_fd;         /* past it; -1: not possible here */
    atomic_bool direct;    /* false from the first time that the device refuses direct I/O */
    atomic_bool no_punch;  /* the range operations do not work here, or do not give zeros */
};
