/* SPDX-License-Identifier: Apache-2.0 */
/* Making an image's partition table fit the disk it is written to (image/gpt.h). */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "gpt_internal.h"

unsigned ib_gpt_find(const void *head, size_t size)
{
    static const char mark[8] = "EFI PART";
    static const unsigned sectors[] = {512, 4096};

    for (size_t i = 0; i < IB_ARRAY_SIZE(sectors); i++)
        if (size >= sectors[i] + sizeof(mark) &&
            memcmp((const char *)head + sectors[i], mark, sizeof(mark)) == 0)
            return sectors[i];
    return 0;
}

static int overlaps(const struct ib_gpt_partition *kept, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED, "the image needs the place where the partition '%s' lies",
             kept->label);
    return ib_hint(err, "save what is on it and flash without keeping it");
}

/* The kept partition's number if nobody has it, else the first that is free. */
static unsigned free_number(const bool *taken, unsigned wanted)
{
    if (wanted >= 1 && wanted <= IB_GPT_PARTITIONS_MAX && !taken[wanted])
        return wanted;
    for (unsigned n = 1; n <= IB_GPT_PARTITIONS_MAX; n++)
        if (!taken[n])
            return n;
    return 0;
}

static int add_kept(struct fdisk_context *cxt, int fd, const struct ib_gpt_fit *fit,
                    struct ib_error **err)
{
    _cleanup_(ib_gpt_clear) struct ib_gpt image = {0};
    bool taken[IB_GPT_PARTITIONS_MAX + 1] = {0};

    if (fit->head && ib_gpt_read(fd, fit->name, &image, err) < 0)
        return -1;
    for (size_t i = 0; i < image.partition_count; i++)
        if (image.partitions[i].number <= IB_GPT_PARTITIONS_MAX)
            taken[image.partitions[i].number] = true;
    for (size_t k = 0; k < fit->kept_count; k++) {
        struct ib_gpt_partition p = fit->kept[k];
        for (size_t i = 0; i < image.partition_count; i++) {
            const struct ib_gpt_partition *q = &image.partitions[i];
            if (p.offset_bytes < q->offset_bytes + q->size_bytes &&
                q->offset_bytes < p.offset_bytes + p.size_bytes)
                return overlaps(&p, err);
        }
        p.number = free_number(taken, p.number);
        if (p.number == 0)
            return ib_failf(err, IB_E_REFUSED, "there is no number left for the partition '%s'",
                            p.label);
        taken[p.number] = true;
        int r = ib_fdisk_add(cxt, &p);
        if (r < 0)
            return ib_fail(err, IB_E_REFUSED, -r, p.label, "keep partition");
    }
    return 0;
}

static int make_table(int fd, const struct ib_gpt_fit *fit, struct ib_error **err)
{
    _cleanup_(ib_fdisk_unrefp) struct fdisk_context *cxt = ib_fdisk_open(fd, fit->name, false, err);
    char disk[IB_UUID_TEXT_SIZE];
    int r;

    if (!cxt)
        return -1;
    if (!fit->head &&
        ((r = fdisk_create_disklabel(cxt, "gpt")) < 0 ||
         (r = fdisk_set_disklabel_id_from_string(cxt, ib_uuid_format(&fit->disk, disk))) < 0))
        return ib_fail(err, IB_E_INTERNAL, -r, NULL, "make the partition table");
    if (!fdisk_is_label(cxt, GPT))
        return ib_failf(err, IB_E_INVALID, "the partition table of '%s' is damaged", fit->name);
    if (add_kept(cxt, fd, fit, err) < 0)
        return -1;
    r = fdisk_write_disklabel(cxt);
    return r < 0 ? ib_fail(err, IB_E_INVALID, -r, fit->name, "fit the partition table of") : 0;
}

int ib_gpt_fit(const struct ib_gpt_fit *fit, struct ib_buf *ret_head, struct ib_buf *ret_tail,
               struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = memfd_create("imgbuild", MFD_CLOEXEC);

    /* sparse: memory is used for the few pages of the table only */
    if (fd < 0 || ftruncate(fd, (off_t)fit->disk_size_bytes) < 0 ||
        (fit->head && ib_pwrite_full(fd, fit->head, IB_GPT_FIT_HEAD, 0) < 0))
        return ib_fail(err, IB_E_IO, errno, NULL, "set memory aside");
    if (make_table(fd, fit, err) < 0)
        return -1;
    if (ib_pread_full(fd, ib_buf_reserve(ret_head, IB_GPT_FIT_HEAD), IB_GPT_FIT_HEAD, 0) < 0 ||
        ib_pread_full(fd, ib_buf_reserve(ret_tail, IB_GPT_TAIL_SIZE), IB_GPT_TAIL_SIZE,
                      fit->disk_size_bytes - IB_GPT_TAIL_SIZE) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "read the partition table back");
    ret_head->size += IB_GPT_FIT_HEAD;
    ret_tail->size += IB_GPT_TAIL_SIZE;
    return 0;
}
