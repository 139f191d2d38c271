/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk tells about itself: its partition tables, the hash trees of its roots, and whether
 * its boot images start one of those. That is all that the machine itself will check, and no
 * signature: only comparing with an artifact tells whose image it is.
 */
#include <string.h>

#include "image/gpt_check.h"
#include "image/verity.h"
#include "verify_internal.h"

/* The label of a slot that systemd-repart made and no update has filled yet. */
static const char empty_label[] = "_empty";

static bool is_verity(const struct ib_gpt_partition *p)
{
    const char *type = ib_gpt_type_name(&p->type);

    return type && ib_startswith(type, "root-") && ib_endswith(type, "-verity");
}

static bool is_root(const struct ib_gpt_partition *p)
{
    const char *type = ib_gpt_type_name(&p->type);

    return type && ib_startswith(type, "root-") && !ib_endswith(type, "-verity");
}

static const struct ib_gpt_partition *find_root(const struct ib_gpt *gpt,
                                                const struct ib_uuid *uuid)
{
    for (size_t i = 0; i < gpt->partition_count; i++)
        if (is_root(&gpt->partitions[i]) &&
            memcmp(&gpt->partitions[i].uuid, uuid, sizeof(*uuid)) == 0)
            return &gpt->partitions[i];
    return NULL;
}

static int no_pair(const struct ib_verifying *v, const struct ib_gpt_partition *verity,
                   const char *why, struct ib_error **err)
{
    ib_failf(err, IB_E_VERIFY, "the hash tree in partition '%s' of '%s' %s", verity->label, v->path,
             why);
    return ib_hint(err, "write the image again");
}

/* Finds the root of one hash tree by the root hash, as systemd does, and checks it. */
static int check_pair(const struct ib_verifying *v, const struct ib_reader *reader,
                      const struct ib_gpt *gpt, const struct ib_gpt_partition *verity,
                      struct ib_sha256 *ret_root_hash, struct ib_error **err)
{
    struct ib_verity_place place = {.reader = reader,
                                    .data_size = UINT64_MAX,
                                    .hash_offset = verity->offset_bytes,
                                    .hash_size = verity->size_bytes};
    struct ib_uuid root_uuid, verity_uuid;
    uint64_t size;
    char text[16];

    if (ib_verity_read_root_hash(&place, ret_root_hash, &size, err) < 0)
        return -1;
    ib_verity_partition_uuids(ret_root_hash, &root_uuid, &verity_uuid);
    if (memcmp(&verity->uuid, &verity_uuid, sizeof(verity_uuid)) != 0)
        return no_pair(v, verity, "is not the one that its UUID names", err);
    const struct ib_gpt_partition *root = find_root(gpt, &root_uuid);
    if (!root)
        return no_pair(v, verity, "belongs to no root on this disk", err);
    place.data_offset = root->offset_bytes;
    place.data_size = root->size_bytes;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(v->options->progress, NULL, "verify", root->label, size, IB_UNIT_BYTES);
    if (ib_verity_check_place(&place, ret_root_hash, v->options->progress, step, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    ib_verify_passed(v, "root", "%s: %s fit their hash tree", root->label,
                     ib_format_size(size, text));
    return 0;
}

static int check_table(const struct ib_verifying *v, const struct ib_reader *reader,
                       const struct ib_gpt *gpt, struct ib_error **err)
{
    bool at_end;

    if (ib_gpt_check(ib_reader_fd(reader), v->path, &at_end, err) < 0)
        return -1;
    ib_verify_passed(v, "partition table", "%zu partitions; both copies are good%s",
                     gpt->partition_count, at_end ? "" : " (the backup is not at the disk's end)");
    return 0;
}

int ib_verify_disk(const struct ib_verifying *v, struct ib_error **err)
{
    _cleanup_(ib_reader_freep) struct ib_reader *reader = ib_reader_open(v->path, err);
    _cleanup_(ib_image_freep) struct ib_image *image =
        reader ? ib_image_open(v->path, v->options->temp_dir, v->options->progress, err) : NULL;
    struct ib_sha256 roots[IB_GPT_PARTITIONS_MAX];
    size_t count = 0;

    if (!image || check_table(v, reader, &image->gpt, err) < 0)
        return -1;
    for (size_t i = 0; i < image->gpt.partition_count; i++) {
        const struct ib_gpt_partition *p = &image->gpt.partitions[i];
        if (!is_verity(p) || ib_streq(p->label, empty_label) || count == IB_GPT_PARTITIONS_MAX)
            continue;
        if (check_pair(v, reader, &image->gpt, p, &roots[count], err) < 0)
            return -1;
        count++;
    }
    if (count == 0)
        ib_verify_skipped(v, "root", "no root with a hash tree is on it");
    ib_verify_skipped(v, "signature", "a disk bears none: compare it with its artifact (--image)");
    return ib_verify_ukis(v, image, roots, count, err);
}
