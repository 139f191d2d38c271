/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What speaks against writing to a disk. Every user of block devices (mount, swap, a device on top)
 * is followed down to all devices it lies on; the disk is in use when it is among them. What this
 * cannot see (other mount namespaces, ZFS, programs) the kernel knows: an exclusive open fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "disk_blocks.h"

#define OTHER_DISK "choose another disk (imgbuild flash --list)"

struct use {
    const struct ib_blocks *blocks;
    size_t disk;
    struct ib_disk *out;
    struct ib_block_set explained; /* devices that a refusal already speaks of */
    bool in_use;
};

void ib_disk_refuse(struct ib_disk *disk, const char *cure, const char *fmt, ...)
{
    struct ib_buf text = {0};
    va_list ap;

    va_start(ap, fmt);
    ib_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    ib_strv_take(&disk->refusals, ib_disk_clean_text(ib_buf_steal_string(&text)));
    if (!disk->cure)
        disk->cure = ib_disk_clean_text(ib_strdup(cure));
}

static bool contains(const struct ib_block_set *set, size_t index)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i] == index)
            return true;
    return false;
}

static bool is_on_disk(const struct use *use, size_t index)
{
    return index == use->disk || use->blocks->items[index].disk == use->disk;
}

/* The partition by which a chain of devices reaches the disk, or the disk itself. */
static const struct ib_block *contact_of(const struct use *use, const struct ib_block_set *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        if (is_on_disk(use, chain->items[i]))
            return &use->blocks->items[chain->items[i]];
    return &use->blocks->items[use->disk];
}

static bool is_system_point(const char *point)
{
    static const char *const points[] = {
        "/",    "/boot",   "/boot/efi", "/efi", "/etc",     "/home", "/nix", "/nix/store",
        "/opt", "/ostree", "/root",     "/srv", "/sysroot", "/usr",  "/var", "/var/lib",
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(points); i++)
        if (ib_streq(point, points[i]))
            return true;
    return false;
}

enum device_kind { LVM, CRYPT, MULTIPATH, DM, MD, LOOP, BCACHE, OTHER };

static enum device_kind kind_of(const struct ib_block *b)
{
    _cleanup_(ib_freep) char *uuid = ib_sysfs_text(b->dir, "dm/uuid");

    if (ib_startswith(b->name, "dm-"))
        return !uuid                           ? DM
               : ib_startswith(uuid, "LVM-")   ? LVM
               : ib_startswith(uuid, "CRYPT-") ? CRYPT
               : ib_startswith(uuid, "mpath-") ? MULTIPATH
                                               : DM;
    return ib_startswith(b->name, "md")       ? MD
           : ib_startswith(b->name, "loop")   ? LOOP
           : ib_startswith(b->name, "bcache") ? BCACHE
                                              : OTHER;
}

static const char *kind_name(enum device_kind kind)
{
    static const char *const names[] = {
        [LVM] = "LVM volume",
        [CRYPT] = "open encrypted volume",
        [MULTIPATH] = "multipath device",
        [DM] = "device-mapper device",
        [MD] = "MD array",
        [LOOP] = "loop device",
        [BCACHE] = "bcache device",
        [OTHER] = "device",
    };

    return names[kind];
}

/* The command that ends a device which lies on others; NULL: none is known. */
static char *end_command(const struct ib_block *b)
{
    const char *name = ib_path_base(b->shown);

    switch (kind_of(b)) {
    case LVM:
        return ib_asprintf("lvchange -an %s", b->shown);
    case CRYPT:
        return ib_asprintf("cryptsetup close %s", name);
    case MULTIPATH:
        return ib_asprintf("multipath -f %s", name);
    case DM:
        return ib_asprintf("dmsetup remove %s", name);
    case MD:
        return ib_asprintf("mdadm --stop %s", b->path);
    case LOOP:
        return ib_asprintf("losetup -d %s", b->path);
    case BCACHE:
        return ib_asprintf("echo 1 >%s/bcache/stop", b->dir);
    case OTHER:
        break;
    }
    return NULL;
}

