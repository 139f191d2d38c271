/* SPDX-License-Identifier: Apache-2.0 */
/* Block maps of images of others: their checksums are compared as the image passes by. */
#include <string.h>

#include "base/file.h"
#include "flash_internal.h"

int ib_flash_image_use_bmap(struct ib_flash_image *image, const char *path, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    const char *name = ib_flash_image_name(image);

    if (image->ours)
        return ib_failf(err, IB_E_USAGE, "'%s' needs no block map: its manifest says more", name);
    if (ib_read_file(path, IB_BMAP_MAX_SIZE, &text, err) < 0 ||
        ib_bmap_parse(text.data, text.size, path, &image->bmap, err) < 0)
        return -1;
    image->has_bmap = true;
    uint64_t size = ib_flash_image_raw_size(image);
    if (size != IB_SOURCE_SIZE_UNKNOWN && size != image->bmap.image_size_bytes) {
        ib_failf(err, IB_E_INVALID, "'%s' is of an image of %llu bytes, but '%s' has %llu", path,
                 (unsigned long long)image->bmap.image_size_bytes, name, (unsigned long long)size);
        return ib_hint(err, "use the map that was made of this image");
    }
    return 0;
}

/* "image.bmap" or "image.raw.bmap" beside "image.raw.zst", as bmaptool looks for it. */
char *ib_flash_find_bmap(const char *image_path)
{
    _cleanup_(ib_freep) char *stem = ib_strdup(image_path);
    const char *base = ib_path_base(stem);

    for (;;) {
        _cleanup_(ib_freep) char *path = ib_asprintf("%s.bmap", stem);
        if (ib_path_exists(path))
            return ib_steal(&path);
        char *dot = strrchr(stem, '.');
        if (!dot || dot <= base)
            return NULL;
        *dot = 0;
    }
}

void ib_flash_bmap_begin(struct flash_bmap *check, const struct ib_flash_image *image)
{
    *check = (struct flash_bmap){.name = ib_flash_image_name(image)};
    if (image->has_bmap) {
        check->bmap = &image->bmap;
        check->hasher = ib_bmap_hasher_new(image->bmap.hash);
    }
}

void ib_flash_bmap_end(struct flash_bmap *check)
{
    check->hasher = ib_bmap_hasher_free(check->hasher);
}

static int mismatch(const struct flash_bmap *check, const struct ib_bmap_range *range,
                    struct ib_error **err)
{
    uint64_t end = range->offset + range->size;

    ib_failf(err, IB_E_VERIFY, "bytes %llu to %llu of '%s' are not those of its block map",
             (unsigned long long)range->offset, (unsigned long long)end, check->name);
    return ib_hint(err, "the image is damaged, or the map is of another one: get both again");
}

int ib_flash_bmap_feed(struct flash_bmap *check, const uint8_t *data, uint64_t size,
                       struct ib_error **err)
{
    uint64_t begin = check->offset, end = check->offset + size;

    check->offset = end;
    if (!check->bmap || !check->bmap->has_hashes)
        return 0;
    while (check->next < check->bmap->range_count) {
        const struct ib_bmap_range *range = &check->bmap->ranges[check->next];
        uint64_t range_end = range->offset + range->size;
        uint64_t from = IB_MAX(begin, range->offset), to = IB_MIN(end, range_end);
        if (from < to)
            ib_bmap_hasher_update(check->hasher, data + (from - begin), (size_t)(to - from));
        if (end < range_end)
            return 0;
        if (!ib_bmap_hasher_matches(check->hasher, range))
            return mismatch(check, range, err);
        check->next++;
    }
    return 0;
}

int ib_flash_bmap_finish(const struct flash_bmap *check, struct ib_error **err)
{
    if (!check->bmap || check->offset == check->bmap->image_size_bytes)
        return 0;
    ib_failf(err, IB_E_INVALID, "'%s' unpacks to %llu bytes, but its block map is of %llu",
             check->name, (unsigned long long)check->offset,
             (unsigned long long)check->bmap->image_size_bytes);
    return ib_hint(err, "get the image and its map again");
}
