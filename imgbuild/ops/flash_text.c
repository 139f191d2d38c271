/* SPDX-License-Identifier: Apache-2.0 */
/* What the user sees before being asked (ops/flash.h). */
#include "ops/flash.h"

static void add_image(const struct ib_flash_image *image, const struct ib_flash_plan *plan,
                      struct ib_buf *ret)
{
    const struct ib_manifest *m = ib_flash_image_manifest(image);
    char size[16], data[16];

    ib_buf_append_str(ret, "image    ");
    ib_buf_append_text(ret, ib_flash_image_name(image));
    if (m) {
        ib_buf_printf(ret, "\n         %s %s on %s; %s, of which %s are data\n", m->node,
                      m->version, m->base, ib_format_size(plan->image_size, size),
                      ib_format_size(plan->data_bytes, data));
    } else if (plan->image_size != IB_SOURCE_SIZE_UNKNOWN) {
        ib_buf_printf(ret, " (%s, unpacks to %s)\n", ib_flash_image_format(image),
                      ib_format_size(plan->image_size, size));
    } else {
        ib_buf_printf(ret, " (%s)\n", ib_flash_image_format(image));
    }
}

void ib_flash_plan_describe(const struct ib_flash_image *image, const struct ib_flash_plan *plan,
                            const struct ib_disk *disk, const char *file, struct ib_buf *ret)
{
    char size[16];

    add_image(image, plan, ret);
    if (!disk) {
        ib_buf_printf(ret, "to       %s\n", file);
        return;
    }
    _cleanup_(ib_freep) char *loss = ib_disk_loss(disk);
    ib_buf_printf(ret, "to       %s  ", disk->path);
    ib_buf_append_text(ret, disk->model ? disk->model : "(no model)");
    ib_buf_printf(ret, ", %s%s%s%s%s", ib_format_size(disk->size_bytes, size),
                  disk->transport ? ", " : "", disk->transport ? disk->transport : "",
                  disk->removable ? ", removable" : "", disk->serial ? ", serial " : "");
    ib_buf_append_text(ret, disk->serial ? disk->serial : "");
    ib_buf_append_str(ret, "\nloses    ");
    ib_buf_append_text(ret, loss);
    ib_buf_append_str(ret, "\n");
    for (size_t i = 0; i < plan->kept_count; i++) {
        ib_buf_printf(ret, "keeps    partition %u '", plan->kept[i].number);
        ib_buf_append_text(ret, plan->kept[i].label);
        ib_buf_printf(ret, "', %s\n", ib_format_size(plan->kept[i].size_bytes, size));
    }
    if (plan->moves_table)
        ib_buf_append_str(ret,
                          "table    made to fit the disk: its backup goes to the disk's end\n");
}
