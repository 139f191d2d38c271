/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's disks: what they are, what is on them, and what speaks against writing to one.
 *
 * Facts come from sysfs (block/DEV/…, Documentation/ABI/stable/sysfs-block), /dev/disk/by-id,
 * /proc/self/mountinfo, /proc/swaps and libblkid; nothing here writes, and no device is opened for
 * writing. Only io/target.h does that.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* What is on a disk or in one of its partitions, as libblkid sees it. */
struct ib_disk_content {
    char *device;     /* "/dev/sdb2"; the disk itself where it holds a file system directly */
    unsigned number;  /* of the partition, from 1; 0: the disk itself */
    char *type;       /* "vfat", "ext4", "LVM2_member", "crypto_LUKS", …; NULL: nothing known */
    char *label;      /* of the file system; NULL: none */
    char *part_label; /* of the partition; NULL: none */
    uint64_t offset_bytes, size_bytes;
};

enum ib_disk_kind { IB_DISK_KIND_DISK, IB_DISK_KIND_PARTITION, IB_DISK_KIND_OTHER };

struct ib_disk {
    char *path; /* "/dev/nvme0n1" */
    char *name; /* "nvme0n1", its name in sysfs */
    uint64_t devno;
    enum ib_disk_kind kind;
    char *model, *serial; /* without blanks around; NULL where the device tells none */
    char *transport;      /* "nvme", "usb", "sata", "virtio", "mmc", "loop"; NULL: not known */
    struct ib_strv by_id; /* names below /dev/disk/by-id, sorted */
    char *table;          /* "gpt", "dos"; NULL: no partition table, or none that can be read */
    uint64_t size_bytes;
    uint64_t sequence; /* diskseq of sysfs: a new one for each medium or device; 0: not told */
    uint32_t logical_block, physical_block;
    bool removable; /* the device says so, or it is on USB, or an SD card: a medium that travels */
    bool rotational, read_only;
    bool zeroes_offloaded; /* the device itself can write zeros (queue/write_zeroes_max_bytes) */
    bool contents_known;   /* false: it could not be read (no permission), contents are empty */
    bool all;              /* looked at with `all` */
    struct ib_disk_content *contents; /* by offset */
    size_t content_count;
    /* What forbids writing, each a sentence without full stop ("/dev/sdb2 is mounted on '/mnt'"),
     * and the cure for the first. Empty: nothing does. */
    struct ib_strv refusals;
    char *cure;
    bool runs_system; /* one of the refusals is that this system runs from it: no option lifts it */
};

struct ib_disks {
    struct ib_disk *items; /* by name */
    size_t count;
};

/* Lists the whole disks that have a medium. With `all`, also loop, RAM, network, MD and
 * device-mapper devices. */
int ib_disks_list(bool all, struct ib_disks *ret, struct ib_error **err) _must_check_;
void ib_disks_clear(struct ib_disks *disks);

/* Looks at one device, by any of its names. IB_E_NOT_FOUND, or IB_E_USAGE when it is no block
 * device; the caller clears. Without `all`, what is not a disk of this machine (loop, RAM, network,
 * MD, device-mapper devices) gets a refusal that says so. */
int ib_disk_look(const char *path, bool all, struct ib_disk *ret,
                 struct ib_error **err) _must_check_;
void ib_disk_clear(struct ib_disk *disk);

/* 0 where nothing forbids writing to the disk; else IB_E_REFUSED with all refusals and the cure. */
int ib_disk_check(const struct ib_disk *disk, struct ib_error **err) _must_check_;

/* What writing to the disk destroys, for people: "GPT with 3 partitions: 1 'esp' (vfat), 2 'root'
 * (squashfs), 3 (nothing known)"; "nothing known" for an empty disk. The caller frees. */
char *ib_disk_loss(const struct ib_disk *disk);

/*
 * Adds a refusal when the disk holds this file (an image on the disk that it is to be written to),
 * also through partitions, dm, MD, loop and mounts.
 */
int ib_disk_refuse_if_holds(struct ib_disk *disk, int fd, const char *name,
                            struct ib_error **err) _must_check_;
