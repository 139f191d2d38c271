/* SPDX-License-Identifier: Apache-2.0 */
/* What flashing would do to a disk, before anything is written (ops/flash.h). */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "flash_internal.h"
#include "image/bytes.h"

static int too_small(const struct ib_flash_image *image, uint64_t need, const struct ib_disk *disk,
                     struct ib_error **err)
{
    char has[16], needs[16];

    ib_failf(err, IB_E_REFUSED, "%s has %s (%llu bytes), but the image unpacks to %s (%llu bytes)",
             disk->path, ib_format_size(disk->size_bytes, has),
             (unsigned long long)disk->size_bytes, ib_format_size(need, needs),
             (unsigned long long)need);
    ib_hint(err, "choose a larger disk (imgbuild flash --list)");
    return ib_wrap(err, ib_flash_image_name(image), "flash");
}

static int wrong_sectors(const struct ib_disk *disk, unsigned sector, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED,
             "%s has sectors of %u bytes, but the image's partition table is made for %u",
             disk->path, (unsigned)disk->logical_block, sector);
    return ib_hint(err, "machines could not read that table: choose another disk, or format this "
                        "one to sectors of 512 bytes (nvme format, hdparm --set-sector-size)");
}

/* The size of the disk that the table in the image was made for (UEFI 2.10, table 5-5: the header's
 * AlternateLBA is the disk's last). 0: no table of 512-byte sectors. */
static uint64_t table_size(const struct ib_flash_image *image)
{
    const struct ib_buf *first = ib_flash_image_first(image);
    uint64_t size;

    if (ib_gpt_find(first->data, first->size) != IB_GPT_SECTOR_SIZE)
        return 0;
    uint64_t last = ib_le64(first->data + IB_GPT_SECTOR_SIZE + 32);
    return last < UINT64_MAX && ib_mul_u64(last + 1, IB_GPT_SECTOR_SIZE, &size) ? size : 0;
}

/* Where the last partition of the image ends, by the table in its first bytes; 0: none. */
static int partitions_end(const struct ib_flash_image *image, uint64_t *ret, struct ib_error **err)
{
    const struct ib_buf *first = ib_flash_image_first(image);
    _cleanup_(ib_gpt_clear) struct ib_gpt gpt = {0};
    _cleanup_(ib_closep) int fd = memfd_create("imgbuild", MFD_CLOEXEC);

    *ret = 0;
    if (table_size(image) == 0)
        return 0;
    if (fd < 0 || ftruncate(fd, (off_t)table_size(image)) < 0 ||
        ib_pwrite_full(fd, first->data, IB_MIN(first->size, IB_FLASH_HEAD), 0) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "set memory aside");
    if (ib_gpt_read(fd, ib_flash_image_name(image), &gpt, err) < 0)
        return ib_hint(err, "the image is damaged: get it again");
    for (size_t i = 0; i < gpt.partition_count; i++)
        *ret = IB_MAX(*ret, gpt.partitions[i].offset_bytes + gpt.partitions[i].size_bytes);
    return 0;
}

int ib_flash_cut_off(const struct ib_flash_image *image, uint64_t size, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' ends after %llu bytes, before its last partition does",
             ib_flash_image_name(image), (unsigned long long)size);
    return ib_hint(err, "the image is incomplete: get it again");
}

static int in_the_way(const struct ib_gpt_partition *p, const char *disk, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED, "the image needs the place where partition %u '%s' of %s lies",
             p->number, p->label, disk);
    return ib_hint(err, "save what is on it and flash without keeping it");
}

static int keep_label(const char *label, const struct ib_gpt *gpt, uint64_t image_end,
                      const char *disk, struct ib_flash_plan *plan, struct ib_error **err)
{
    bool all = ib_streq(label, "all"), found = all;

    for (size_t i = 0; i < gpt->partition_count; i++) {
        const struct ib_gpt_partition *p = &gpt->partitions[i];
        bool twice = false;
        if (!all && !ib_streq(p->label, label))
            continue;
        found = true;
        if (p->offset_bytes < image_end) {
            if (all)
                continue;
            return in_the_way(p, disk, err);
        }
        for (size_t k = 0; k < plan->kept_count; k++)
            twice |= plan->kept[k].offset_bytes == p->offset_bytes;
        if (!twice)
            plan->kept[plan->kept_count++] = *p;
    }
    if (found)
        return 0;
    ib_failf(err, IB_E_REFUSED, "%s has no partition with the label '%s' to keep", disk, label);
    return ib_hint(err, "imgbuild flash --list shows the labels; leave --keep out for a new disk");
}

