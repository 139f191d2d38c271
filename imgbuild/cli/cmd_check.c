/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild check: all mistakes in recipes, lock and templates. */
#include <jansson.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "model/lock.h"
#include "model/recipe.h"
#include "ops/project.h"
#include "ops/template.h"

static int check_lock(const char *dir, struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, IB_LOCK_PATH);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_path_exists(path))
        return 0;
    if (ib_read_file(path, IB_LOCK_MAX_SIZE, &text, err) < 0)
        return -1;
    ib_lock_free(ib_lock_parse(IB_LOCK_PATH, text.data, text.size, diags));
    return 0;
}

static void print_diags(struct ib_cli *cli, const struct ib_diags *diags)
{
    if (!cli->json) {
        _cleanup_(ib_freep) char *text = ib_diags_text(diags);
        fputs(text, cli->out);
        return;
    }
    json_t *array = ib_diags_json(diags);
    json_dumpf(array, cli->out, JSON_INDENT(2));
    fputc('\n', cli->out);
    json_decref(array);
}

static void print_ok(struct ib_cli *cli, const struct ib_recipe *recipe)
{
    const struct {
        size_t count;
        const char *noun;
    } parts[] = {{recipe->nodes.count, "node"},
                 {recipe->roles.count, "role"},
                 {recipe->bases.count, "base"},
                 {recipe->hardware.count, "hardware profile"}};

    if (cli->json || cli->quiet)
        return;
    for (size_t i = 0; i < IB_ARRAY_SIZE(parts); i++)
        fprintf(cli->out, "%s%zu %s%s", i ? ", " : "", parts[i].count, parts[i].noun,
                parts[i].count == 1 ? "" : "s");
    fputs(": all right\n", cli->out);
}

static int run(struct ib_cli *cli, void *options _unused_, int argc _unused_, char **argv _unused_,
               struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, err);
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe = NULL;

    if (!dir)
        return -1;
    recipe = ib_recipe_load(dir, NULL, diags, err);
    if (!recipe) {
        if (ib_diags_count(diags) == 0)
            return -1;
        ib_error_clear(err); /* what it says is the first of the diagnostics */
    }
    if (check_lock(dir, diags, err) < 0 ||
        (recipe && ib_templates_check(dir, recipe, diags, err) < 0))
        return -1;
    ib_diags_sort(diags);
    if (ib_diags_count(diags) || cli->json)
        print_diags(cli, diags);
    if (ib_diags_count(diags) == 0) {
        print_ok(cli, recipe);
        return 0;
    }
    return ib_failf(err, IB_E_INVALID, "%zu mistake%s in the recipes", ib_diags_count(diags),
                    ib_diags_count(diags) == 1 ? "" : "s");
}

const struct ib_command ib_command_check = {
    .name = "check",
    .arguments = "",
    .summary = "check recipes, lock and templates",
    .description = "Reads every recipe, the lock and every file that recipes make a template, and "
                   "prints all mistakes on stdout, each with its file, line and column, what was "
                   "expected, and the nearest valid name. Templates are looked at once the recipes "
                   "are right: they say which files are templates.\n\n"
                   "With --json they are an array of objects with the keys file, line, column, "
                   "message, expectation and suggestion; an empty one when all is right.",
    .example = "imgbuild check",
    .run = run,
};
