/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/bytes.h"
#include "image/esp.h"
#include "image/uki.h"

enum { UKIS_MAX = 64 };
#define TEXT_SECTION_MAX (64 * IB_KIB)
#define ZSTD_MAGIC UINT32_C(0xFD2FB528)

struct opening {
    struct ib_image *image;
    const char *temp_dir;
    struct ib_progress *progress;
    struct ib_error **err;
};

static void free_uki(struct ib_image_uki *uki)
{
    free(uki->name), free(uki->cmdline), free(uki->os_release), free(uki->uname);
    ib_tree_free(uki->identity);
}

struct ib_image *ib_image_free(struct ib_image *image)
{
    if (image) {
        for (size_t i = 0; i < image->uki_count; i++)
            free_uki(&image->ukis[i]);
        free(image->ukis);
        ib_gpt_clear(&image->gpt);
        ib_artifact_free(image->artifact);
        free(image->path);
        free(image);
    }
    return NULL;
}

void ib_image_freep(struct ib_image **image)
{
    *image = ib_image_free(*image);
}

const struct ib_manifest *ib_image_manifest(const struct ib_image *image)
{
    return image->artifact ? ib_artifact_manifest(image->artifact) : NULL;
}

const struct ib_gpt_partition *ib_image_partition(const struct ib_image *image, const char *type)
{
    for (size_t i = 0; i < image->gpt.partition_count; i++)
        if (ib_streq(ib_gpt_type_name(&image->gpt.partitions[i].type), type))
            return &image->gpt.partitions[i];
    return NULL;
}

int ib_image_open_partition(const struct ib_image *image, const struct ib_gpt_partition *partition,
                            const char *temp_dir, struct ib_progress *progress,
                            uint64_t *ret_offset, struct ib_error **err)
{
    const struct ib_gpt_partition *p = partition;

    if (!image->artifact) {
        *ret_offset = p->offset_bytes;
        return ib_open_read(image->path, err);
    }
    _cleanup_(ib_closep) int fd = ib_temp_file(temp_dir, err);
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        progress, NULL, "unpack", *p->label ? p->label : "partition", p->size_bytes, IB_UNIT_BYTES);
    if (fd < 0 || ib_artifact_unpack(image->artifact, p->offset_bytes, p->size_bytes, fd, progress,
                                     step, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    *ret_offset = 0;
    return ib_steal_fd(&fd);
}

/* The table's bytes alone, on a sparse file of the disk's size: all that libfdisk looks at. */
static int make_table_file(const struct opening *o, struct ib_error **err)
{
    struct ib_artifact *a = o->image->artifact;
    uint64_t disk = ib_artifact_manifest(a)->disk_size_bytes;
    size_t head_size = (size_t)IB_MIN(disk, IB_GPT_HEAD_SIZE);
    size_t tail_size = (size_t)IB_MIN(disk, (uint64_t)IB_GPT_TAIL_SIZE);
    _cleanup_(ib_freep) uint8_t *data = ib_malloc(head_size + tail_size);
    _cleanup_(ib_closep) int fd = ib_temp_file(o->temp_dir, err);

    if (fd < 0 || ib_artifact_read(a, data, head_size, 0, err) < 0 ||
        ib_artifact_read(a, data + head_size, tail_size, disk - tail_size, err) < 0)
        return -1;
    if (ftruncate(fd, (off_t)disk) < 0 || ib_pwrite_full(fd, data, head_size, 0) < 0 ||
        ib_pwrite_full(fd, data + head_size, tail_size, disk - tail_size) < 0)
        return ib_fail(err, IB_E_IO, errno, o->temp_dir, "write a temporary file in");
    return ib_steal_fd(&fd);
}

static bool same_uuid(const struct ib_uuid *a, const struct ib_uuid *b)
{
    return memcmp(a->bytes, b->bytes, IB_UUID_SIZE) == 0;
}

/* What the firmware will see must be what the manifest says. */
static int compare_tables(const struct opening *o)
{
    const struct ib_manifest *m = ib_image_manifest(o->image);
    const struct ib_gpt *gpt = &o->image->gpt;
    bool same = m->partition_count == gpt->partition_count && same_uuid(&m->disk, &gpt->disk);

    for (size_t i = 0; same && i < m->partition_count; i++) {
        const struct ib_manifest_partition *a = &m->partitions[i];
        const struct ib_gpt_partition *b = &gpt->partitions[i];
        same = a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes &&
               a->attributes == b->attributes && same_uuid(&a->uuid, &b->uuid) &&
               same_uuid(&a->type, &b->type) && ib_streq(a->label, b->label);
    }
    return same ? 0
                : ib_failf(o->err, IB_E_VERIFY,
                           "the partition table in '%s' is not the one its manifest lists",
                           o->image->path);
}

static int read_table(const struct opening *o)
{
    struct ib_image *image = o->image;
    _cleanup_(ib_closep) int fd =
        image->artifact ? make_table_file(o, o->err) : ib_open_read(image->path, o->err);

    if (fd < 0)
        return -1;
    if (ib_gpt_read(fd, image->path, &image->gpt, o->err) < 0)
        return ib_hint(o->err, "name an artifact (NODE_VERSION.img.zst) or a raw disk image");
    return image->artifact ? compare_tables(o) : 0;
}

static int read_text(const struct opening *o, int fd, const struct ib_image_uki *uki,
                     const char *section, char **ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_pe_find(&uki->pe, section))
        return 0;
    if (ib_uki_read_section(fd, &uki->pe, section, uki->name, TEXT_SECTION_MAX, &text, o->err) < 0)
        return -1;
    *ret = ib_buf_steal_string(&text);
    return 0;
}