static int plan_kept(struct ib_flash_image *image, const struct ib_disk *disk,
                     const struct ib_strv *keep, struct ib_flash_plan *plan, struct ib_error **err)
{
    _cleanup_(ib_gpt_clear) struct ib_gpt gpt = {0};
    _cleanup_(ib_closep) int fd = ib_open_read(disk->path, err);

    if (fd < 0)
        return -1;
    if (plan->image_end == 0)
        return ib_failf(err, IB_E_REFUSED,
                        "'%s' has no GUID partition table to which partitions could be added",
                        ib_flash_image_name(image));
    if (ib_gpt_read(fd, disk->path, &gpt, err) < 0)
        return ib_wrap(err, disk->path, "keep partitions of");
    plan->old_disk = gpt.disk;
    plan->kept = ib_calloc(IB_MAX(gpt.partition_count, (size_t)1), sizeof(*plan->kept));
    for (size_t i = 0; i < keep->count; i++)
        if (keep_label(keep->items[i], &gpt, IB_MAX(plan->image_end, IB_FLASH_HEAD), disk->path,
                       plan, err) < 0)
            return -1;
    plan->moves_table |= plan->kept_count > 0;
    return 0;
}

static int check_fit(struct ib_flash_image *image, const struct ib_disk *disk,
                     struct ib_flash_plan *plan, struct ib_error **err)
{
    const struct ib_buf *first = ib_flash_image_first(image);
    unsigned sector = ib_gpt_find(first->data, first->size);
    bool known = plan->image_size != IB_SOURCE_SIZE_UNKNOWN;
    uint64_t need = known ? plan->image_size : table_size(image);

    if (need > disk->size_bytes)
        return too_small(image, need, disk, err);
    if (sector && sector != disk->logical_block)
        return wrong_sectors(disk, sector, err);
    plan->moves_table = sector == IB_GPT_SECTOR_SIZE && need < disk->size_bytes;
    return 0;
}

int ib_flash_plan_make(struct ib_flash_image *image, const struct ib_disk *disk, uint64_t file_size,
                       const struct ib_strv *keep, struct ib_flash_plan *ret, struct ib_error **err)
{
    _cleanup_(ib_flash_plan_clear) struct ib_flash_plan plan = {
        .image_size = ib_flash_image_size(image),
    };
    const struct ib_manifest *m = image->head.manifest;

    for (size_t i = 0; m && i < m->frame_count; i++)
        *(m->frames[i].zero ? &plan.hole_bytes : &plan.data_bytes) += m->frames[i].raw_size;
    if (image->has_bmap) {
        plan.data_bytes = image->bmap.mapped_size_bytes;
        plan.hole_bytes = plan.image_size - plan.data_bytes;
    }
    if (partitions_end(image, &plan.image_end, err) < 0)
        return -1;
    if (plan.image_size < plan.image_end)
        return ib_flash_cut_off(image, plan.image_size, err);
    if (!disk && plan.image_size == IB_SOURCE_SIZE_UNKNOWN) {
        ib_failf(err, IB_E_UNSUPPORTED, "the unpacked size of '%s' is not known before it ends",
                 ib_flash_image_name(image));
        return ib_hint(err, "imgbuild unpack writes such images to files");
    }
    plan.target_size = disk ? disk->size_bytes : IB_MAX(plan.image_size, file_size);
    if (!disk) /* a virtual machine's disk may be larger than the image, too */
        plan.moves_table = table_size(image) > 0 && plan.image_size < plan.target_size;
    else if (check_fit(image, disk, &plan, err) < 0)
        return -1;
    if (disk && keep && keep->count > 0 && plan_kept(image, disk, keep, &plan, err) < 0)
        return -1;
    *ret = plan;
    plan = (struct ib_flash_plan){0};
    return 0;
}

void ib_flash_plan_clear(struct ib_flash_plan *plan)
{
    free(plan->kept);
    *plan = (struct ib_flash_plan){0};
}
