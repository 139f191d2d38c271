/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on a disk, by libblkid. Partitions are probed by their place on the disk and not by their
 * device nodes: the kernel may know an older table, or none. A disk that cannot be made sense of is
 * nothing special: then nothing is known, and that is said.
 */
#include <blkid/blkid.h>
#include <ctype.h>
#include <string.h>

#include "disk_blocks.h"

enum { SECTOR = 512, MAX_CONTENTS = 256 };

static void free_probep(blkid_probe *probe)
{
    blkid_free_probe(*probe);
}

static blkid_probe new_probe(int fd, uint64_t offset, uint64_t size)
{
    blkid_probe probe = blkid_new_probe();

    if (probe && blkid_probe_set_device(probe, fd, (blkid_loff_t)offset, (blkid_loff_t)size) == 0)
        return probe;
    blkid_free_probe(probe);
    return NULL;
}

static char *value_of(blkid_probe probe, const char *name)
{
    const char *value = NULL;

    if (blkid_probe_lookup_value(probe, name, &value, NULL) < 0 || !value || !*value)
        return NULL;
    return ib_disk_clean_text(ib_strdup(value));
}

/* Type and label of what lies at a place; several signatures at once are said to be so. */
static void probe_content(int fd, struct ib_disk_content *content)
{
    _cleanup_(free_probep) blkid_probe probe =
        new_probe(fd, content->offset_bytes, content->size_bytes);

    if (!probe)
        return;
    blkid_probe_enable_superblocks(probe, 1);
    blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
    int found = blkid_do_safeprobe(probe);
    if (found == 0) {
        content->type = value_of(probe, "TYPE");
        content->label = value_of(probe, "LABEL");
    } else if (found == -2) {
        content->type = ib_strdup("several signatures");
    }
}

static struct ib_disk_content *add_content(struct ib_disk *disk)
{
    disk->contents =
        ib_reallocarray(disk->contents, disk->content_count + 1, sizeof(*disk->contents));
    struct ib_disk_content *content = &disk->contents[disk->content_count++];

    *content = (struct ib_disk_content){0};
    return content;
}

/* "/dev/sdb" and 2: "/dev/sdb2"; "/dev/nvme0n1" and 2: "/dev/nvme0n1p2" */
static char *partition_path(const char *disk, unsigned number)
{
    bool digit = isdigit((unsigned char)disk[strlen(disk) - 1]);

    return ib_asprintf("%s%s%u", disk, digit ? "p" : "", number);
}

static void add_partition(int fd, blkid_partition partition, struct ib_disk *disk)
{
    uint64_t offset, size;
    int number = blkid_partition_get_partno(partition);

    if (number <= 0 || blkid_partition_is_extended(partition) ||
        !ib_mul_u64((uint64_t)blkid_partition_get_start(partition), SECTOR, &offset) ||
        !ib_mul_u64((uint64_t)blkid_partition_get_size(partition), SECTOR, &size))
        return;
    struct ib_disk_content *content = add_content(disk);
    const char *name = blkid_partition_get_name(partition);
    content->device = partition_path(disk->path, (unsigned)number);
    content->number = (unsigned)number;
    content->part_label = name && *name ? ib_disk_clean_text(ib_strdup(name)) : NULL;
    content->offset_bytes = offset;
    content->size_bytes = size;
    /* a table may promise more than the disk has */
    if (size && offset < disk->size_bytes && size <= disk->size_bytes - offset)
        probe_content(fd, content);
}

static int by_offset(const void *a, const void *b)
{
    const struct ib_disk_content *x = a, *y = b;

    if (x->offset_bytes != y->offset_bytes)
        return x->offset_bytes < y->offset_bytes ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static void probe_table(int fd, struct ib_disk *disk)
{
    _cleanup_(free_probep) blkid_probe probe = new_probe(fd, 0, 0);

    if (!probe)
        return;
    blkid_probe_enable_superblocks(probe, 0);
    blkid_probe_enable_partitions(probe, 1);
    blkid_partlist list = blkid_probe_get_partitions(probe);
    blkid_parttable table = list ? blkid_partlist_get_table(list) : NULL;
    int count = list ? blkid_partlist_numof_partitions(list) : 0;
    const char *type = table ? blkid_parttable_get_type(table) : NULL;

    if (!type || ib_streq(type, "PMBR")) /* only the protective MBR of a GPT that is broken */
        return;
    disk->table = ib_strdup(type);
    for (int i = 0; i < IB_MIN(count, (int)MAX_CONTENTS); i++)
        add_partition(fd, blkid_partlist_get_partition(list, i), disk);
}

void ib_disk_probe(int fd, struct ib_disk *disk)
{
    struct ib_disk_content whole = {.size_bytes = disk->size_bytes};

    disk->contents_known = true;
    if (!disk->size_bytes)
        return;
    probe_table(fd, disk);
    probe_content(fd, &whole);
    if (whole.type) {
        whole.device = ib_strdup(disk->path);
        *add_content(disk) = whole;
    }
    if (disk->content_count)
        qsort(disk->contents, disk->content_count, sizeof(*disk->contents), by_offset);
}

static void describe(const struct ib_disk_content *content, struct ib_buf *text)
{
    const char *name = content->label ? content->label : content->part_label;

    if (content->number)
        ib_buf_printf(text, "%u ", content->number);
    if (name)
        ib_buf_printf(text, "'%s' ", name);
    ib_buf_printf(text, "(%s)", content->type ? content->type : "content not known");
}

char *ib_disk_loss(const struct ib_disk *disk)
{
    enum { SHOWN = 8 };
    struct ib_buf text = {0};
    size_t partitions = 0;

    if (!disk->contents_known)
        return ib_strdup("not known: it could not be read");
    for (size_t i = 0; i < disk->content_count; i++)
        partitions += disk->contents[i].number != 0;
    if (disk->table)
        ib_buf_printf(&text, "%s table with %zu partition%s", disk->table, partitions,
                      partitions == 1 ? "" : "s");
    for (size_t i = 0; i < disk->content_count && i < SHOWN; i++) {
        ib_buf_append_str(&text, i ? ", " : disk->table ? ": " : "");
        describe(&disk->contents[i], &text);
    }
    if (disk->content_count > SHOWN)
        ib_buf_printf(&text, ", and %zu more", disk->content_count - SHOWN);
    if (!text.size)
        ib_buf_append_str(&text, "nothing known");
    return ib_buf_steal_string(&text);
}