/* "release it: umount '/mnt', lvchange -an …, cryptsetup close …": from the top down to the disk */
static char *release_cure(const struct use *use, char *first, const struct ib_block_set *chain)
{
    _cleanup_(ib_strv_clear) struct ib_strv steps = {0};
    _cleanup_(ib_freep) char *joined = NULL;

    if (first)
        ib_strv_take(&steps, first);
    for (size_t i = 0; i < chain->count && !is_on_disk(use, chain->items[i]); i++) {
        char *command = end_command(&use->blocks->items[chain->items[i]]);
        if (command)
            ib_strv_take(&steps, command);
    }
    joined = ib_strv_join(&steps, ", then ");
    return steps.count ? ib_asprintf("release it (%s), or " OTHER_DISK, joined)
                       : ib_strdup(OTHER_DISK);
}

/* "/dev/mapper/vg-data, which lies on /dev/sdb2," or "/dev/sdb2" */
static char *subject_of(const struct use *use, const struct ib_block_set *chain)
{
    const struct ib_block *top = &use->blocks->items[chain->items[0]];
    const struct ib_block *contact = contact_of(use, chain);

    return top == contact ? ib_strdup(top->shown)
                          : ib_asprintf("%s, which lies on %s,", top->shown, contact->shown);
}

static void explain(struct use *use, const struct ib_block_set *chain)
{
    use->in_use = true;
    for (size_t i = 0; i < chain->count; i++)
        ib_block_set_add(&use->explained, chain->items[i]);
}

static char *points_text(const struct ib_strv *points)
{
    enum { SHOWN = 3 };
    struct ib_buf text = {0};

    for (size_t i = 0; i < points->count && i < SHOWN; i++)
        ib_buf_printf(&text, "%s'%s'", i ? ", " : "", points->items[i]);
    if (points->count > SHOWN)
        ib_buf_printf(&text, " and %zu more places", points->count - SHOWN);
    return ib_buf_steal_string(&text);
}

/* Everything mounted from `top`, where that lies on the disk. */
static void refuse_mounts_of(struct use *use, size_t top, bool want_system)
{
    _cleanup_(ib_block_set_clear) struct ib_block_set chain = {0};
    _cleanup_(ib_strv_clear) struct ib_strv points = {0};
    bool is_system = false;

    for (size_t i = 0; i < use->blocks->mount_count; i++) {
        const struct ib_mount *m = &use->blocks->mounts[i];
        if (!contains(&m->on, top) || ib_strv_contains(&points, m->point))
            continue;
        ib_strv_add(&points, m->point);
        is_system = is_system || is_system_point(m->point);
    }
    if (!points.count || is_system != want_system ||
        !ib_blocks_chain(use->blocks, top, use->disk, &chain))
        return;
    _cleanup_(ib_freep) char *subject = subject_of(use, &chain);
    _cleanup_(ib_freep) char *places = points_text(&points);
    explain(use, &chain);
    if (is_system) {
        use->out->runs_system = true;
        ib_disk_refuse(use->out, OTHER_DISK ", or start this machine from another medium",
                       "this system runs from it: %s is mounted on %s", subject, places);
        return;
    }
    _cleanup_(ib_freep) char *cure =
        release_cure(use, ib_asprintf("umount '%s'", points.items[points.count - 1]), &chain);
    ib_disk_refuse(use->out, cure, "%s is mounted on %s", subject, places);
}

static void refuse_swaps(struct use *use)
{
    for (size_t i = 0; i < use->blocks->swap_count; i++) {
        const struct ib_swap *swap = &use->blocks->swaps[i];
        for (size_t d = 0; d < swap->on.count; d++) {
            _cleanup_(ib_block_set_clear) struct ib_block_set chain = {0};
            if (!ib_blocks_chain(use->blocks, swap->on.items[d], use->disk, &chain))
                continue;
            _cleanup_(ib_freep) char *subject = subject_of(use, &chain);
            _cleanup_(ib_freep) char *cure =
                release_cure(use, ib_asprintf("swapoff '%s'", swap->path), &chain);
            bool is_device = ib_blocks_resolve(use->blocks, swap->path) != IB_NO_BLOCK;
            explain(use, &chain);
            if (is_device)
                ib_disk_refuse(use->out, cure, "%s is swap space in use", subject);
            else
                ib_disk_refuse(use->out, cure, "%s holds the swap file '%s', which is in use",
                               subject, swap->path);
        }
    }
}

