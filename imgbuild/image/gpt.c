/* SPDX-License-Identifier: Apache-2.0 */
#include "image/gpt.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "gpt_internal.h"

/* 64 PiB: sums of 128 of them cannot wrap. */
#define SIZE_BYTES_MAX (UINT64_C(1) << 56)

static const struct {
    enum ib_gpt_type type;
    const char *arch; /* NULL: any */
    const char *name;
    const char *uuid;
} types[] = {
    {IB_GPT_ESP, NULL, "esp", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"},
    {IB_GPT_ROOT, "x86-64", "root-x86-64", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"},
    {IB_GPT_ROOT, "arm64", "root-arm64", "b921b045-1df0-41c3-af44-4c6f280d3fae"},
    {IB_GPT_ROOT_VERITY, "x86-64", "root-x86-64-verity", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"},
    {IB_GPT_ROOT_VERITY, "arm64", "root-arm64-verity", "df3300ce-d69f-4c92-978c-9bfb0f38d820"},
    {IB_GPT_VAR, NULL, "var", "4d21b016-b534-45c2-a9fb-5c16e091fd2d"},
    {IB_GPT_LINUX, NULL, "linux-generic", "0fc63daf-8483-4772-8e79-3d69d8477de4"},
};

bool ib_gpt_type_uuid(enum ib_gpt_type type, const char *arch, struct ib_uuid *ret)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(types); i++)
        if (types[i].type == type && (!types[i].arch || ib_streq(types[i].arch, arch)))
            return ib_uuid_parse(types[i].uuid, ret);
    return false;
}

const char *ib_gpt_type_name(const struct ib_uuid *type)
{
    char text[IB_UUID_TEXT_SIZE];

    ib_uuid_format(type, text);
    for (size_t i = 0; i < IB_ARRAY_SIZE(types); i++)
        if (ib_streq(types[i].uuid, text))
            return types[i].name;
    return NULL;
}

void ib_fdisk_unrefp(struct fdisk_context **cxt)
{
    if (*cxt) {
        if (fdisk_get_devfd(*cxt) >= 0) /* libfdisk asserts that one was assigned */
            (void)fdisk_deassign_device(*cxt, 1);
        fdisk_unref_context(*cxt);
    }
}

static void unref_partition(struct fdisk_partition **pa)
{
    fdisk_unref_partition(*pa);
}

static void unref_type(struct fdisk_parttype **type)
{
    fdisk_unref_parttype(*type);
}

static void unref_table(struct fdisk_table **table)
{
    fdisk_unref_table(*table);
}

struct fdisk_context *ib_fdisk_open(int fd, const char *name, bool read_only, struct ib_error **err)
{
    _cleanup_(ib_fdisk_unrefp) struct fdisk_context *cxt = fdisk_new_context();

    if (!cxt)
        abort();
    int r = fdisk_save_user_sector_size(cxt, IB_GPT_SECTOR_SIZE, IB_GPT_SECTOR_SIZE);
    if (r == 0)
        r = fdisk_assign_device_by_fd(cxt, fd, name, read_only);
    if (r < 0) {
        ib_fail(err, IB_E_IO, -r, name, "read the partition table of");
        return NULL;
    }
    return ib_steal(&cxt);
}

static int check_label(const struct ib_gpt_partition *p, struct ib_error **err)
{
    size_t n = strnlen(p->label, sizeof(p->label));

    if (n > IB_GPT_LABEL_MAX) {
        ib_failf(err, IB_E_INVALID, "the partition label '%.*s' is longer than %d characters",
                 (int)n, p->label, IB_GPT_LABEL_MAX);
        return ib_hint(err, "shorten the name or the version that it is made of");
    }
    for (size_t i = 0; i < n; i++)
        if (p->label[i] < 0x20 || p->label[i] > 0x7e)
            return ib_failf(err, IB_E_INVALID, "the partition label '%s' is not plain ASCII",
                            p->label);
    return 0;
}

static int lay_out(struct ib_gpt *gpt, struct ib_error **err)
{
    uint64_t at = IB_GPT_HEAD_SIZE, need;

    if (gpt->partition_count > IB_GPT_PARTITIONS_MAX)
        return ib_failf(err, IB_E_INVALID, "a partition table of ours holds at most %d partitions",
                        IB_GPT_PARTITIONS_MAX);
    for (size_t i = 0; i < gpt->partition_count; i++) {
        struct ib_gpt_partition *p = &gpt->partitions[i];
        if (p->size_bytes == 0 || p->size_bytes % IB_GPT_SECTOR_SIZE ||
            p->size_bytes > SIZE_BYTES_MAX)
            return ib_failf(err, IB_E_INVALID, "partition %zu has the unusable size of %llu bytes",
                            i + 1, (unsigned long long)p->size_bytes);
        if (check_label(p, err) < 0)
            return -1;
        p->number = (unsigned)i + 1;
        p->offset_bytes = at;
        at = ib_round_up(at + p->size_bytes, IB_GPT_ALIGN);
    }
    const struct ib_gpt_partition *last =
        gpt->partition_count ? &gpt->partitions[gpt->partition_count - 1] : NULL;
    uint64_t end = last ? last->offset_bytes + last->size_bytes : IB_GPT_HEAD_SIZE;
    need = end + IB_GPT_TAIL_SIZE;
    if (gpt->disk_size_bytes == 0)
        gpt->disk_size_bytes = ib_round_up(need, IB_GPT_ALIGN);
    if (gpt->disk_size_bytes < need || gpt->disk_size_bytes % IB_GPT_SECTOR_SIZE)
        return ib_failf(err, IB_E_INVALID, "the partitions need %llu bytes, but the disk has %llu",
                        (unsigned long long)need, (unsigned long long)gpt->disk_size_bytes);
    return 0;
}

int ib_fdisk_add(struct fdisk_context *cxt, const struct ib_gpt_partition *p)
{
    size_t number = p->number - 1;

    _cleanup_(unref_partition) struct fdisk_partition *pa = fdisk_new_partition();
    _cleanup_(unref_type) struct fdisk_parttype *type = fdisk_new_parttype();
    char uuid[IB_UUID_TEXT_SIZE], type_text[IB_UUID_TEXT_SIZE];
    int r;

    if (!pa || !type)
        abort();
    ib_uuid_format(&p->type, type_text);
    for (char *c = type_text; *c; c++) /* libfdisk's own table has capitals */
        *c = *c >= 'a' && *c <= 'f' ? (char)(*c - 'a' + 'A') : *c;
    if ((r = fdisk_parttype_set_typestr(type, type_text)) < 0 ||
        (r = fdisk_partition_set_type(pa, type)) < 0 ||
        (r = fdisk_partition_set_partno(pa, number)) < 0 ||
        (r = fdisk_partition_set_start(pa, p->offset_bytes / IB_GPT_SECTOR_SIZE)) < 0 ||
        (r = fdisk_partition_set_size(pa, p->size_bytes / IB_GPT_SECTOR_SIZE)) < 0 ||
        (r = fdisk_partition_size_explicit(pa, 1)) < 0 || /* not rounded to 1 MiB */
        (r = fdisk_partition_set_name(pa, p->label)) < 0 ||
        (r = fdisk_partition_set_uuid(pa, ib_uuid_format(&p->uuid, uuid))) < 0 ||
        (r = fdisk_add_partition(cxt, pa, NULL)) < 0)
        return r;
    return p->attributes ? fdisk_gpt_set_partition_attrs(cxt, number, p->attributes) : 0;
}

static int write_table(const struct ib_gpt *gpt, int fd, struct ib_error **err)
{
    _cleanup_(ib_fdisk_unrefp) struct fdisk_context *cxt =
        ib_fdisk_open(fd, "partition table", false, err);
    char disk[IB_UUID_TEXT_SIZE];
    int r;

    if (!cxt)
        return -1;
    if ((r = fdisk_create_disklabel(cxt, "gpt")) < 0 ||
        (r = fdisk_set_disklabel_id_from_string(cxt, ib_uuid_format(&gpt->disk, disk))) < 0)
        return ib_fail(err, IB_E_INTERNAL, -r, NULL, "make the partition table");
    for (size_t i = 0; i < gpt->partition_count; i++)
        if ((r = ib_fdisk_add(cxt, &gpt->partitions[i])) < 0)
            return ib_fail(err, IB_E_INTERNAL, -r, gpt->partitions[i].label, "add partition");
    if ((r = fdisk_write_disklabel(cxt)) < 0)
        return ib_fail(err, IB_E_IO, -r, NULL, "write the partition table");
    return 0;
}

int ib_gpt_make(struct ib_gpt *gpt, const char *temp_dir, struct ib_buf *head, struct ib_buf *tail,
                struct ib_error **err)
{
    if (lay_out(gpt, err) < 0)
        return -1;
    _cleanup_(ib_closep) int fd = ib_temp_file(temp_dir, err);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)gpt->disk_size_bytes) < 0)
        return ib_fail(err, IB_E_IO, errno, temp_dir, "make a temporary disk image in");
    if (write_table(gpt, fd, err) < 0)
        return -1;
    if (ib_pread_full(fd, ib_buf_reserve(head, IB_GPT_HEAD_SIZE), IB_GPT_HEAD_SIZE, 0) < 0 ||
        ib_pread_full(fd, ib_buf_reserve(tail, IB_GPT_TAIL_SIZE), IB_GPT_TAIL_SIZE,
                      gpt->disk_size_bytes - IB_GPT_TAIL_SIZE) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "read the partition table back");
    head->size += IB_GPT_HEAD_SIZE;
    tail->size += IB_GPT_TAIL_SIZE;
    return 0;
}

