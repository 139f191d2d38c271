/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild keygen: a key pair to sign artifacts with. */
#include <jansson.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/secret.h"
#include "ops/sign.h"

struct options {
    bool no_passphrase;
};

static void print_json(FILE *out, const char *base, const char *id)
{
    _cleanup_(ib_freep) char *key = ib_asprintf("%s.key", base);
    _cleanup_(ib_freep) char *public = ib_asprintf("%s.pub", base);
    json_t *o = json_pack("{s:s, s:s, s:s}", "key", key, "public_key", public, "id", id);

    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    const char *base = argc > 0 ? argv[0] : "imgbuild";
    char *passphrase = NULL, id[IB_MINISIGN_ID_TEXT_SIZE];
    struct ib_minisign_public key;

    if (ib_keygen_check(base, err) < 0)
        return ib_wrap(err, NULL, "make a key pair");
    if (!o->no_passphrase && !(passphrase = ib_cli_ask_new_secret("passphrase for the key", err)))
        return -1;
    int r = ib_keygen(base, passphrase, &key, err);
    if (passphrase)
        explicit_bzero(passphrase, strlen(passphrase));
    free(passphrase);
    if (r < 0)
        return ib_wrap(err, NULL, "make a key pair");
    ib_minisign_id_text(key.id, id);
    if (cli->json)
        print_json(cli->out, base, id);
    else
        fprintf(cli->out,
                "%s.key  the secret key %s: keep it to yourself, and out of git\n"
                "%s.pub  the public key: give it to whoever checks what you sign\n",
                base, id, base);
    return 0;
}

static const struct ib_option option_table[] = {
    {"no-passphrase", 0, IB_OPT_FLAG, NULL, "do not encrypt the secret key (for machines)",
     offsetof(struct options, no_passphrase), NULL},
    {0},
};

const struct ib_command ib_command_keygen = {
    .name = "keygen",
    .arguments = "[NAME]",
    .summary = "make a key pair to sign artifacts with",
    .description =
        "Writes NAME.key, the secret key (mode 0600), and NAME.pub, the public one; NAME is "
        "'imgbuild' unless given. Files that exist are never replaced.\n\n"
        "The secret key is encrypted with a passphrase, which is asked for on the terminal, twice. "
        "Both files are in the format of minisign, and that program can use them.\n\n"
        "Put the public key into the project as 'imgbuild.pub', or into /etc/imgbuild/keys on "
        "machines that shall take only what you signed.",
    .example = "imgbuild keygen",
    .max_args = 1,
    .argument_kind = IB_ARG_FILE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
