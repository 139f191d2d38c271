/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "image/gpt.h"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(gpt, .init = make_dir, .fini = remove_dir);

static struct ib_gpt_partition partition(enum ib_gpt_type type, const char *name, uint64_t size)
{
    struct ib_gpt_partition p = {.size_bytes = size};

    cr_assert(ib_gpt_type_uuid(type, "x86-64", &p.type));
    ib_uuid_derive("test", name, &p.uuid);
    snprintf(p.label, sizeof(p.label), "%s", name);
    return p;
}

/* Lays the table's two ends on a sparse file, as an artifact would. */
static int write_image(const struct ib_gpt *gpt, const struct ib_buf *head,
                       const struct ib_buf *tail, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert(fd >= 0);
    cr_assert_eq(ftruncate(fd, (off_t)gpt->disk_size_bytes), 0);
    cr_assert_eq(ib_pwrite_full(fd, head->data, head->size, 0), 0);
    cr_assert_eq(ib_pwrite_full(fd, tail->data, tail->size, gpt->disk_size_bytes - tail->size), 0);
    return fd;
}

static void assert_same(const struct ib_gpt_partition *a, const struct ib_gpt_partition *b)
{
    cr_assert_eq(memcmp(&a->type, &b->type, sizeof(a->type)), 0);
    cr_assert_eq(memcmp(&a->uuid, &b->uuid, sizeof(a->uuid)), 0);
    cr_assert_str_eq(a->label, b->label);
    cr_assert_eq(a->attributes, b->attributes);
    cr_assert_eq(a->offset_bytes, b->offset_bytes);
    cr_assert_eq(a->size_bytes, b->size_bytes);
}

Test(gpt, what_is_made_reads_back_and_satisfies_sfdisk)
{
    struct ib_gpt_partition partitions[] = {
        partition(IB_GPT_ESP, "esp", 512 * IB_MIB),
        partition(IB_GPT_ROOT, "control_2026.11.22", 180 * IB_MIB + 512),
        partition(IB_GPT_ROOT_VERITY, "control_2026.11.22", 3 * IB_MIB),
    };
    struct ib_gpt gpt = {.partitions = partitions, .partition_count = 3}, again = {0};
    struct ib_buf head = {0}, tail = {0}, out = {0};
    struct ib_error *err = NULL;

    partitions[1].attributes = IB_GPT_READ_ONLY;
    partitions[2].attributes = IB_GPT_READ_ONLY | IB_GPT_GROW_FS;
    ib_uuid_derive("test", "disk", &gpt.disk);
    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), 0, "%s", ib_error_text(err));
    cr_assert(head.size == IB_GPT_HEAD_SIZE && tail.size == IB_GPT_TAIL_SIZE);
    cr_assert_eq(partitions[0].offset_bytes, IB_MIB);
    cr_assert_eq(partitions[1].offset_bytes, 513 * IB_MIB);
    cr_assert_eq(partitions[2].offset_bytes, 694 * IB_MIB);
    cr_assert_eq(gpt.disk_size_bytes, 698 * IB_MIB);

    char *path = ib_path_join(dir, "disk");
    int fd = write_image(&gpt, &head, &tail, path);
    cr_assert_eq(ib_gpt_read(fd, path, &again, &err), 0);
    cr_assert_eq(again.partition_count, 3);
    cr_assert_eq(again.disk_size_bytes, gpt.disk_size_bytes);
    cr_assert_eq(memcmp(&again.disk, &gpt.disk, sizeof(gpt.disk)), 0);
    for (size_t i = 0; i < 3; i++)
        assert_same(&again.partitions[i], &partitions[i]);
    cr_assert_str_eq(ib_gpt_type_name(&again.partitions[1].type), "root-x86-64");

    const char *const argv[] = {"sfdisk", "--verify", path, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .out = &out}, &err), 0);
    cr_assert_not_null(strstr((char *)out.data, "No errors detected"));
    close(fd), free(path), ib_gpt_clear(&again);
    ib_buf_clear(&head), ib_buf_clear(&tail), ib_buf_clear(&out);
}

Test(gpt, same_input_same_bytes)
{
    struct ib_gpt_partition p = partition(IB_GPT_ESP, "esp", 64 * IB_MIB);
    struct ib_buf head[2] = {0}, tail[2] = {0};

    for (int i = 0; i < 2; i++) {
        struct ib_gpt gpt = {.partitions = &p, .partition_count = 1};
        cr_assert_eq(ib_gpt_make(&gpt, dir, &head[i], &tail[i], NULL), 0);
    }
    cr_assert_eq(memcmp(head[0].data, head[1].data, head[0].size), 0);
    cr_assert_eq(memcmp(tail[0].data, tail[1].data, tail[0].size), 0);
    /* UEFI 5.2.3: the protective MBR's disk signature and boot code are zero */
    for (int i = 0; i < 446; i++)
        cr_assert_eq(head[0].data[i], 0);
    for (int i = 0; i < 2; i++)
        ib_buf_clear(&head[i]), ib_buf_clear(&tail[i]);
}

Test(gpt, what_does_not_fit_is_refused)
{
    struct ib_gpt_partition p = partition(IB_GPT_ESP, "esp", 64 * IB_MIB);
    struct ib_gpt gpt = {.partitions = &p, .partition_count = 1, .disk_size_bytes = 65 * IB_MIB};
    struct ib_buf head = {0}, tail = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    gpt.disk_size_bytes = 0;
    p.size_bytes = 100;
    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), -1);
    ib_error_clear(&err);
    p.size_bytes = UINT64_MAX - 511;
    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), -1);
    ib_error_clear(&err);
    p.size_bytes = IB_MIB;
    snprintf(p.label, sizeof(p.label), "a_label_that_is_longer_than_36_characters");
    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), -1);
    cr_assert_not_null(ib_error_hint(err));
    ib_error_clear(&err);
    cr_assert_eq(head.size, 0);
}

Test(gpt, damaged_tables_are_errors_or_read_from_the_backup)
{
    struct ib_gpt_partition p = partition(IB_GPT_ROOT, "root", 64 * IB_MIB);
    struct ib_gpt gpt = {.partitions = &p, .partition_count = 1}, again = {0};
    struct ib_buf head = {0}, tail = {0};
    struct ib_error *err = NULL;
    char *path = ib_path_join(dir, "disk");

    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, &err), 0);
    head.data[512 + 40] ^= 1; /* primary header: its checksum is wrong now */
    int fd = write_image(&gpt, &head, &tail, path);
    cr_assert_eq(ib_gpt_read(fd, path, &again, &err), 0);
    cr_assert_eq(again.partition_count, 1);
    ib_gpt_clear(&again);
    close(fd);
    tail.data[tail.size - 512 + 40] ^= 1; /* and the backup's */
    fd = write_image(&gpt, &head, &tail, path);
    cr_assert_eq(ib_gpt_read(fd, path, &again, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    close(fd), free(path), ib_buf_clear(&head), ib_buf_clear(&tail);
}

Test(gpt, types_of_the_specification)
{
    struct ib_uuid uuid;

    cr_assert(ib_gpt_type_uuid(IB_GPT_ROOT_VERITY, "arm64", &uuid));
    cr_assert_str_eq(ib_gpt_type_name(&uuid), "root-arm64-verity");
    cr_assert_not(ib_gpt_type_uuid(IB_GPT_ROOT, "vax", &uuid));
    cr_assert(ib_gpt_type_uuid(IB_GPT_ESP, "vax", &uuid));
    memset(&uuid, 7, sizeof(uuid));
    cr_assert_null(ib_gpt_type_name(&uuid));
}
