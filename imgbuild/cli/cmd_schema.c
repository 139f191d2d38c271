/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild schema: what may stand in a recipe, for editors and for people. */
#include <jansson.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "model/recipe_schema.h"
#include "model/show.h"

struct options {
    bool markdown, values;
};

static int print_schema(struct ib_cli *cli, const char *name, struct ib_error **err)
{
    const char *names[IB_RECIPE_KIND_COUNT];

    for (size_t i = 0; i < IB_RECIPE_KIND_COUNT; i++) {
        names[i] = ib_recipe_kinds[i].name;
        if (!ib_streq(name, names[i]))
            continue;
        _cleanup_(ib_freep) char *id = ib_asprintf("urn:imgbuild:schema:%s", name);
        json_t *schema = ib_schema_json_schema(ib_recipe_kinds[i].schema, id);
        json_dumpf(schema, cli->out, JSON_INDENT(2));
        fputc('\n', cli->out);
        json_decref(schema);
        return 0;
    }
    const char *nearest = ib_nearest(name, names, IB_RECIPE_KIND_COUNT);
    ib_failf(err, IB_E_USAGE, "there is no kind of recipe '%s'", name);
    if (nearest)
        return ib_hint(err, "did you mean '%s'?", nearest);
    return ib_hint(err, "kinds are cluster, base, role, node and hardware");
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;

    if (argc == 1 && !o->markdown && !o->values)
        return print_schema(cli, argv[0], err);
    if (argc > 0 || (o->markdown && o->values)) {
        ib_failf(err, IB_E_USAGE, "give one of KIND, --markdown and --values");
        return ib_hint(err, "imgbuild schema node");
    }
    if (o->markdown || o->values) {
        _cleanup_(ib_freep) char *text = o->markdown ? ib_recipe_reference() : ib_values_markdown();
        fputs(text, cli->out);
        return 0;
    }
    for (size_t i = 0; i < IB_RECIPE_KIND_COUNT; i++)
        fprintf(cli->out, "%-10s%s%s\n", ib_recipe_kinds[i].name, ib_recipe_kinds[i].directory,
                i ? "NAME.yaml" : "");
    return 0;
}

static const struct ib_option schema_options[] = {
    {"markdown", 0, IB_OPT_FLAG, NULL, "print the reference of all kinds (docs/recipes.md)",
     offsetof(struct options, markdown), NULL},
    {"values", 0, IB_OPT_FLAG, NULL, "print the ${…} values that recipes and templates may use",
     offsetof(struct options, values), NULL},
    {0},
};

const struct ib_command ib_command_schema = {
    .name = "schema",
    .arguments = "[KIND | --markdown | --values]",
    .summary = "print the JSON Schema of a kind of recipe",
    .description = "Prints a JSON Schema (draft 2020-12) with a description of every key, for "
                   "editors that complete and check YAML while it is typed. Kinds are cluster, "
                   "base, role, node and hardware; without one they are listed.",
    .example = "imgbuild schema node > node.schema.json",
    .max_args = 1,
    .options = schema_options,
    .options_size = sizeof(struct options),
    .run = run,
};
