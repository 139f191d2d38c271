/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk that the root came from, and its partitions.
 *
 * Everything follows from the verified root: a partition on another disk is never taken for ours,
 * whatever its type or label says.
 */
#pragma once

#include "base/buffer.h"
#include "base/progress.h"

/* GPT type of a /var partition (Discoverable Partitions Specification). */
#define IB_GPT_TYPE_VAR "4d21b016-b534-45c2-a9fb-5c16e091fd2d"

struct ib_disk {
    char *sysfs; /* its directory below /sys/devices */
    char *path;  /* "/dev/nvme0n1" */
};

void ib_disk_clear(struct ib_disk *disk);

/*
 * The disk whose partitions the device-mapper device `mapping` ("/dev/mapper/root") lies on.
 * `sysfs` is normally "/sys". Fails unless all of them are partitions of one disk.
 */
int ib_disk_find(const char *mapping, const char *sysfs, struct ib_disk *ret,
                 struct ib_error **err) _must_check_;

/* Device paths of its partitions, sorted. */
int ib_disk_partitions(const struct ib_disk *disk, struct ib_strv *ret,
                       struct ib_error **err) _must_check_;

/* The one partition with this GPT type (lower-case UUID), read by blkid(8) from the disk itself.
 * NULL and an error where there is none, or more than one. The caller frees. */
char *ib_disk_find_type(const struct ib_disk *disk, const char *type,
                        struct ib_error **err) _must_check_;

/*
 * Makes and grows partitions as the repart.d(5) files in `definitions` say, with systemd-repart;
 * CopyFiles= are taken from `root`. Then waits until udev knows them.
 */
int ib_disk_repart(const struct ib_disk *disk, const char *definitions, const char *root,
                   struct ib_error **err) _must_check_;

/* What e2fsck(8)'s exit status asks for. */
enum ib_fsck { IB_FSCK_OK, IB_FSCK_REBOOT, IB_FSCK_FAILED };
enum ib_fsck ib_fsck_verdict(int status);

/*
 * Checks an ext4 file system and repairs what can be repaired without a question (everything, where
 * `repair_all`). *ret is OK or REBOOT; the rest is an error with e2fsck's words.
 */
int ib_fsck_run(const char *device, bool repair_all, enum ib_fsck *ret,
                struct ib_error **err) _must_check_;

/* Lets a mounted ext4 file system fill its partition. */
int ib_ext4_grow(const char *device, const char *mount_point, struct ib_error **err) _must_check_;
