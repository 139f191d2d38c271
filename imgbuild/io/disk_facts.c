/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs tells of a disk: Documentation/ABI/stable/sysfs-block, and each bus in its own way. */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "disk_blocks.h"

enum { SECTOR = 512, MAX_PAGE_SIZE = 4096 };

/* The length of the UTF-8 character at s (Unicode 15, table 3-7), 0 where there is none. */
static size_t character_size(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    size_t size = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return size;
}

char *ib_disk_clean_text(char *s)
{
    for (unsigned char *c = (unsigned char *)s; c && *c;) {
        size_t size = character_size(c);
        bool control = *c < 0x20 || *c == 0x7f || (*c == 0xc2 && size == 2 && c[1] < 0xa0);
        if (control || !size)
            memset(c, '?', size ? size : 1);
        c += size ? size : 1;
    }
    return s;
}

/* "   ABC  " -> "ABC"; NULL where nothing is left. */
static char *trimmed(const char *text, size_t size)
{
    size = strnlen(text, size);
    while (size && (text[size - 1] == ' ' || text[size - 1] == '\n'))
        size--;
    while (size && *text == ' ') {
        text++;
        size--;
    }
    return size ? ib_strndup(text, size) : NULL;
}

/* The directory, from the device upwards, of the USB device that the disk hangs on. */
static char *usb_device(const char *dir)
{
    _cleanup_(ib_freep) char *at = ib_strdup(dir);

    while (strchr(at, '/') && strlen(at) > 1) {
        _cleanup_(ib_freep) char *vendor = ib_path_join(at, "idVendor");
        char *parent;
        if (ib_path_exists(vendor))
            return ib_steal(&at);
        parent = ib_path_dir(at);
        free(at);
        at = parent;
    }
    return NULL;
}

/* A SCSI page of vital product data: 4 bytes of head, then its content (SPC-5, 7.7). */
static int read_vpd(const char *dir, const char *page, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/device/%s", dir, page);

    if (ib_read_file(path, MAX_PAGE_SIZE, ret, NULL) < 0 || ret->size <= 4)
        return -1;
    return 0;
}

/* SCSI cuts the model of an ATA disk at 16 characters; the ATA Information page (SAT-4, 12.4.2) has
 * its IDENTIFY DEVICE data from byte 60, where words 27 to 46 are the whole model, bytes swapped.
 */
static char *ata_model(const char *dir)
{
    enum { MODEL_AT = 60 + 27 * 2, MODEL_SIZE = 40 };
    _cleanup_(ib_buf_clear) struct ib_buf page = {0};
    char model[MODEL_SIZE];

    if (read_vpd(dir, "vpd_pg89", &page) < 0 || page.size < MODEL_AT + MODEL_SIZE)
        return NULL;
    for (size_t i = 0; i < MODEL_SIZE; i++)
        model[i] = (char)page.data[MODEL_AT + (i ^ 1)];
    return trimmed(model, sizeof(model));
}

static char *serial_number_page(const char *dir)
{
    _cleanup_(ib_buf_clear) struct ib_buf page = {0};

    if (read_vpd(dir, "vpd_pg80", &page) < 0)
        return NULL;
    return trimmed((const char *)page.data + 4, page.size - 4);
}

static char *first_text(const char *dir, const char *const *attributes)
{
    char *text = NULL;

    for (; !text && *attributes; attributes++)
        text = ib_sysfs_text(dir, *attributes);
    return text;
}

static void read_names(const char *dir, struct ib_disk *disk)
{
    static const char *const models[] = {"device/model", "device/name", NULL};
    static const char *const serials[] = {"serial", "device/serial", NULL};
    _cleanup_(ib_freep) char *usb = ib_streq(disk->transport, "usb") ? usb_device(dir) : NULL;

    disk->model = ata_model(dir);
    if (!disk->model)
        disk->model = first_text(dir, models);
    if (!disk->model && usb)
        disk->model = ib_sysfs_text(usb, "product");
    disk->serial = serial_number_page(dir);
    if (!disk->serial)
        disk->serial = first_text(dir, serials);
    if (!disk->serial && usb)
        disk->serial = ib_sysfs_text(usb, "serial");
    ib_disk_clean_text(disk->model);
    ib_disk_clean_text(disk->serial);
}