static void refuse_holder(struct use *use, size_t holder, size_t contact)
{
    const struct ib_block *b = &use->blocks->items[holder];
    const struct ib_block *on = &use->blocks->items[contact];
    _cleanup_(ib_freep) char *command = end_command(b);
    _cleanup_(ib_freep) char *cure =
        command ? ib_asprintf("end what uses %s, then %s; or " OTHER_DISK, b->shown, command)
                : ib_strdup(OTHER_DISK);
    _cleanup_(ib_freep) char *file = ib_sysfs_text(b->dir, "loop/backing_file");

    use->in_use = true;
    ib_block_set_add(&use->explained, contact);
    if (file && !ib_startswith(file, "/dev/"))
        ib_disk_refuse(use->out, cure, "%s holds '%s', which is in use by the loop device %s",
                       on->shown, file, b->shown);
    else
        ib_disk_refuse(use->out, cure, "%s is in use by the %s %s", on->shown,
                       kind_name(kind_of(b)), b->shown);
}

static void refuse_holders(struct use *use)
{
    for (size_t i = 0; i < use->blocks->count; i++) {
        const struct ib_block *b = &use->blocks->items[i];
        if (is_on_disk(use, i) || contains(&use->explained, i))
            continue;
        for (size_t k = 0; k < b->below.count; k++)
            if (is_on_disk(use, b->below.items[k])) {
                refuse_holder(use, i, b->below.items[k]);
                break;
            }
    }
}

static bool is_btrfs_member(const struct ib_blocks *blocks, const char *name)
{
    _cleanup_(ib_freep) char *base = ib_path_join(blocks->roots.sys, "fs/btrfs");
    _cleanup_(ib_strv_clear) struct ib_strv systems = {0};

    ib_sysfs_names(base, "", &systems);
    for (size_t i = 0; i < systems.count; i++) {
        _cleanup_(ib_freep) char *member =
            ib_asprintf("%s/%s/devices/%s", base, systems.items[i], name);
        if (ib_path_exists(member))
            return true;
    }
    return false;
}

/* What has no holder in sysfs: cache sets of bcache, a btrfs that another namespace has mounted. */
static void refuse_members(struct use *use)
{
    for (size_t i = 0; i < use->blocks->count; i++) {
        const struct ib_block *b = &use->blocks->items[i];
        if (!is_on_disk(use, i) || contains(&use->explained, i))
            continue;
        _cleanup_(ib_freep) char *bcache = ib_path_join(b->dir, "bcache");
        if (!ib_startswith(b->name, "bcache") && ib_path_exists(bcache)) {
            use->in_use = true;
            ib_disk_refuse(use->out,
                           "detach and stop it (see bcache in the kernel's "
                           "documentation), or " OTHER_DISK,
                           "%s is part of an active bcache set", b->shown);
        }
        if (is_btrfs_member(use->blocks, b->name)) {
            use->in_use = true;
            ib_disk_refuse(use->out, "unmount it, or " OTHER_DISK,
                           "%s is part of a mounted btrfs file system", b->shown);
        }
    }
}

/* Others that look at disks (udev, another list) hold them for moments only. */
static bool is_held_exclusively(const char *node)
{
    enum { TRIES = 15, PAUSE_NS = 20000000 };

    for (int i = 0; i < TRIES; i++) {
        _cleanup_(ib_closep) int fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 || errno != EBUSY)
            return false;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return true;
}

/* Whether the devices under "/" are not known: a live system's overlay whose layers are out of
 * sight. Then what the kernel holds for nobody we know may be this system's. */
static bool root_is_unknown(const struct ib_blocks *blocks)
{
    const struct ib_mount *root = ib_blocks_mount_of(blocks, "/");

    return root && ib_streq(root->type, "overlay") && !root->on.count;
}

