/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/disk_list.h"

#include <jansson.h>
#include <string.h>

#include "cli/text.h"
#include "io/disk.h"

enum column { DEVICE, SIZE, TRANSPORT, MODEL, SERIAL, CONTENTS, COLUMNS };

static const char *const headings[COLUMNS] = {"DEVICE", "SIZE",   "TRANSPORT",
                                              "MODEL",  "SERIAL", "CONTENTS"};

static char *cell(const struct ib_disk *disk, enum column column)
{
    char size[16];

    switch (column) {
    case DEVICE:
        return ib_strdup(disk->path);
    case SIZE:
        return ib_strdup(ib_format_size(disk->size_bytes, size));
    case TRANSPORT:
        return ib_asprintf("%s%s", disk->transport ? disk->transport : "-",
                           disk->removable ? ", removable" : "");
    case MODEL:
        return ib_strdup(disk->model ? disk->model : "-");
    case SERIAL:
        return ib_strdup(disk->serial ? disk->serial : "-");
    case CONTENTS:
        return ib_disk_loss(disk);
    case COLUMNS:
        break;
    }
    return ib_strdup("");
}

/* Columns on a terminal, not bytes: names can have letters beyond ASCII. */
static size_t width_of(const char *s)
{
    size_t width = 0;

    for (; *s; s++)
        width += ((unsigned char)*s & 0xc0) != 0x80;
    return width;
}

static void measure(const struct ib_disks *disks, size_t widths[COLUMNS])
{
    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = strlen(headings[c]);
        for (size_t i = 0; i < disks->count; i++) {
            _cleanup_(ib_freep) char *text = cell(&disks->items[i], (enum column)c);
            widths[c] = IB_MAX(widths[c], width_of(text));
        }
    }
}

static void print_cell(FILE *out, const char *text, enum column column, size_t width)
{
    ib_text_print(out, text);
    if (column != CONTENTS) /* the last one */
        fprintf(out, "%*s", (int)(width - width_of(text)) + 2, "");
}

static void print_table(FILE *out, const struct ib_disks *disks)
{
    size_t widths[COLUMNS];

    measure(disks, widths);
    for (int c = 0; c < COLUMNS; c++)
        print_cell(out, headings[c], (enum column)c, widths[c]);
    fputc('\n', out);
    for (size_t i = 0; i < disks->count; i++) {
        const struct ib_disk *disk = &disks->items[i];
        for (int c = 0; c < COLUMNS; c++) {
            _cleanup_(ib_freep) char *text = cell(disk, (enum column)c);
            print_cell(out, text, (enum column)c, widths[c]);
        }
        fputc('\n', out);
        for (size_t r = 0; r < disk->refusals.count; r++) {
            fputs("  refused: ", out);
            ib_text_print(out, disk->refusals.items[r]);
            fputc('\n', out);
        }
        if (disk->refusals.count && disk->cure) {
            fputs("  try: ", out);
            ib_text_print(out, disk->cure);
            fputc('\n', out);
        }
    }
    if (!disks->count)
        fputs("this machine has no disks, or they are not visible here\n", out);
}

static json_t *list_json(const struct ib_strv *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *contents_json(const struct ib_disk *disk)
{
    json_t *array = json_array();

    for (size_t i = 0; i < disk->content_count; i++) {
        const struct ib_disk_content *content = &disk->contents[i];
        json_array_append_new(array, json_pack("{s:s, s:i, s:s?, s:s?, s:s?, s:I, s:I}", "device",
                                               content->device, "number", (int)content->number,
                                               "type", content->type, "label", content->label,
                                               "partition_label", content->part_label,
                                               "offset_bytes", (json_int_t)content->offset_bytes,
                                               "size_bytes", (json_int_t)content->size_bytes));
    }
    return array;
}

static json_t *disk_json(const struct ib_disk *disk)
{
    json_t *object = json_pack(
        "{s:s, s:s?, s:s?, s:s?, s:o, s:I, s:i, s:i, s:b, s:b, s:b}", "device", disk->path, "model",
        disk->model, "serial", disk->serial, "transport", disk->transport, "by_id",
        list_json(&disk->by_id), "size_bytes", (json_int_t)disk->size_bytes, "logical_block_bytes",
        (int)disk->logical_block, "physical_block_bytes", (int)disk->physical_block, "removable",
        disk->removable, "rotational", disk->rotational, "read_only", disk->read_only);
    json_t *use =
        json_pack("{s:b, s:s?, s:o, s:b, s:o, s:s?}", "contents_known", disk->contents_known,
                  "table", disk->table, "contents", contents_json(disk), "runs_system",
                  disk->runs_system, "refusals", list_json(&disk->refusals), "cure", disk->cure);

    json_object_update(object, use);
    json_decref(use);
    return object;
}

int ib_cli_list_disks(struct ib_cli *cli, bool all, struct ib_error **err)
{
    _cleanup_(ib_disks_clear) struct ib_disks disks = {0};

    if (ib_disks_list(all, &disks, err) < 0)
        return -1;
    if (!cli->json) {
        print_table(cli->out, &disks);
        return 0;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < disks.count; i++)
        json_array_append_new(array, disk_json(&disks.items[i]));
    json_dumpf(array, cli->out, JSON_INDENT(2));
    fputc('\n', cli->out);
    json_decref(array);
    return 0;
}
