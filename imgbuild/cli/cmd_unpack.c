/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild unpack: an image as a raw or qcow2 file. */
#include <jansson.h>

#include "cli/commands.h"
#include "cli/secret.h"
#include "ops/unpack.h"

struct options {
    const char *format;
    bool force;
    struct ib_strv key;
};

static void print_result(struct ib_cli *cli, const char *out, const struct ib_unpacked *u)
{
    char size[16];

    if (cli->json) {
        json_t *o =
            json_pack("{s:s, s:I, s:s, s:s?}", "file", out, "disk_size", (json_int_t)u->size_bytes,
                      "source_format", u->format, "signed_by", u->signed_by);
        json_dumpf(o, cli->out, JSON_INDENT(2));
        fputc('\n', cli->out);
        json_decref(o);
        return;
    }
    fprintf(cli->out, "%s  a disk of %s, ", out, ib_format_size(u->size_bytes, size));
    if (u->signed_by)
        fprintf(cli->out, "signed by %s\n", u->signed_by);
    else
        fprintf(cli->out, "signature not checked\n");
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_trust_freep) struct ib_trust *trust = ib_cli_load_trust(cli, &o->key, err);
    _cleanup_(ib_unpacked_clear) struct ib_unpacked result = {0};
    const struct ib_unpack_options unpack = {
        .format = ib_streq(o->format, "qcow2") ? IB_UNPACK_QCOW2 : IB_UNPACK_RAW,
        .force = o->force,
        .trust = trust,
        .need_signature = o->key.count > 0,
        .progress = cli->progress,
    };

    if (!trust || ib_unpack(argv[0], argv[1], &unpack, &result, err) < 0)
        return -1;
    print_result(cli, argv[1], &result);
    return 0;
}

static const struct ib_option option_table[] = {
    {"format", 'f', IB_OPT_STRING, "FORMAT", "raw (default) or qcow2",
     offsetof(struct options, format), "raw|qcow2"},
    {"force", 0, IB_OPT_FLAG, NULL, "replace OUT if it exists", offsetof(struct options, force),
     NULL},
    {"key", 'k', IB_OPT_LIST, "FILE", "public key that must have signed the artifact",
     offsetof(struct options, key), NULL},
    {0},
};

const struct ib_command ib_command_unpack = {
    .name = "unpack",
    .arguments = "IMAGE OUT",
    .summary = "unpack an image to a raw or qcow2 file",
    .description =
        "Unpacks an artifact (NODE_VERSION.img.zst), or any raw image that is plain or packed by "
        "zstd, xz, gzip, bzip2 or lz4, to the regular file OUT. Zeros become holes. Every frame of "
        "an artifact is checked against its hash; its signature too where a key is trusted (see "
        "'imgbuild verify').\n\n"
        "OUT appears when it is complete, and not before. Devices are refused: 'imgbuild flash' "
        "writes to those. For qcow2 there must be room for the unpacked image beside OUT.",
    .example = "imgbuild unpack out/odin_2026.11.22.img.zst odin.qcow2 --format qcow2",
    .min_args = 2,
    .max_args = 2,
    .argument_kind = IB_ARG_FILE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
