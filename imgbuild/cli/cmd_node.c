/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "cli/secret.h"
#include "ops/build.h"

struct options {
    bool all, offline;
    const char *output, *base, *sandbox, *version, *key, *certificate, *sign_key;
    struct ib_strv without, mirror;
};

static void print_json(FILE *out, const struct ib_build_result *result)
{
    json_t *nodes = json_array();

    for (size_t i = 0; i < result->count; i++) {
        const struct ib_built *b = &result->items[i];
        char sha256[IB_SHA256_HEX_SIZE], root[IB_SHA256_HEX_SIZE];
        json_array_append_new(
            nodes, json_pack("{s:s, s:s, s:s, s:I, s:s, s:s, s:b, s:I}", "node", b->node, "version",
                             b->version, "artifact", b->artifact, "size", (json_int_t)b->size_bytes,
                             "sha256", ib_sha256_hex(&b->sha256, sha256), "root_hash",
                             ib_sha256_hex(&b->root_hash, root), "cached", b->cached, "elapsed_ms",
                             (json_int_t)b->elapsed_ms));
    }
    json_dumpf(nodes, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(nodes);
}

static void print_text(FILE *out, const struct ib_build_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        const struct ib_built *b = &result->items[i];
        char size[16];
        fprintf(out, "%s  %s  %s\n", b->artifact, ib_format_size(b->size_bytes, size),
                b->cached ? "(unchanged)" : "(new)");
    }
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_project_clear) struct ib_project project = {0};
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_build_result_clear) struct ib_build_result result = {0};

    if ((argc == 0) != o->all) {
        ib_failf(err, IB_E_USAGE,
                 o->all ? "--all and node names do not go together" : "no node was named");
        return ib_hint(err, "imgbuild node NAME…, or imgbuild node --all");
    }
    if (!o->key != !o->certificate)
        return ib_failf(err, IB_E_USAGE, "--key and --certificate go together");
    _cleanup_(ib_minisign_secret_clear) struct ib_minisign_secret sign_key = {0};
    bool is_signed;
    if (ib_cli_load_sign_key(o->sign_key, &sign_key, &is_signed, err) < 0 ||
        ib_cli_open_project(cli, o->base, &project, err) < 0)
        return -1;
    const struct ib_build_options build = {
        .nodes = o->all ? NULL : (const char *const *)argv,
        .sandbox = ib_cli_sandbox(o->sandbox),
        .without = &o->without,
        .offline = o->offline,
        .mirrors = &o->mirror,
        .out_dir = o->output,
        .version = o->version,
        .key = o->key,
        .certificate = o->certificate,
        .sign_key = is_signed ? &sign_key : NULL,
    };
    int r = ib_build_run(&project, &build, diags, &result, err);
    ib_cli_print_diags(cli, diags);
    cli->json ? print_json(cli->out, &result) : print_text(cli->out, &result);
    return r;
}

static const struct ib_option option_table[] = {
    {"all", 'a', IB_OPT_FLAG, NULL, "every node of the cluster", offsetof(struct options, all),
     NULL},
    {"output", 'o', IB_OPT_STRING, "DIR", "where artifacts go (default: out/ in the project)",
     offsetof(struct options, output), NULL},
    {"base", 0, IB_OPT_STRING, "BASE", "build on this base, whatever the recipes name",
     offsetof(struct options, base), NULL},
    {"without", 0, IB_OPT_LIST, "PAYLOAD", "leave a payload out; the manifest says so",
     offsetof(struct options, without), NULL},
    {"offline", 0, IB_OPT_FLAG, NULL, "use only what the cache and mirrors hold",
     offsetof(struct options, offline), NULL},
    {"mirror", 0, IB_OPT_LIST, "DIR-or-URL", "look here first for remote files",
     offsetof(struct options, mirror), NULL},
    {"sandbox", 0, IB_OPT_STRING, "ENGINE", "auto, namespace or guestfs",
     offsetof(struct options, sandbox), IB_CLI_SANDBOX_CHOICES},
    {"version-id", 0, IB_OPT_STRING, "VERSION", "instead of the commit's date",
     offsetof(struct options, version), NULL},
    {"key", 0, IB_OPT_STRING, "FILE", "Secure Boot private key (PEM), to sign the UKI",
     offsetof(struct options, key), NULL},
    {"certificate", 0, IB_OPT_STRING, "FILE", "and its certificate (PEM)",
     offsetof(struct options, certificate), NULL},
    {"sign-key", 0, IB_OPT_STRING, "FILE",
     "secret key to sign the manifest with (default: IMGBUILD_SIGN_KEY)",
     offsetof(struct options, sign_key), NULL},
    {0},
};

const struct ib_command ib_command_node = {
    .name = "node",
    .arguments = "NAME… | --all",
    .summary = "build the disk images of nodes",
    .description =
        "Builds the finished disk image of each node, from the recipes and the lock, into "
        "out/NAME_VERSION.img.zst, with its manifest, checksums and UKI beside it.\n\n"
        "Every stage's output is kept in the cache under the hash of all that went into it: a "
        "second node of a role costs a second, and a build without changes nothing. The same "
        "recipes and lock give the same bytes on every machine.",
    .example = "imgbuild node odin",
    .max_args = -1,
    .argument_kind = IB_ARG_NODE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
