/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild diff: what differs between two images. */
#include <jansson.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "ops/diff.h"

static void print_item(const struct ib_diff_item *item, FILE *out)
{
    static const char signs[] = {'+', '-', '~'};

    fprintf(out, "  %c ", signs[item->kind]);
    ib_text_print(out, item->name);
    fputs(": ", out);
    if (item->from)
        ib_text_print(out, item->from);
    if (item->from && item->to && !ib_streq(item->from, item->to)) {
        fputs(" -> ", out);
        ib_text_print(out, item->to);
    } else if (!item->from) {
        ib_text_print(out, item->to);
    }
    if (item->what)
        fprintf(out, " (%s)", item->what);
    fputc('\n', out);
}

static void print_section(const struct ib_diff_section *s, FILE *out)
{
    if (s->identical) {
        fprintf(out, "%s: the same bytes\n", s->name);
        return;
    }
    if (s->count == 0 && s->same == 0)
        return;
    fprintf(out, "%s: %zu differ, %zu are the same\n", s->name, s->count, s->same);
    for (size_t i = 0; i < s->count; i++)
        print_item(&s->items[i], out);
}

static void print_text(const struct ib_diff *diff, char **names, FILE *out)
{
    char raw[16], packed[16];

    fputs("- ", out);
    ib_text_print(out, names[0]);
    fputs("\n+ ", out);
    ib_text_print(out, names[1]);
    fputc('\n', out);
    for (size_t i = 0; i < IB_DIFF_SECTIONS; i++)
        print_section(&diff->sections[i], out);
    if (diff->have_frames)
        fprintf(out, "new in the second: %s (%s packed)\n",
                ib_format_size(diff->new_raw_bytes, raw),
                ib_format_size(diff->new_size_bytes, packed));
    if (ib_diff_is_empty(diff))
        fputs("no differences\n", out);
}

static void set_text(json_t *o, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL;

    if (value)
        json_object_set_new(o, key, value);
}

static json_t *section_json(const struct ib_diff_section *s)
{
    json_t *items = json_array();

    for (size_t i = 0; i < s->count; i++) {
        json_t *o = json_object();
        set_text(o, "kind", ib_diff_kind_name(s->items[i].kind));
        set_text(o, "name", s->items[i].name);
        set_text(o, "from", s->items[i].from);
        set_text(o, "to", s->items[i].to);
        set_text(o, "what", s->items[i].what);
        json_array_append_new(items, o);
    }
    return json_pack("{s:b, s:I, s:o}", "identical", s->identical, "same", (json_int_t)s->same,
                     "differences", items);
}

static void print_json(const struct ib_diff *diff, FILE *out)
{
    json_t *o = json_object();

    json_object_set_new(o, "differ", json_boolean(!ib_diff_is_empty(diff)));
    for (size_t i = 0; i < IB_DIFF_SECTIONS; i++)
        json_object_set_new(o, diff->sections[i].name, section_json(&diff->sections[i]));
    if (diff->have_frames) {
        json_object_set_new(o, "new_bytes", json_integer((json_int_t)diff->new_raw_bytes));
        json_object_set_new(o, "new_packed_bytes", json_integer((json_int_t)diff->new_size_bytes));
    }
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

static int run(struct ib_cli *cli, void *options _unused_, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const char *env = getenv("TMPDIR"), *temp_dir = env && *env ? env : "/var/tmp";
    _cleanup_(ib_image_freep) struct ib_image *a =
        ib_image_open(argv[0], temp_dir, cli->progress, err);
    _cleanup_(ib_image_freep) struct ib_image *b =
        a ? ib_image_open(argv[1], temp_dir, cli->progress, err) : NULL;
    _cleanup_(ib_diff_clear) struct ib_diff diff = {0};

    if (!a || !b || ib_diff_run(a, b, temp_dir, cli->progress, &diff, err) < 0)
        return -1;
    if (cli->json)
        print_json(&diff, cli->out);
    else
        print_text(&diff, argv, cli->out);
    return 0;
}

const struct ib_command ib_command_diff = {
    .name = "diff",
    .arguments = "IMAGE IMAGE",
    .summary = "show what differs between two images",
    .description =
        "Compares two images (artifacts or raw disks): node and versions, partitions, packages, "
        "sources, boot images, and the single files of identity and root. A line begins with + "
        "(only in the second), - (only in the first) or ~ (in both, and different). Times of files "
        "are not compared.\n\n"
        "At the end stands how much of the second image's content the first does not hold: what "
        "an update from one to the other has to bring.",
    .example = "imgbuild diff out/odin_2026.11.22.img.zst out/freyja_2026.11.22.img.zst",
    .min_args = 2,
    .max_args = 2,
    .argument_kind = IB_ARG_FILE,
    .run = run,
};
