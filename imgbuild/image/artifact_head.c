/* SPDX-License-Identifier: Apache-2.0 */
#include "image/artifact_head.h"

#include <zstd.h>

#include "artifact_internal.h"

enum {
    /* Frame 0 holds 32 KiB and never packs to more than that and some bytes; behind it, peeked at
     * as well, stands the manifest's header. */
    PEEK = 48 * 1024,
};

static int bad(const struct ib_source *source, const char *why, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "'%s' is not an image made by imgbuild: %s",
                    ib_source_name(source), why);
}

size_t ib_artifact_find_manifest(const uint8_t *data, size_t size)
{
    if (size < 4 || ib_le32(data) != ZSTD_MAGICNUMBER)
        return 0;
    size_t first = ZSTD_findFrameCompressedSize(data, size);
    if (ZSTD_isError(first) || size - first < SKIPPABLE_HEADER + MANIFEST_HEADER)
        return 0;
    return is_manifest_frame(data + first) ? first : 0;
}

int ib_artifact_is_ours(struct ib_source *source, bool *ret, struct ib_error **err)
{
    const uint8_t *data;
    size_t size;

    if (ib_source_peek(source, PEEK, &data, &size, err) < 0)
        return -1;
    *ret = ib_artifact_find_manifest(data, size) > 0;
    return 0;
}

/* Reads JSON and signature, which begin at `at`, of these sizes. */
static int read_manifest(struct ib_source *source, uint64_t at, uint64_t json, uint64_t signature,
                         struct ib_artifact_head *head, struct ib_error **err)
{
    if (ib_source_read(source, ib_buf_reserve(&head->json, json + 1), json, at, err) < 0)
        return -1;
    head->json.size = json;
    head->json.data[json] = 0;
    if (signature > 0 && ib_source_read(source, ib_buf_reserve(&head->signature, signature),
                                        signature, at + json, err) < 0)
        return -1;
    head->signature.size = signature;
    head->manifest =
        ib_manifest_parse(head->json.data, head->json.size, ib_source_name(source), err);
    return head->manifest ? 0 : -1;
}

/* Frame 0 must be what the manifest says that it is. */
static int unpack_first(struct ib_source *source, const struct ib_buf *packed,
                        struct ib_artifact_head *head, struct ib_error **err)
{
    const struct ib_manifest_frame *f = &head->manifest->frames[0];
    const struct ib_frame frame = {.raw_size = f->raw_size, .size = f->size, .sha256 = f->sha256};

    if (f->size != packed->size || f->raw_size > IB_ARTIFACT_FIRST_FRAME)
        return bad(source, "its first frame is not the one its manifest names", err);
    uint8_t *raw = ib_buf_reserve(&head->first, f->raw_size);
    head->first.size = f->raw_size;
    return ib_frame_decompress(&frame, packed->data, raw, ib_source_name(source), err);
}

static int read_head(struct ib_source *source, struct ib_artifact_head *head, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf packed = {0};
    uint8_t header[SKIPPABLE_HEADER + MANIFEST_HEADER];
    const uint8_t *data;
    size_t size;

    if (ib_source_peek(source, PEEK, &data, &size, err) < 0)
        return -1;
    size_t first = ib_artifact_find_manifest(data, size);
    if (first == 0)
        return bad(source, "there is no manifest behind its first frame", err);
    if (ib_source_read(source, ib_buf_reserve(&packed, first), first, 0, err) < 0 ||
        ib_source_read(source, header, sizeof(header), first, err) < 0)
        return -1;
    packed.size = first;
    uint64_t content = ib_le32(header + 4), json = ib_le32(header + 16);
    uint64_t signature = ib_le32(header + 20), end = first + SKIPPABLE_HEADER + content;
    if (content != MANIFEST_HEADER + json + signature || json > IB_MANIFEST_MAX_SIZE ||
        signature > SIGNATURE_MAX)
        return bad(source, "its manifest's size is out of range", err);
    if (read_manifest(source, first + sizeof(header), json, signature, head, err) < 0 ||
        unpack_first(source, &packed, head, err) < 0)
        return -1;
    head->frames_end = ib_manifest_place_frames(head->manifest, end);
    if (ib_source_size(source) != IB_SOURCE_SIZE_UNKNOWN &&
        head->frames_end > ib_source_size(source))
        return bad(source, "it ends before its last frame", err);
    return 0;
}

int ib_artifact_head_read(struct ib_source *source, struct ib_artifact_head *ret,
                          struct ib_error **err)
{
    _cleanup_(ib_artifact_head_clear) struct ib_artifact_head head = {0};

    if (read_head(source, &head, err) < 0)
        return -1;
    *ret = head;
    head = (struct ib_artifact_head){0};
    return 0;
}

void ib_artifact_head_clear(struct ib_artifact_head *head)
{
    ib_buf_clear(&head->first);
    ib_buf_clear(&head->json);
    ib_buf_clear(&head->signature);
    ib_manifest_free(head->manifest);
    *head = (struct ib_artifact_head){0};
}
