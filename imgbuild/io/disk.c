/* SPDX-License-Identifier: Apache-2.0 */
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "disk_blocks.h"

void ib_disk_clear(struct ib_disk *disk)
{
    for (size_t i = 0; i < disk->content_count; i++) {
        struct ib_disk_content *content = &disk->contents[i];
        free(content->device);
        free(content->type);
        free(content->label);
        free(content->part_label);
    }
    free(disk->contents);
    free(disk->path);
    free(disk->name);
    free(disk->model);
    free(disk->serial);
    free(disk->transport);
    free(disk->table);
    free(disk->cure);
    ib_strv_clear(&disk->by_id);
    ib_strv_clear(&disk->refusals);
    *disk = (struct ib_disk){0};
}

void ib_disks_clear(struct ib_disks *disks)
{
    for (size_t i = 0; i < disks->count; i++)
        ib_disk_clear(&disks->items[i]);
    free(disks->items);
    *disks = (struct ib_disks){0};
}

/* For reading, and only if it is what sysfs calls so: nodes can be old, or made by hand. */
static int open_node(const struct ib_blocks *blocks, const struct ib_block *b)
{
    _cleanup_(ib_freep) char *node = ib_path_join(blocks->roots.dev, b->path + strlen("/dev/"));
    _cleanup_(ib_closep) int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (S_ISBLK(st.st_mode) ? st.st_rdev != b->devno : !S_ISREG(st.st_mode))
        return -1;
    return ib_steal_fd(&fd);
}

static void look_at_block(const struct ib_blocks *blocks, size_t index, bool all, bool held,
                          struct ib_disk *ret)
{
    ib_disk_read_facts(blocks, index, ret);
    ret->all = all;
    if (!held) {
        _cleanup_(ib_closep) int fd = open_node(blocks, &blocks->items[index]);
        if (fd >= 0)
            ib_disk_probe(fd, ret);
    }
    ib_disk_find_refusals(blocks, index, held, ret);
}

/* Unused loop devices and empty card readers have no size; a partition is no disk. */
static bool is_listed(const struct ib_blocks *blocks, size_t index, bool all)
{
    _cleanup_(ib_disk_clear) struct ib_disk facts = {0};
    _cleanup_(ib_freep) char *hidden = ib_sysfs_text(blocks->items[index].dir, "hidden");

    if (blocks->items[index].disk != IB_NO_BLOCK || ib_streq(hidden, "1"))
        return false;
    ib_disk_read_facts(blocks, index, &facts);
    return facts.size_bytes && (all || facts.kind == IB_DISK_KIND_DISK);
}

int ib_disks_list_at(const struct ib_disk_roots *roots, bool all, struct ib_disks *ret,
                     struct ib_error **err)
{
    _cleanup_(ib_blocks_clear) struct ib_blocks blocks = {0};
    struct ib_disks disks = {0};

    if (ib_blocks_load(roots, &blocks, err) < 0)
        return ib_wrapf(err, "cannot list the disks");
    disks.items = ib_calloc(blocks.count + 1, sizeof(*disks.items));
    for (size_t i = 0; i < blocks.count; i++)
        if (is_listed(&blocks, i, all))
            look_at_block(&blocks, i, all, false, &disks.items[disks.count++]);
    *ret = disks;
    return 0;
}

int ib_disks_list(bool all, struct ib_disks *ret, struct ib_error **err)
{
    return ib_disks_list_at(&ib_disk_live, all, ret, err);
}

/* Why a path leads to no block device. */
static int fail_no_device(const char *path, struct ib_error **err)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        ib_fail(err, errno == ENOENT ? IB_E_NOT_FOUND : IB_E_IO, errno, path, "find the disk");
        return ib_hint(err, "imgbuild flash --list shows the disks of this machine");
    }
    if (S_ISBLK(st.st_mode))
        return ib_failf(err, IB_E_NOT_FOUND, "the kernel knows no device of the number of '%s'",
                        path);
    ib_failf(err, IB_E_USAGE, "'%s' is %s, not a disk", path,
             S_ISREG(st.st_mode)   ? "a regular file"
             : S_ISDIR(st.st_mode) ? "a directory"
                                   : "no block device");
    return ib_hint(err, S_ISREG(st.st_mode)
                            ? "--to-file writes to a regular file"
                            : "imgbuild flash --list shows the disks of this machine");
}

