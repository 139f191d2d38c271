/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_blocks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"

enum { MAX_ATTRIBUTE_SIZE = 64 << 10, MAX_LAYERS = 8 };

const struct ib_disk_roots ib_disk_live = {.sys = "/sys", .proc = "/proc", .dev = "/dev"};

void ib_block_set_add(struct ib_block_set *set, size_t index)
{
    if (index == IB_NO_BLOCK)
        return;
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i] == index)
            return;
    set->items = ib_reallocarray(set->items, set->count + 1, sizeof(*set->items));
    set->items[set->count++] = index;
}

static void add_all(struct ib_block_set *set, const struct ib_block_set *other)
{
    for (size_t i = 0; i < other->count; i++)
        ib_block_set_add(set, other->items[i]);
}

void ib_block_set_clear(struct ib_block_set *set)
{
    free(set->items);
    *set = (struct ib_block_set){0};
}

void ib_blocks_clear(struct ib_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        struct ib_block *b = &blocks->items[i];
        free(b->name);
        free(b->path);
        free(b->shown);
        free(b->dir);
        ib_block_set_clear(&b->below);
    }
    for (size_t i = 0; i < blocks->mount_count; i++) {
        struct ib_mount *m = &blocks->mounts[i];
        free(m->point);
        free(m->type);
        free(m->source);
        free(m->options);
        ib_block_set_clear(&m->on);
    }
    for (size_t i = 0; i < blocks->swap_count; i++) {
        free(blocks->swaps[i].path);
        ib_block_set_clear(&blocks->swaps[i].on);
    }
    free(blocks->items);
    free(blocks->mounts);
    free(blocks->swaps);
    *blocks = (struct ib_blocks){0};
}

char *ib_sysfs_text(const char *dir, const char *attribute)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, attribute);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, MAX_ATTRIBUTE_SIZE, &text, NULL) < 0 || !text.size)
        return NULL;
    char *s = (char *)text.data;
    s[strcspn(s, "\n")] = 0;
    s += strspn(s, " \t");
    size_t size = strlen(s);
    while (size && (s[size - 1] == ' ' || s[size - 1] == '\t'))
        size--;
    return size ? ib_strndup(s, size) : NULL;
}

uint64_t ib_sysfs_number(const char *dir, const char *attribute, uint64_t otherwise)
{
    _cleanup_(ib_freep) char *text = ib_sysfs_text(dir, attribute);
    uint64_t value;

    return text && ib_parse_u64(text, UINT64_MAX, &value) ? value : otherwise;
}

void ib_sysfs_names(const char *dir, const char *below, struct ib_strv *ret)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, below);
    _cleanup_(ib_closedirp) DIR *open_dir = opendir(path);

    for (struct dirent *d; open_dir && (d = readdir(open_dir));)
        if (d->d_name[0] != '.')
            ib_strv_add(ret, d->d_name);
    ib_strv_sort(ret);
}

size_t ib_blocks_by_name(const struct ib_blocks *blocks, const char *name)
{
    for (size_t i = 0; i < blocks->count; i++)
        if (ib_streq(blocks->items[i].name, name))
            return i;
    return IB_NO_BLOCK;
}

size_t ib_blocks_by_devno(const struct ib_blocks *blocks, uint64_t devno)
{
    for (size_t i = 0; i < blocks->count; i++)
        if (blocks->items[i].devno == devno)
            return i;
    return IB_NO_BLOCK;
}

/* By the node itself where there is one; else (a recorded tree, a chroot) by what the names say. */
size_t ib_blocks_resolve(const struct ib_blocks *blocks, const char *path)
{
    const char *below = ib_startswith(path, "/dev/") ? path + strlen("/dev/") : NULL;
    _cleanup_(ib_freep) char *node =
        below ? ib_path_join(blocks->roots.dev, below) : ib_strdup(path);
    _cleanup_(ib_freep) char *real = realpath(node, NULL);
    struct stat st;

    if (real && stat(real, &st) == 0 && S_ISBLK(st.st_mode))
        return ib_blocks_by_devno(blocks, st.st_rdev);
    size_t index = real ? ib_blocks_by_name(blocks, ib_path_base(real)) : IB_NO_BLOCK;
    for (size_t i = 0; index == IB_NO_BLOCK && i < blocks->count; i++)
        if (ib_streq(blocks->items[i].path, path) || ib_streq(blocks->items[i].shown, path))
            index = i;
    return index;
}

const struct ib_mount *ib_blocks_mount_of(const struct ib_blocks *blocks, const char *path)
{
    const struct ib_mount *best = NULL;
    size_t best_size = 0;

    for (size_t i = 0; i < blocks->mount_count; i++) {
        const char *point = blocks->mounts[i].point;
        size_t size = ib_streq(point, "/") ? 0 : strlen(point);
        if (size >= best_size && strncmp(path, point, size) == 0 &&
            (path[size] == '/' || !path[size])) {
            best = &blocks->mounts[i];
            best_size = size;
        }
    }
    return best;
}

