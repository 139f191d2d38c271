/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be written: an artifact of ours, or any other image (ops/flash.h). */
#include "flash_internal.h"

static int open_others(struct ib_flash_image *image, struct ib_error **err)
{
    size_t n;

    image->unpacker = ib_unpacker_new(image->source, err);
    if (!image->unpacker ||
        ib_unpacker_read(image->unpacker, ib_buf_reserve(&image->first, IB_FLASH_HEAD),
                         IB_FLASH_HEAD, &n, err) < 0)
        return -1;
    image->first.size = n;
    image->ended = n < IB_FLASH_HEAD;
    if (n == 0) {
        ib_failf(err, IB_E_INVALID, "'%s' is empty", ib_source_name(image->source));
        return ib_hint(err, "check what made it");
    }
    return 0;
}

struct ib_flash_image *ib_flash_image_open_source(struct ib_source *source, struct ib_error **err)
{
    _cleanup_(ib_flash_image_freep) struct ib_flash_image *image = ib_calloc(1, sizeof(*image));

    image->source = source;
    if (ib_artifact_is_ours(image->source, &image->ours, err) < 0)
        return NULL;
    int r = image->ours ? ib_artifact_head_read(image->source, &image->head, err)
                        : open_others(image, err);
    return r < 0 ? NULL : ib_steal(&image);
}

struct ib_flash_image *ib_flash_image_free(struct ib_flash_image *image)
{
    if (image) {
        ib_artifact_head_clear(&image->head);
        ib_buf_clear(&image->first);
        ib_bmap_clear(&image->bmap);
        ib_unpacker_free(image->unpacker);
        ib_source_free(image->source);
        free(image);
    }
    return NULL;
}

void ib_flash_image_freep(struct ib_flash_image **image)
{
    *image = ib_flash_image_free(*image);
}

const char *ib_flash_image_name(const struct ib_flash_image *image)
{
    return ib_source_name(image->source);
}

int ib_flash_image_fd(const struct ib_flash_image *image)
{
    return ib_source_fd(image->source);
}

const struct ib_manifest *ib_flash_image_manifest(const struct ib_flash_image *image)
{
    return image->head.manifest;
}

const struct ib_buf *ib_flash_image_json(const struct ib_flash_image *image)
{
    return &image->head.json;
}

const struct ib_buf *ib_flash_image_signature(const struct ib_flash_image *image)
{
    return &image->head.signature;
}

const struct ib_buf *ib_flash_image_first(const struct ib_flash_image *image)
{
    return image->ours ? &image->head.first : &image->first;
}

const char *ib_flash_image_format(const struct ib_flash_image *image)
{
    return image->ours ? "imgbuild" : ib_unpacker_format(image->unpacker);
}

uint64_t ib_flash_image_raw_size(const struct ib_flash_image *image)
{
    if (image->ours)
        return image->head.manifest->disk_size_bytes;
    return image->ended ? image->first.size : ib_unpacker_raw_size(image->unpacker);
}

uint64_t ib_flash_image_size(const struct ib_flash_image *image)
{
    return image->has_bmap ? image->bmap.image_size_bytes : ib_flash_image_raw_size(image);
}
