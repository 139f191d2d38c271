/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild verify: is an artifact or a disk what it should be? */
#include <jansson.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/secret.h"
#include "cli/text.h"
#include "ops/verify.h"

struct options {
    const char *image;
    struct ib_strv key;
};

static void print_text(FILE *out, const struct ib_verify_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct ib_verify_check *c = &report->items[i];
        fprintf(out, "%s  %-15s  ", c->passed ? "good   " : "skipped", c->name);
        ib_text_print(out, c->text); /* trusted comments and labels come from outside */
        fputc('\n', out);
    }
}

static void print_json(FILE *out, const char *path, const struct ib_verify_report *report, bool ok)
{
    json_t *checks = json_array();

    for (size_t i = 0; i < report->count; i++) {
        const struct ib_verify_check *c = &report->items[i];
        json_t *text = json_string(c->text);
        json_array_append_new(checks, json_pack("{s:s, s:s, s:o}", "name", c->name, "result",
                                                c->passed ? "good" : "skipped", "text",
                                                text ? text : json_null()));
    }
    json_t *o = json_pack("{s:s, s:s?, s:b, s:o}", "path", path, "kind", report->kind, "good", ok,
                          "checks", checks);
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const struct options *o = options;
    const char *temp_dir = getenv("TMPDIR");
    _cleanup_(ib_trust_freep) struct ib_trust *trust = ib_cli_load_trust(cli, &o->key, err);
    _cleanup_(ib_verify_report_clear) struct ib_verify_report report = {0};
    const struct ib_verify_options verify = {
        .trust = trust,
        .image = o->image,
        .temp_dir = temp_dir && *temp_dir ? temp_dir : "/var/tmp",
        .progress = cli->progress,
    };

    if (!trust)
        return -1;
    int r = ib_verify(argv[0], &verify, &report, err);
    cli->json ? print_json(cli->out, argv[0], &report, r == 0) : print_text(cli->out, &report);
    return r;
}

static const struct ib_option option_table[] = {
    {"image", 'i', IB_OPT_STRING, "ARTIFACT", "compare the disk with what this unpacks to",
     offsetof(struct options, image), NULL},
    {"key", 'k', IB_OPT_LIST, "FILE", "public key to trust, instead of the configured ones",
     offsetof(struct options, key), NULL},
    {0},
};

const struct ib_command ib_command_verify = {
    .name = "verify",
    .arguments = "ARTIFACT | DISK [--image ARTIFACT]",
    .summary = "check an artifact or a disk",
    .description =
        "An artifact: its manifest's signature where a key is trusted, every frame's hash, seek "
        "table and sizes, SHA256SUMS and the files beside it, and that partitions, boot image and "
        "root hashes fit together.\n\n"
        "A disk (a block device or a raw image file) with --image: that every frame of the "
        "artifact is on it, zeros included. Partitions that the machine made are left alone. A "
        "machine that has run has changed its EFI system partition.\n\n"
        "A disk alone: both copies of its partition table, every block of its roots against their "
        "hash trees, and that its boot images start one of those roots.\n\n"
        "Keys come from --key; else IMGBUILD_KEY (files, separated by ':'); else imgbuild.pub in "
        "the project and /etc/imgbuild/keys/*.pub. With a key, an artifact without a good "
        "signature "
        "is refused. The exit status is 0 only if all is good: 8 where a hash or signature does "
        "not "
        "match, 3 where something is malformed. Nothing is written; devices are read past the "
        "page cache.",
    .example = "imgbuild verify /dev/sdX --image out/odin_2026.11.22.img.zst",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_FILE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
