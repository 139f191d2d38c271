/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/install.h"

#include <unistd.h>

#include "ops/flash.h"

int ib_install_find_disk(const struct ib_medium_node *node, unsigned timeout_s, struct ib_disk *ret,
                         struct ib_error **err)
{
    for (unsigned waited = 0;; waited++) {
        _cleanup_(ib_disks_clear) struct ib_disks disks = {0};
        const struct ib_disk *picked = NULL;
        struct ib_error *error = NULL;
        if (ib_disks_list(false, &disks, err) < 0)
            return -1;
        if (ib_disk_rule_pick(&node->install_disk, &disks, &picked, &error) == 0)
            return ib_disk_look(picked->path, false, ret, err);
        if (ib_error_code(error) != IB_E_NOT_FOUND || waited >= timeout_s) {
            *err = error;
            return ib_wrapf(err, "the disk for '%s' cannot be told", node->name);
        }
        ib_error_free(error);
        sleep(1);
    }
}

static struct ib_flash_image *open_image(const struct ib_install *install, struct ib_error **err)
{
    const struct ib_medium_node *node = install->node;
    struct ib_source *source = ib_source_open_pieces(install->stick->fd, node->artifact,
                                                     node->pieces, node->piece_count, err);
    _cleanup_(ib_flash_image_freep) struct ib_flash_image *image =
        source ? ib_flash_image_open_source(source, err) : NULL;
    struct ib_sha256 hash;

    if (!image)
        return NULL;
    if (!ib_flash_image_manifest(image)) {
        ib_failf(err, IB_E_INVALID, "'%s' on the stick is no artifact", node->artifact);
        return NULL;
    }
    const struct ib_buf *json = ib_flash_image_json(image);
    ib_sha256(json->data, json->size, &hash);
    if (!ib_sha256_equal(&hash, &node->manifest)) {
        ib_failf(err, IB_E_VERIFY,
                 "the manifest of '%s' is not the one that the stick's index names",
                 node->artifact);
        ib_hint(err, "the stick is damaged or was changed: make it again");
        return NULL;
    }
    return ib_steal(&image);
}

int ib_install_run(const struct ib_install *install, struct ib_error **err)
{
    _cleanup_(ib_flash_image_freep) struct ib_flash_image *image = open_image(install, err);
    _cleanup_(ib_flash_plan_clear) struct ib_flash_plan plan = {0};
    _cleanup_(ib_target_freep) struct ib_target *target = NULL;
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_flash_result result;

    if (!image ||
        ib_disk_refuse_if_holds(install->disk, install->stick->fd, install->stick->path, err) < 0)
        return -1;
    if (ib_disk_check(install->disk, err) < 0)
        return ib_wrap(err, install->disk->path, "write to");
    if (ib_flash_plan_make(image, install->disk, 0, NULL, &plan, err) < 0)
        return -1;
    ib_flash_plan_describe(image, &plan, install->disk, NULL, &text);
    ib_buf_append(&text, "", 0);
    if (install->confirm && install->confirm(install, (const char *)text.data, err) < 0)
        return -1;
    const struct ib_flash_options options = {.progress = install->progress};
    target = ib_target_open_disk(install->disk, err);
    return target ? ib_flash_run(image, &plan, target, &options, &result, err) : -1;
}