static int read_uki(const struct opening *o, int fd, struct ib_image_uki *uki)
{
    if (lseek(fd, 0, SEEK_SET) < 0 || ib_sha256_fd(fd, &uki->sha256, &uki->size_bytes) < 0)
        return ib_fail(o->err, IB_E_IO, errno, uki->name, "read");
    if (ib_pe_read(fd, uki->name, &uki->pe, o->err) < 0 ||
        read_text(o, fd, uki, ".cmdline", &uki->cmdline) < 0 ||
        read_text(o, fd, uki, ".osrel", &uki->os_release) < 0 ||
        read_text(o, fd, uki, ".uname", &uki->uname) < 0)
        return -1;
    uki->is_signed = uki->pe.certificates_size > 0;
    return ib_uki_read_identity(fd, &uki->pe, uki->name, &uki->identity, o->err);
}

/* Every EFI/Linux/…efi in the FAT file system at `offset` of the file esp. */
static int read_ukis(const struct opening *o, const char *esp, uint64_t offset)
{
    struct ib_image *image = o->image;
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (ib_esp_list(esp, offset, "EFI/Linux", &names, o->err) < 0)
        return -1;
    image->ukis = ib_calloc(UKIS_MAX, sizeof(*image->ukis));
    for (size_t i = 0; i < names.count && image->uki_count < UKIS_MAX; i++) {
        if (!ib_endswith(names.items[i], ".efi"))
            continue;
        struct ib_image_uki *uki = &image->ukis[image->uki_count++];
        _cleanup_(ib_closep) int fd = ib_temp_file(o->temp_dir, o->err);
        uki->name = ib_asprintf("EFI/Linux/%s", names.items[i]);
        if (fd < 0 || ib_esp_extract(esp, offset, uki->name, fd, o->err) < 0 ||
            read_uki(o, fd, uki) < 0)
            return -1;
    }
    return 0;
}

static int read_esp(const struct opening *o)
{
    const struct ib_gpt_partition *p = ib_image_partition(o->image, "esp");

    if (!p)
        return 0;
    if (!o->image->artifact)
        return read_ukis(o, o->image->path, p->offset_bytes);
    uint64_t offset;
    _cleanup_(ib_closep) int fd =
        ib_image_open_partition(o->image, p, o->temp_dir, o->progress, &offset, o->err);
    if (fd < 0)
        return -1;
    /* mtools wants a name: ours through /proc, which its process may open as we may */
    _cleanup_(ib_freep) char *name = ib_asprintf("/proc/%d/fd/%d", (int)getpid(), fd);
    return read_ukis(o, name, offset);
}

static int open_file(const struct opening *o)
{
    struct ib_image *image = o->image;
    _cleanup_(ib_closep) int fd = ib_open_read(image->path, o->err);
    struct stat st;
    uint8_t magic[4] = {0};

    if (fd < 0)
        return -1;
    off_t size = lseek(fd, 0, SEEK_END);
    if (fstat(fd, &st) < 0 || size < 0 || (size >= 4 && ib_pread_full(fd, magic, 4, 0) < 0))
        return ib_fail(o->err, IB_E_IO, errno, image->path, "read");
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return ib_failf(o->err, IB_E_INVALID, "'%s' is neither a regular file nor a disk",
                        image->path);
    image->file_size_bytes = (uint64_t)size;
    if (ib_le32(magic) != ZSTD_MAGIC)
        return 0;
    image->artifact = ib_artifact_open_fd(fd, image->path, o->err);
    return image->artifact ? 0 : -1;
}

struct ib_image *ib_image_open(const char *path, const char *temp_dir, struct ib_progress *progress,
                               struct ib_error **err)
{
    _cleanup_(ib_image_freep) struct ib_image *image = ib_calloc(1, sizeof(*image));
    const struct opening o = {image, temp_dir, progress, err};

    image->path = ib_strdup(path);
    if (open_file(&o) < 0 || read_table(&o) < 0 || read_esp(&o) < 0) {
        ib_wrap(err, path, "inspect");
        return NULL;
    }
    return ib_steal(&image);
}

void ib_image_get_sizes(const struct ib_image *image, struct ib_image_sizes *ret)
{
    const struct ib_manifest *m = ib_image_manifest(image);

    *ret = (struct ib_image_sizes){.packed = image->file_size_bytes,
                                   .disk = image->gpt.disk_size_bytes};
    for (size_t i = 0; m && i < m->frame_count; i++)
        ret->content += m->frames[i].zero ? 0 : m->frames[i].raw_size;
    ret->frames = m ? m->frame_count : 0;
}

uint64_t ib_image_packed_size(const struct ib_image *image, uint64_t offset, uint64_t size)
{
    const struct ib_manifest *m = ib_image_manifest(image);
    uint64_t packed = 0;

    for (size_t i = 0; m && i < m->frame_count; i++) {
        const struct ib_manifest_frame *f = &m->frames[i];
        if (f->raw_offset >= offset && f->raw_offset - offset < size)
            packed += f->size;
    }
    return packed;
}
