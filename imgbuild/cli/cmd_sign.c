/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild sign: signatures for artifacts that exist. */
#include <jansson.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/secret.h"
#include "ops/project.h"
#include "ops/sign.h"

struct options {
    const char *key;
};

static int load_key(struct ib_cli *cli, const struct options *o, struct ib_minisign_secret *ret,
                    struct ib_error **err)
{
    bool found;

    if (ib_cli_load_sign_key(o->key, ret, &found, err) < 0)
        return -1;
    if (found)
        return 0;
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, NULL);
    _cleanup_(ib_freep) char *path = ib_path_join(dir ? dir : ".", "imgbuild.key");
    if (ib_path_exists(path))
        return ib_cli_load_sign_key(path, ret, &found, err);
    ib_failf(err, IB_E_USAGE, "no secret key was named, and there is no '%s'", path);
    return ib_hint(err, "name it with --key or IMGBUILD_SIGN_KEY; 'imgbuild keygen' makes one");
}

static json_t *result_json(const char *path, const struct ib_signed *s)
{
    char hex[IB_SHA256_HEX_SIZE];

    return json_pack("{s:s, s:s, s:I, s:s, s:b, s:b}", "artifact", path, "signature", s->signature,
                     "size", (json_int_t)s->size_bytes, "sha256", ib_sha256_hex(&s->sha256, hex),
                     "changed", s->changed, "sums_signed", s->sums);
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    _cleanup_(ib_minisign_secret_clear) struct ib_minisign_secret key = {0};
    json_t *results = json_array();
    int r = load_key(cli, options, &key, err);

    for (int i = 0; r == 0 && i < argc; i++) {
        _cleanup_(ib_signed_clear) struct ib_signed s = {0};
        r = ib_sign_artifact(argv[i], &key, cli->progress, &s, err);
        if (r < 0)
            break;
        json_array_append_new(results, result_json(argv[i], &s));
        if (!cli->json)
            fprintf(cli->out, "%s  %s%s\n", s.signature, s.changed ? "(new)" : "(unchanged)",
                    s.sums ? ", and SHA256SUMS.minisig" : "");
    }
    if (cli->json) {
        json_dumpf(results, cli->out, JSON_INDENT(2));
        fputc('\n', cli->out);
    }
    json_decref(results);
    return r;
}

static const struct ib_option option_table[] = {
    {"key", 'k', IB_OPT_STRING, "FILE",
     "the secret key (default: IMGBUILD_SIGN_KEY, else imgbuild.key in the project)",
     offsetof(struct options, key), NULL},
    {0},
};

const struct ib_command ib_command_sign = {
    .name = "sign",
    .arguments = "ARTIFACT…",
    .summary = "sign artifacts that are built",
    .description =
        "Signs the manifest of each artifact (NODE_VERSION.img.zst). The manifest names the hash "
        "of every byte of the disk, so its signature covers all of it. The signature is put into "
        "the artifact, where flashing from a pipe or a server finds it, and beside it as "
        "NODE_VERSION.json.minisig; SHA256SUMS is signed too where it lists the artifact.\n\n"
        "The artifact is replaced in one step by a copy with the signature in it; nothing is "
        "compressed again. 'imgbuild node --sign-key' signs while building, without the copy.",
    .example = "imgbuild sign out/odin_2026.11.22.img.zst",
    .min_args = 1,
    .max_args = -1,
    .argument_kind = IB_ARG_FILE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
