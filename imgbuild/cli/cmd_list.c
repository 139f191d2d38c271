/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild list: what there is. */
#include <jansson.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "model/show.h"
#include "ops/project.h"

struct options {
    bool names;
};

/* One name a line, for shells. */
static void print_names(FILE *out, const struct ib_recipe *recipe)
{
    for (size_t i = 0; i < recipe->node_specs.count; i++)
        fprintf(out, "%s\n", recipe->node_specs.items[i].name);
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv _unused_,
               struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, err);
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();

    if (!dir)
        return -1;
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe = ib_recipe_load(dir, NULL, diags, err);
    if (!recipe)
        return -1;
    const struct options *o = options;
    if (o->names) {
        print_names(cli->out, recipe);
    } else if (cli->json) {
        json_t *list = ib_recipe_list_json(recipe);
        json_dumpf(list, cli->out, JSON_INDENT(2));
        fputc('\n', cli->out);
        json_decref(list);
    } else {
        _cleanup_(ib_freep) char *text = ib_recipe_list_text(recipe);
        fputs(text, cli->out);
    }
    return 0;
}

static const struct ib_option option_table[] = {
    {"names", 0, IB_OPT_FLAG, NULL, "only the nodes' names, one a line",
     offsetof(struct options, names), NULL},
    {0},
};

const struct ib_command ib_command_list = {
    .name = "list",
    .arguments = "",
    .summary = "list nodes, roles, bases, hardware profiles and payloads",
    .description = "Prints what the recipes describe, one line each: nodes with role, address, "
                   "hardware profile and base; then roles, bases, hardware profiles and payloads.",
    .example = "imgbuild list --json",
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
