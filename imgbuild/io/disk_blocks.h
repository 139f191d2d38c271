/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to io/disk*.c: all block devices, mounts and swap spaces of a machine, and which lies on
 * which. "Lies on": a partition on its disk; dm, MD and bcache devices on their slaves; a loop
 * device on the devices under its file; a mount on its devices, which for btrfs, bcachefs and
 * overlays are more than mountinfo names.
 */
#pragma once

#include "io/disk_roots.h"

#define IB_NO_BLOCK SIZE_MAX

struct ib_block_set {
    size_t *items; /* indices into ib_blocks.items */
    size_t count;
};
void ib_block_set_add(struct ib_block_set *set, size_t index); /* not twice; IB_NO_BLOCK: nothing */
void ib_block_set_clear(struct ib_block_set *set);

struct ib_block {
    char *name;  /* in sysfs: "sdb2", "cciss!c0d0" */
    char *path;  /* "/dev/sdb2" */
    char *shown; /* as people know it: "/dev/mapper/vg-data" */
    char *dir;   /* its directory, links resolved */
    uint64_t devno;
    size_t disk; /* of a partition: the disk it is on; else IB_NO_BLOCK */
    struct ib_block_set below;
};

struct ib_mount {
    uint64_t id, devno;
    char *point, *type, *source, *options;
    struct ib_block_set on;
};

struct ib_swap {
    char *path; /* of a device or a file */
    struct ib_block_set on;
};

struct ib_blocks {
    struct ib_disk_roots roots; /* borrowed strings */
    struct ib_block *items;     /* by name */
    size_t count;
    struct ib_mount *mounts; /* in the order of mountinfo: later ones cover earlier ones */
    size_t mount_count;
    struct ib_swap *swaps;
    size_t swap_count;
};

int ib_blocks_load(const struct ib_disk_roots *roots, struct ib_blocks *ret,
                   struct ib_error **err) _must_check_;
void ib_blocks_clear(struct ib_blocks *blocks);

size_t ib_blocks_by_name(const struct ib_blocks *blocks, const char *name);
size_t ib_blocks_by_devno(const struct ib_blocks *blocks, uint64_t devno);
/* The device behind a path, whatever link or node it is. */
size_t ib_blocks_resolve(const struct ib_blocks *blocks, const char *path);
/* The mount that a path lies on; NULL: none is known. Borrowed. */
const struct ib_mount *ib_blocks_mount_of(const struct ib_blocks *blocks, const char *path);
/* The devices from `from` down to `to`, both included; false (and nothing in *ret) where `from`
 * does not lie on it. */
bool ib_blocks_chain(const struct ib_blocks *blocks, size_t from, size_t to,
                     struct ib_block_set *ret);

/* Fills mounts and swaps; disk_mounts.c. Their `on` comes later (ib_blocks_load). */
int ib_mounts_read(const char *proc, struct ib_blocks *blocks, struct ib_error **err) _must_check_;
int ib_swaps_read(const char *proc, struct ib_blocks *blocks, struct ib_error **err) _must_check_;

/* The attribute's first line without blanks around, NULL where absent or empty. The caller frees.
 */
char *ib_sysfs_text(const char *dir, const char *attribute);
uint64_t ib_sysfs_number(const char *dir, const char *attribute, uint64_t otherwise);
/* Names in a directory without dot files, sorted; none where it cannot be read. */
void ib_sysfs_names(const char *dir, const char *below, struct ib_strv *ret);
/* What came from outside, fit for a terminal and for JSON: control characters and what is not
 * UTF-8 become '?'. In place; returns s. */
char *ib_disk_clean_text(char *s);

/* disk_facts.c: everything but contents and refusals. */
void ib_disk_read_facts(const struct ib_blocks *blocks, size_t index, struct ib_disk *ret);
/* disk_probe.c: partition table and file systems, from a device or image open for reading. */
void ib_disk_probe(int fd, struct ib_disk *disk);
/* disk_use.c: adds everything that speaks against writing. `fd` (or -1): see ib_disk_look_at. */
void ib_disk_find_refusals(const struct ib_blocks *blocks, size_t index, bool held,
                           struct ib_disk *disk);
void ib_disk_refuse(struct ib_disk *disk, const char *cure, const char *fmt, ...) _printf_(3, 4);
