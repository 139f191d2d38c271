/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of io/disk.h over other trees than the running machine's: a recorded machine in a
 * test, a chroot. `dev` may hold regular files in place of devices: they are read as images.
 */
#pragma once

#include "io/disk.h"

struct ib_disk_roots {
    const char *sys;  /* "/sys": class/block, fs/btrfs, fs/bcachefs */
    const char *proc; /* "/proc": self/mountinfo, swaps */
    const char *dev;  /* "/dev": the nodes by their kernel names, disk/by-id, mapper */
};

extern const struct ib_disk_roots ib_disk_live;

int ib_disks_list_at(const struct ib_disk_roots *roots, bool all, struct ib_disks *ret,
                     struct ib_error **err) _must_check_;
/* `held`: we have the device open with O_EXCL ourselves; its contents are not probed then. */
int ib_disk_look_at(const struct ib_disk_roots *roots, const char *path, bool all, bool held,
                    struct ib_disk *ret, struct ib_error **err) _must_check_;