static void refuse_held(struct use *use)
{
    const struct ib_block *b = &use->blocks->items[use->disk];
    _cleanup_(ib_freep) char *node =
        ib_path_join(use->blocks->roots.dev, b->path + strlen("/dev/"));
    bool zfs = false;
    struct stat st;

    if (use->in_use || stat(node, &st) < 0 || !S_ISBLK(st.st_mode) || !is_held_exclusively(node))
        return;
    for (size_t i = 0; i < use->out->content_count; i++)
        zfs = zfs || ib_streq(use->out->contents[i].type, "zfs_member");
    if (root_is_unknown(use->blocks)) {
        use->out->runs_system = true;
        ib_disk_refuse(
            use->out, OTHER_DISK,
            "%s is in use, and this system may run from it: its root is an overlay whose "
            "layers are not visible",
            b->shown);
    } else if (zfs) {
        ib_disk_refuse(use->out, "export the pool (zpool export NAME), or " OTHER_DISK,
                       "%s belongs to a ZFS pool in use", b->shown);
    } else {
        ib_disk_refuse(use->out,
                       "end what uses it (lsof, fuser, another container's mount), or " OTHER_DISK,
                       "%s is in exclusive use by another program or by the kernel", b->shown);
    }
}

static const char *other_kind(const struct ib_block *b)
{
    static const char *const kinds[][2] = {
        {"sr", "an optical drive"},      {"fd", "a floppy drive"},
        {"zram", "a disk in memory"},    {"ram", "a disk in memory"},
        {"nbd", "a network device"},     {"rbd", "a network device"},
        {"drbd", "a replicated device"}, {"bcache", "a bcache device"},
        {"zd", "a ZFS volume"},          {"loop", "a loop device"},
        {"md", "an MD array"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(kinds); i++)
        if (ib_startswith(b->name, kinds[i][0]))
            return kinds[i][1];
    return ib_startswith(b->name, "dm-") ? "a device-mapper device" : "a device of another kind";
}

/* "mmcblk0boot1", "mmcblk0rpmb": parts of an eMMC that hold the machine's firmware */
static bool is_emmc_area(const char *name)
{
    return ib_startswith(name, "mmcblk") && (strstr(name, "boot") || strstr(name, "rpmb"));
}

static void refuse_nature(const struct ib_blocks *blocks, size_t index, struct ib_disk *disk)
{
    enum { MAX_BLOCK = 4096 };
    const struct ib_block *b = &blocks->items[index];
    _cleanup_(ib_freep) char *zoned = ib_sysfs_text(b->dir, "queue/zoned");

    if (disk->kind == IB_DISK_KIND_PARTITION) {
        _cleanup_(ib_freep) char *cure =
            ib_asprintf("name the disk: %s", blocks->items[b->disk].path);
        ib_disk_refuse(disk, cure, "%s is a partition, not a whole disk", b->path);
    } else if (is_emmc_area(b->name)) {
        ib_disk_refuse(disk, OTHER_DISK, "%s is the firmware's area of an eMMC, not a disk",
                       b->path);
    } else if (disk->kind == IB_DISK_KIND_OTHER && !disk->all) {
        ib_disk_refuse(disk, "say --all if this is what you mean",
                       "%s is %s, not a disk of this machine", b->shown, other_kind(b));
    }
    if (!disk->size_bytes)
        ib_disk_refuse(disk, "insert a medium", "%s holds no medium", b->path);
    if (disk->read_only)
        ib_disk_refuse(disk, "look for its write-protect switch, or try blockdev --setrw",
                       "%s is read-only", b->path);
    if (disk->logical_block > MAX_BLOCK)
        ib_disk_refuse(disk, OTHER_DISK, "%s has blocks of %u bytes, more than an image can fit",
                       b->path, disk->logical_block);
    if (zoned && !ib_streq(zoned, "none") && !ib_streq(zoned, "host-aware"))
        ib_disk_refuse(disk, OTHER_DISK, "%s can be written only zone by zone (%s)", b->path,
                       zoned);
}

void ib_disk_find_refusals(const struct ib_blocks *blocks, size_t index, bool held,
                           struct ib_disk *disk)
{
    struct use use = {.blocks = blocks, .disk = index, .out = disk};

    for (size_t i = 0; i < blocks->count; i++)
        refuse_mounts_of(&use, i, true);
    refuse_nature(blocks, index, disk);
    for (size_t i = 0; i < blocks->count; i++)
        refuse_mounts_of(&use, i, false);
    refuse_swaps(&use);
    refuse_holders(&use);
    refuse_members(&use);
    if (!held)
        refuse_held(&use);
    ib_block_set_clear(&use.explained);
}