/* By the name for what has drivers of its own, else by the buses on the way to the disk. */
static const char *transport_of(const char *name, const char *dir)
{
    static const char *const by_name[][2] = {
        {"nvme", "nvme"}, {"mmcblk", "mmc"}, {"loop", "loop"},   {"dm-", "dm"},      {"md", "md"},
        {"zram", "ram"},  {"ram", "ram"},    {"nbd", "network"}, {"rbd", "network"},
    };
    static const char *const by_bus[][2] = {
        {"/usb", "usb"},         {"/ata", "sata"},  {"/session", "iscsi"},
        {"/end_device-", "sas"}, {"/rport-", "fc"}, {"/virtio", "virtio"},
        {"/VMBUS:", "hyperv"},   {"/vbd-", "xen"},  {"/host", "scsi"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(by_name); i++)
        if (ib_startswith(name, by_name[i][0]))
            return by_name[i][1];
    for (size_t i = 0; i < IB_ARRAY_SIZE(by_bus); i++)
        if (strstr(dir, by_bus[i][0]))
            return by_bus[i][1];
    return NULL;
}

static bool is_disk_name(const char *name)
{
    static const char *const others[] = {"loop",   "dm-", "md",       "ram",     "zram",
                                         "nbd",    "rbd", "drbd",     "sr",      "fd",
                                         "bcache", "zd",  "mtdblock", "ubiblock"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(others); i++)
        if (ib_startswith(name, others[i]))
            return false;
    return true;
}

static void read_by_id(const struct ib_blocks *blocks, size_t index, struct ib_strv *ret)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    ib_sysfs_names(blocks->roots.dev, "disk/by-id", &names);
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *path = ib_asprintf("/dev/disk/by-id/%s", names.items[i]);
        if (ib_blocks_resolve(blocks, path) == index)
            ib_strv_add(ret, ib_disk_clean_text(names.items[i]));
    }
}

void ib_disk_read_facts(const struct ib_blocks *blocks, size_t index, struct ib_disk *ret)
{
    const struct ib_block *b = &blocks->items[index];
    const char *dir = b->disk == IB_NO_BLOCK ? b->dir : blocks->items[b->disk].dir;
    const char *transport = transport_of(b->name, dir);
    _cleanup_(ib_freep) char *medium = ib_sysfs_text(dir, "device/type");

    *ret = (struct ib_disk){
        .path = ib_strdup(b->path),
        .name = ib_strdup(b->name),
        .devno = b->devno,
        .transport = ib_strdup(transport),
        .sequence = ib_sysfs_number(dir, "diskseq", 0),
        .logical_block = (uint32_t)ib_sysfs_number(dir, "queue/logical_block_size", SECTOR),
        .physical_block = (uint32_t)ib_sysfs_number(dir, "queue/physical_block_size", SECTOR),
        .rotational = ib_sysfs_number(dir, "queue/rotational", 0) != 0,
        .zeroes_offloaded = ib_sysfs_number(dir, "queue/write_zeroes_max_bytes", 0) != 0,
    };
    if (!ib_mul_u64(ib_sysfs_number(b->dir, "size", 0), SECTOR, &ret->size_bytes))
        ret->size_bytes = 0;
    ret->kind = b->disk != IB_NO_BLOCK  ? IB_DISK_KIND_PARTITION
                : is_disk_name(b->name) ? IB_DISK_KIND_DISK
                                        : IB_DISK_KIND_OTHER;
    ret->read_only = ib_sysfs_number(b->dir, "ro", 0) || ib_sysfs_number(dir, "ro", 0);
    ret->removable = ib_sysfs_number(dir, "removable", 0) || ib_streq(transport, "usb") ||
                     (ib_streq(transport, "mmc") && ib_streq(medium, "SD"));
    read_names(dir, ret);
    read_by_id(blocks, index, &ret->by_id);
}
