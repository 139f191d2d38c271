/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a verified, read-only root to the file systems that a node runs on. In the initrd, between
 * sysroot.mount and initrd-root-fs.target:
 *
 *     disk      the one that the root came from; its partitions made and grown (systemd-repart)
 *     /var      checked and mounted; after an update, completed with what the new root brings
 *     /home /root /opt /srv /mnt       bind mounts of /var/home, …
 *     /etc      overlay: the root's own, the identity over it, changes in RAM on top
 *     persist   machine id, SSH host key, and what the recipe lists (agent/persist.h)
 *
 * Whatever instant a machine loses its power at, the next boot completes: every step leaves either
 * nothing under its final name or all of it.
 */
#pragma once

#include "base/progress.h"

struct ib_sysroot {
    const char *root;           /* "/sysroot" */
    const char *input;          /* "/imgbuild": what the UKI's last cpio brought */
    const char *run;            /* "/run": survives the switch to the root */
    const char *sysfs;          /* "/sys" */
    const char *mapping;        /* "/dev/mapper/root" */
    const char *initrd_machine; /* "/etc/machine-id" of the initrd */
    const char *cmdline;        /* text of /proc/cmdline */
    struct ib_progress *progress;
};

/* All steps. *ret_reboot: the file system check wants a reboot instead; nothing was mounted. */
int ib_sysroot_prepare(const struct ib_sysroot *s, bool *ret_reboot,
                       struct ib_error **err) _must_check_;

/* The steps that need no disk, for tests: ROOT/var is mounted already, own_var_fd is the directory
 * below it. */
int ib_sysroot_complete_var(const struct ib_sysroot *s, int own_var_fd,
                            struct ib_error **err) _must_check_;
int ib_sysroot_bind_homes(const struct ib_sysroot *s, struct ib_error **err) _must_check_;
int ib_sysroot_mount_etc(const struct ib_sysroot *s, struct ib_error **err) _must_check_;
int ib_sysroot_restore(const struct ib_sysroot *s, struct ib_error **err) _must_check_;
