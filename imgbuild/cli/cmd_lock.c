/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "ops/lock.h"

struct options {
    bool names, accept_changed, dry_run, offline;
    struct ib_strv mirror;
};

static void print_json(FILE *out, const struct ib_lock_result *result)
{
    json_t *changes = json_array();

    for (size_t i = 0; i < result->change_count; i++) {
        const struct ib_lock_change *c = &result->changes[i];
        json_array_append_new(changes,
                              json_pack("{s:s, s:s, s:s?, s:s?, s:s?}", "change",
                                        ib_lock_change_kind_name(c->kind), "name", c->name, "what",
                                        c->what, "old", c->old_value, "new", c->new_value));
    }
    json_t *root = json_pack("{s:b, s:o}", "written", result->written, "changes", changes);
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
}

static void print_text(FILE *out, const struct ib_lock_result *result)
{
    for (size_t i = 0; i < result->change_count; i++) {
        const struct ib_lock_change *c = &result->changes[i];
        fprintf(out, "%-8s %s%s%s", ib_lock_change_kind_name(c->kind), c->name, c->what ? " " : "",
                c->what ? c->what : "");
        fprintf(out, c->old_value && c->new_value ? ": %s -> %s\n" : ": %s%s\n",
                c->old_value ? c->old_value : "", c->new_value ? c->new_value : "");
    }
    if (!result->change_count)
        fputs("nothing has changed\n", out);
    else if (result->written)
        fputs("wrote " IB_LOCK_PATH "\n", out);
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_project_clear) struct ib_project project = {0};
    _cleanup_(ib_lock_result_clear) struct ib_lock_result result = {0};

    if (ib_cli_open_project(cli, NULL, &project, err) < 0)
        return -1;
    if (o->names) {
        for (size_t i = 0; i < project.lock->entry_count; i++)
            fprintf(cli->out, "%s\n", project.lock->entries[i].name);
        return 0;
    }
    const struct ib_lock_options lock = {
        .names = (const char *const *)argv,
        .name_count = (size_t)argc,
        .accept_changed = o->accept_changed,
        .dry_run = o->dry_run,
        .offline = o->offline,
        .mirrors = &o->mirror,
    };
    if (ib_lock_run(&project, &lock, &result, err) < 0)
        return -1;
    cli->json ? print_json(cli->out, &result) : print_text(cli->out, &result);
    return 0;
}

static const struct ib_option option_table[] = {
    {"names", 0, IB_OPT_FLAG, NULL, "only print the names of what is locked, one a line",
     offsetof(struct options, names), NULL},
    {"dry-run", 'n', IB_OPT_FLAG, NULL, "show what would change, write nothing",
     offsetof(struct options, dry_run), NULL},
    {"accept-changed", 0, IB_OPT_FLAG, NULL, "take files that changed under their old version",
     offsetof(struct options, accept_changed), NULL},
    {"offline", 0, IB_OPT_FLAG, NULL, "fail rather than use the network",
     offsetof(struct options, offline), NULL},
    {"mirror", 0, IB_OPT_LIST, "DIR-or-URL", "look here first for files without a checksum list",
     offsetof(struct options, mirror), NULL},
    {0},
};

const struct ib_command ib_command_lock = {
    .name = "lock",
    .arguments = "[NAME…]",
    .summary = "pin what recipes name: find its hash, check it, write the lock",
    .description =
        "Resolves the named bases and payloads, or all of them, to exact bytes, and writes them "
        "into recipes/imgbuild.lock. What changed is shown.\n\n"
        "Images and payloads get their hash from the checksum list that the recipe names; where it "
        "names a key too, the list's signature is checked. Without a list the file itself is "
        "fetched once and pinned. A Debian suite becomes the exact list of packages of each role, "
        "resolved by apt (which must be installed) from the suite's signed index.\n\n"
        "A file that was published anew under its old version is refused, unless "
        "--accept-changed is given. When anything fails, nothing is written.",
    .example = "imgbuild lock k3s",
    .max_args = -1,
    .argument_kind = IB_ARG_LOCK_ENTRY,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