int ib_disk_look_at(const struct ib_disk_roots *roots, const char *path, bool all, bool held,
                    struct ib_disk *ret, struct ib_error **err)
{
    _cleanup_(ib_blocks_clear) struct ib_blocks blocks = {0};

    if (ib_blocks_load(roots, &blocks, err) < 0)
        return ib_wrap(err, path, "look at the disk");
    size_t index = ib_blocks_resolve(&blocks, path);
    if (index == IB_NO_BLOCK)
        return fail_no_device(path, err);
    look_at_block(&blocks, index, all, held, ret);
    return 0;
}

int ib_disk_look(const char *path, bool all, struct ib_disk *ret, struct ib_error **err)
{
    return ib_disk_look_at(&ib_disk_live, path, all, false, ret, err);
}

int ib_disk_check(const struct ib_disk *disk, struct ib_error **err)
{
    if (!disk->refusals.count)
        return 0;
    ib_failf(err, IB_E_REFUSED, "%s", disk->refusals.items[disk->refusals.count - 1]);
    for (size_t i = disk->refusals.count - 1; i-- > 0;)
        ib_wrapf(err, "%s", disk->refusals.items[i]);
    return ib_hint(err, "%s", disk->cure);
}

/* The mount that an open file came from: its number is exact where a path may be covered. */
static const struct ib_mount *mount_of_fd(const struct ib_blocks *blocks, int fd, uint64_t devno)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/self/fdinfo/%d", blocks->roots.proc, fd);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    uint64_t id;

    if (ib_read_file(path, IB_MIB, &text, NULL) == 0 && text.size) {
        const char *at = strstr((const char *)text.data, "mnt_id:");
        if (at && sscanf(at, "mnt_id:%" SCNu64, &id) == 1)
            for (size_t i = 0; i < blocks->mount_count; i++)
                if (blocks->mounts[i].id == id)
                    return &blocks->mounts[i];
    }
    for (size_t i = 0; i < blocks->mount_count; i++)
        if (blocks->mounts[i].devno == devno)
            return &blocks->mounts[i];
    return NULL;
}

static bool lies_on(const struct ib_blocks *blocks, size_t from, size_t to)
{
    _cleanup_(ib_block_set_clear) struct ib_block_set chain = {0};

    return from != IB_NO_BLOCK && ib_blocks_chain(blocks, from, to, &chain);
}

int ib_disk_refuse_if_holds(struct ib_disk *disk, int fd, const char *name, struct ib_error **err)
{
    _cleanup_(ib_blocks_clear) struct ib_blocks blocks = {0};
    struct stat st;
    bool holds = false;

    if (fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "find out where it lies");
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return 0; /* a pipe lies nowhere */
    if (ib_blocks_load(&ib_disk_live, &blocks, err) < 0)
        return ib_wrap(err, name, "find out where it lies");
    size_t index = ib_blocks_by_name(&blocks, disk->name);
    if (index == IB_NO_BLOCK)
        return ib_failf(err, IB_E_NOT_FOUND, "'%s' is gone", disk->path);
    if (S_ISBLK(st.st_mode)) {
        size_t source = ib_blocks_by_devno(&blocks, st.st_rdev);
        holds = lies_on(&blocks, source, index) || lies_on(&blocks, index, source);
    } else {
        const struct ib_mount *mount = mount_of_fd(&blocks, fd, st.st_dev);
        holds = lies_on(&blocks, ib_blocks_by_devno(&blocks, st.st_dev), index);
        for (size_t i = 0; mount && i < mount->on.count; i++)
            holds = holds || lies_on(&blocks, mount->on.items[i], index);
    }
    if (holds)
        ib_disk_refuse(disk, "copy the image to another disk first",
                       "it holds '%s', which is what would be written", name);
    return 0;
}