static int read_partition(struct fdisk_context *cxt, struct fdisk_partition *pa, uint64_t sectors,
                          struct ib_gpt_partition *ret)
{
    struct fdisk_parttype *type = fdisk_partition_get_type(pa);
    const char *type_text = type ? fdisk_parttype_get_string(type) : NULL;
    const char *uuid = fdisk_partition_get_uuid(pa), *label = fdisk_partition_get_name(pa);

    if (!type_text || !uuid || !fdisk_partition_has_start(pa) || !fdisk_partition_has_size(pa))
        return -1;
    uint64_t start = fdisk_partition_get_start(pa), size = fdisk_partition_get_size(pa);
    if (start > sectors || size > sectors - start)
        return -1;
    if (!ib_uuid_parse(type_text, &ret->type) || !ib_uuid_parse(uuid, &ret->uuid))
        return -1;
    if (label && strlen(label) < sizeof(ret->label))
        memcpy(ret->label, label, strlen(label) + 1);
    ret->number = (unsigned)fdisk_partition_get_partno(pa) + 1;
    ret->offset_bytes = start * IB_GPT_SECTOR_SIZE;
    ret->size_bytes = size * IB_GPT_SECTOR_SIZE;
    return fdisk_gpt_get_partition_attrs(cxt, fdisk_partition_get_partno(pa), &ret->attributes);
}