static bool chain_down(const struct ib_blocks *blocks, size_t from, size_t to, bool *seen,
                       struct ib_block_set *ret)
{
    const struct ib_block *b = &blocks->items[from];

    if (seen[from])
        return false;
    seen[from] = true;
    ib_block_set_add(ret, from);
    if (from == to)
        return true;
    for (size_t i = 0; i < b->below.count; i++)
        if (chain_down(blocks, b->below.items[i], to, seen, ret))
            return true;
    ret->count--;
    return false;
}

bool ib_blocks_chain(const struct ib_blocks *blocks, size_t from, size_t to,
                     struct ib_block_set *ret)
{
    _cleanup_(ib_freep) bool *seen = ib_calloc(blocks->count + 1, sizeof(*seen));

    return chain_down(blocks, from, to, seen, ret);
}

/* All devices of the mounted file system that has this one: /sys/fs/btrfs/UUID/devices/NAME. */
static void add_members(const struct ib_blocks *blocks, const char *type, size_t member,
                        struct ib_block_set *ret)
{
    _cleanup_(ib_freep) char *base = ib_asprintf("%s/fs/%s", blocks->roots.sys, type);
    _cleanup_(ib_strv_clear) struct ib_strv systems = {0};

    ib_sysfs_names(base, "", &systems);
    for (size_t i = 0; i < systems.count; i++) {
        _cleanup_(ib_freep) char *dir = ib_asprintf("%s/%s/devices", base, systems.items[i]);
        _cleanup_(ib_strv_clear) struct ib_strv names = {0};
        ib_sysfs_names(dir, "", &names);
        if (!ib_strv_contains(&names, blocks->items[member].name))
            continue;
        for (size_t n = 0; n < names.count; n++)
            ib_block_set_add(ret, ib_blocks_by_name(blocks, names.items[n]));
    }
}

static void add_path_devices(const struct ib_blocks *blocks, const char *path, unsigned depth,
                             struct ib_block_set *ret);

/* lowerdir=A:B, upperdir=C, workdir=D; newer kernels repeat lowerdir+=A. */
static void add_layers(const struct ib_blocks *blocks, const struct ib_mount *mount, unsigned depth,
                       struct ib_block_set *ret)
{
    _cleanup_(ib_strv_clear) struct ib_strv options = {0};

    ib_strv_split(&options, mount->options, ",");
    for (size_t i = 0; i < options.count; i++) {
        const char *value = strchr(options.items[i], '=');
        _cleanup_(ib_strv_clear) struct ib_strv layers = {0};
        if (!value || !(ib_startswith(options.items[i], "lowerdir") ||
                        ib_startswith(options.items[i], "datadir") ||
                        ib_startswith(options.items[i], "upperdir=") ||
                        ib_startswith(options.items[i], "workdir=")))
            continue;
        ib_strv_split(&layers, value + 1, ":");
        for (size_t l = 0; l < layers.count; l++)
            if (layers.items[l][0] == '/')
                add_path_devices(blocks, layers.items[l], depth + 1, ret);
    }
}

static void add_mount_devices(const struct ib_blocks *blocks, const struct ib_mount *mount,
                              unsigned depth, struct ib_block_set *ret)
{
    if (depth > MAX_LAYERS)
        return;
    if (major(mount->devno)) {
        ib_block_set_add(ret, ib_blocks_by_devno(blocks, mount->devno));
        return;
    }
    if (ib_streq(mount->type, "overlay")) {
        add_layers(blocks, mount, depth, ret);
        return;
    }
    if (!ib_startswith(mount->source, "/dev/"))
        return;
    /* file systems of several devices: btrfs names one of them, bcachefs all, joined by ':' */
    _cleanup_(ib_strv_clear) struct ib_strv sources = {0};
    ib_strv_split(&sources, mount->source, ":");
    for (size_t i = 0; i < sources.count; i++) {
        size_t index = ib_blocks_resolve(blocks, sources.items[i]);
        if (index == IB_NO_BLOCK)
            continue;
        ib_block_set_add(ret, index);
        add_members(blocks, mount->type, index, ret);
    }
}

static void add_path_devices(const struct ib_blocks *blocks, const char *path, unsigned depth,
                             struct ib_block_set *ret)
{
    const struct ib_mount *mount = ib_blocks_mount_of(blocks, path);

    if (mount)
        add_mount_devices(blocks, mount, depth, ret);
}

/*
 * The devices under a loop device's file. The kernel knows the file system that the file is on,
 * also where its path means nothing to us (another mount namespace, a root that was left).
 */
