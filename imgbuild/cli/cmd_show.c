/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild show NODE: everything resolved, and where it came from. */
#include <jansson.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "model/show.h"
#include "ops/project.h"

struct options {
    const char *base;
};

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, err);
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();

    if (!dir)
        return -1;
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe = ib_recipe_load(dir, o->base, diags, err);
    const struct ib_node_spec *node = recipe ? ib_recipe_need_node(recipe, argv[0], err) : NULL;
    if (!node)
        return -1;
    if (cli->json) {
        json_t *shown = ib_recipe_show_json(recipe, node);
        json_dumpf(shown, cli->out, JSON_INDENT(2));
        fputc('\n', cli->out);
        json_decref(shown);
    } else {
        _cleanup_(ib_freep) char *text = ib_recipe_show_text(recipe, node);
        fputs(text, cli->out);
    }
    return 0;
}

static const struct ib_option show_options[] = {
    {"base", 0, IB_OPT_STRING, "NAME", "as if every node were built on this base",
     offsetof(struct options, base), NULL},
    {0},
};

const struct ib_command ib_command_show = {
    .name = "show",
    .arguments = "NODE",
    .summary = "show a node with all that its recipes come to",
    .description = "Prints every value that goes into a node's image, merged from cluster, base, "
                   "role, hardware profile and node, and the file and line that each came from.",
    .example = "imgbuild show odin",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_NODE,
    .options = show_options,
    .options_size = sizeof(struct options),
    .run = run,
};