static int by_offset(const void *a, const void *b)
{
    const struct ib_gpt_partition *x = a, *y = b;

    return x->offset_bytes < y->offset_bytes ? -1 : x->offset_bytes > y->offset_bytes;
}

static int read_partitions(struct fdisk_context *cxt, const char *name, struct ib_gpt *gpt,
                           struct ib_error **err)
{
    _cleanup_(unref_table) struct fdisk_table *table = NULL;
    uint64_t sectors = fdisk_get_nsectors(cxt);
    int r = fdisk_get_partitions(cxt, &table);

    if (r < 0)
        return ib_fail(err, IB_E_INVALID, -r, name, "read the partition table of");
    size_t count = fdisk_table_get_nents(table);
    if (count > IB_GPT_PARTITIONS_MAX)
        return ib_failf(err, IB_E_INVALID, "'%s' has more than %d partitions", name,
                        IB_GPT_PARTITIONS_MAX);
    gpt->partitions = ib_calloc(count, sizeof(*gpt->partitions));
    for (size_t i = 0; i < count; i++) {
        struct fdisk_partition *pa = fdisk_table_get_partition(table, i);
        if (read_partition(cxt, pa, sectors, &gpt->partitions[gpt->partition_count++]) < 0)
            return ib_failf(err, IB_E_INVALID, "partition %zu of '%s' lies outside of it", i + 1,
                            name);
    }
    qsort(gpt->partitions, count, sizeof(*gpt->partitions), by_offset);
    gpt->disk_size_bytes = sectors * IB_GPT_SECTOR_SIZE;
    return 0;
}

static int no_table(const char *name, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "'%s' has no valid GUID partition table", name);
}

int ib_gpt_read(int fd, const char *name, struct ib_gpt *ret, struct ib_error **err)
{
    const off_t smallest = 2 * IB_GPT_TAIL_SIZE + IB_GPT_SECTOR_SIZE;
    off_t size = lseek(fd, 0, SEEK_END);
    _cleanup_(ib_gpt_clear) struct ib_gpt gpt = {0};
    _cleanup_(ib_freep) char *id = NULL;

    if (size < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    if (size < smallest)
        return no_table(name, err);
    _cleanup_(ib_fdisk_unrefp) struct fdisk_context *cxt = ib_fdisk_open(fd, name, true, err);
    if (!cxt)
        return -1;
    if (!fdisk_is_label(cxt, GPT))
        return no_table(name, err);
    if (fdisk_get_disklabel_id(cxt, &id) < 0 || !id || !ib_uuid_parse(id, &gpt.disk))
        return ib_failf(err, IB_E_INVALID, "the partition table of '%s' has no disk identifier",
                        name);
    if (read_partitions(cxt, name, &gpt, err) < 0)
        return -1;
    *ret = gpt;
    gpt = (struct ib_gpt){0};
    return 0;
}

void ib_gpt_clear(struct ib_gpt *gpt)
{
    free(gpt->partitions);
    *gpt = (struct ib_gpt){0};
}