static void add_loop(const struct ib_blocks *blocks, struct ib_block *b, const char *file)
{
    _cleanup_(ib_freep) char *node = ib_path_join(blocks->roots.dev, b->name);
    _cleanup_(ib_closep) int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct loop_info64 info;

    if (fd >= 0 && ioctl(fd, LOOP_GET_STATUS64, &info) == 0) {
        uint64_t devno = makedev((info.lo_device >> 8) & 0xfff,
                                 (info.lo_device & 0xff) | ((info.lo_device >> 12) & 0xfff00));
        ib_block_set_add(&b->below, ib_blocks_by_devno(blocks, devno));
        for (size_t i = 0; i < blocks->mount_count; i++)
            if (blocks->mounts[i].devno == devno)
                add_all(&b->below, &blocks->mounts[i].on);
    }
    size_t device = ib_startswith(file, "/dev/") ? ib_blocks_resolve(blocks, file) : IB_NO_BLOCK;
    const struct ib_mount *mount = ib_blocks_mount_of(blocks, file);
    ib_block_set_add(&b->below, device);
    if (device == IB_NO_BLOCK && mount)
        add_all(&b->below, &mount->on);
}

/* Partitions and slaves; the loop devices come after the mounts. */
static void link_block(const struct ib_blocks *blocks, struct ib_block *b)
{
    _cleanup_(ib_freep) char *partition = ib_path_join(b->dir, "partition");
    _cleanup_(ib_strv_clear) struct ib_strv slaves = {0};

    if (ib_path_exists(partition)) {
        _cleanup_(ib_freep) char *parent = ib_path_dir(b->dir);
        b->disk = ib_blocks_by_name(blocks, ib_path_base(parent));
        ib_block_set_add(&b->below, b->disk);
    }
    ib_sysfs_names(b->dir, "slaves", &slaves);
    for (size_t i = 0; i < slaves.count; i++)
        ib_block_set_add(&b->below, ib_blocks_by_name(blocks, slaves.items[i]));
}

static bool read_block(const char *class_dir, const char *name, struct ib_block *ret)
{
    _cleanup_(ib_freep) char *link = ib_path_join(class_dir, name);
    _cleanup_(ib_freep) char *dir = realpath(link, NULL);
    _cleanup_(ib_freep) char *devno = dir ? ib_sysfs_text(dir, "dev") : NULL;
    uint64_t minor_number;
    char *colon = devno ? strchr(devno, ':') : NULL;

    if (!colon || !ib_parse_u64(colon + 1, UINT32_MAX, &minor_number))
        return false; /* it went away meanwhile, or is a path of an NVMe disk (hidden) */
    *colon = 0;
    uint64_t major_number;
    if (!ib_parse_u64(devno, UINT32_MAX, &major_number))
        return false;
    *ret = (struct ib_block){
        .name = ib_strdup(name),
        .path = ib_asprintf("/dev/%s", name),
        .devno = makedev((unsigned)major_number, (unsigned)minor_number),
        .disk = IB_NO_BLOCK,
    };
    for (char *c = strchr(ret->path, '!'); c; c = strchr(c, '!'))
        *c = '/'; /* sysfs' way to write the slash of "cciss/c0d0" */
    _cleanup_(ib_freep) char *dm_name = ib_sysfs_text(dir, "dm/name");
    ret->shown = dm_name ? ib_asprintf("/dev/mapper/%s", dm_name) : ib_strdup(ret->path);
    ret->dir = ib_steal(&dir);
    return true;
}

int ib_blocks_load(const struct ib_disk_roots *roots, struct ib_blocks *ret, struct ib_error **err)
{
    _cleanup_(ib_blocks_clear) struct ib_blocks blocks = {.roots = *roots};
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};
    _cleanup_(ib_freep) char *class_dir = ib_path_join(roots->sys, "class/block");

    ib_sysfs_names(class_dir, "", &names);
    if (!names.count) {
        ib_failf(err, IB_E_UNSUPPORTED, "there are no block devices in '%s'", class_dir);
        return ib_hint(err, "is sysfs mounted?");
    }
    blocks.items = ib_calloc(names.count, sizeof(*blocks.items));
    for (size_t i = 0; i < names.count; i++)
        if (read_block(class_dir, names.items[i], &blocks.items[blocks.count]))
            blocks.count++;
    for (size_t i = 0; i < blocks.count; i++)
        link_block(&blocks, &blocks.items[i]);
    if (ib_mounts_read(roots->proc, &blocks, err) < 0 ||
        ib_swaps_read(roots->proc, &blocks, err) < 0)
        return -1;
    for (size_t i = 0; i < blocks.mount_count; i++)
        add_mount_devices(&blocks, &blocks.mounts[i], 0, &blocks.mounts[i].on);
    for (size_t i = 0; i < blocks.count; i++) {
        _cleanup_(ib_freep) char *file = ib_sysfs_text(blocks.items[i].dir, "loop/backing_file");
        if (file)
            add_loop(&blocks, &blocks.items[i], file);
    }
    for (size_t i = 0; i < blocks.swap_count; i++) {
        struct ib_swap *swap = &blocks.swaps[i];
        size_t device = ib_blocks_resolve(&blocks, swap->path);
        ib_block_set_add(&swap->on, device);
        if (device == IB_NO_BLOCK)
            add_path_devices(&blocks, swap->path, 0, &swap->on);
    }
    *ret = blocks;
    blocks = (struct ib_blocks){0};
    return 0;
}
