/* SPDX-License-Identifier: Apache-2.0 */
/* What the user sees before being asked (ops/flash.h). */
#include <string.h>

#include "ops/flash.h"

/* Text from outside, its control characters as '?': an image must not drive the terminal. */
static void add_text(struct ib_buf *ret, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        /* 0xc2 0x80 to 0x9f are the control characters behind ASCII, in UTF-8 */
        bool wide = c == 0xc2 && (unsigned char)s[1] >= 0x80 && (unsigned char)s[1] < 0xa0;
        s += wide;
        ib_buf_append(ret, wide || c < 0x20 || c == 0x7f ? "?" : s, 1);
    }
}

static void add_image(const struct ib_flash_image *image, const struct ib_flash_plan *plan,
                      struct ib_buf *ret)
{
    const struct ib_manifest *m = ib_flash_image_manifest(image);
    char size[16], data[16];

    ib_buf_append_str(ret, "image    ");
    add_text(ret, ib_flash_image_name(image));
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
    add_text(ret, disk->model ? disk->model : "(no model)");
    ib_buf_printf(ret, ", %s%s%s%s%s", ib_format_size(disk->size_bytes, size),
                  disk->transport ? ", " : "", disk->transport ? disk->transport : "",
                  disk->removable ? ", removable" : "", disk->serial ? ", serial " : "");
    add_text(ret, disk->serial ? disk->serial : "");
    ib_buf_append_str(ret, "\nloses    ");
    add_text(ret, loss);
    ib_buf_append_str(ret, "\n");
    for (size_t i = 0; i < plan->kept_count; i++) {
        ib_buf_printf(ret, "keeps    partition %u '", plan->kept[i].number);
        add_text(ret, plan->kept[i].label);
        ib_buf_printf(ret, "', %s\n", ib_format_size(plan->kept[i].size_bytes, size));
    }
    if (plan->moves_table)
        ib_buf_append_str(ret,
                          "table    made to fit the disk: its backup goes to the disk's end\n");
}
