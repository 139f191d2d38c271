/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "ops/explain.h"

enum { SHOWN_KEY_LENGTH = 12, SHOWN_VALUE_LENGTH = 60 };

struct options {
    struct ib_strv without;
    const char *base;
};

static json_t *change_json(const struct ib_explain_change *c)
{
    return json_pack("{s:s, s:s?, s:s?}", "input", c->input, "before", c->before, "after",
                     c->after);
}

static void print_json(FILE *out, const struct ib_explain *e)
{
    json_t *stages = json_array();

    for (size_t i = 0; i < e->count; i++) {
        const struct ib_explain_stage *s = &e->stages[i];
        char hex[IB_SHA256_HEX_SIZE];
        json_t *changes = json_array();
        for (size_t k = 0; k < s->change_count; k++)
            json_array_append_new(changes, change_json(&s->changes[k]));
        json_array_append_new(stages,
                              json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "stage", s->stage,
                                        "subject", s->subject, "key", ib_sha256_hex(&s->key, hex),
                                        "hit", s->hit, "known", s->known, "changes", changes));
    }
    json_dumpf(stages, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(stages);
}

static void print_value(FILE *out, const char *value)
{
    if (!value)
        fputs("nothing", out);
    else
        fprintf(out, "%.*s%s", SHOWN_VALUE_LENGTH, value,
                strlen(value) > SHOWN_VALUE_LENGTH ? "…" : "");
}

static void print_text(FILE *out, const struct ib_explain *e)
{
    for (size_t i = 0; i < e->count; i++) {
        const struct ib_explain_stage *s = &e->stages[i];
        char hex[IB_SHA256_HEX_SIZE];
        fprintf(out, "%-9s %-24s %.*s  %s\n", s->stage, s->subject, SHOWN_KEY_LENGTH,
                ib_sha256_hex(&s->key, hex),
                s->hit     ? "in the cache"
                : s->known ? "will be made, because of:"
                           : "will be made for the first time");
        for (size_t k = 0; k < s->change_count; k++) {
            fprintf(out, "    %s: ", s->changes[k].input);
            print_value(out, s->changes[k].before);
            fputs(" -> ", out);
            print_value(out, s->changes[k].after);
            fputc('\n', out);
        }
    }
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_project_clear) struct ib_project project = {0};
    _cleanup_(ib_explain_clear) struct ib_explain explain = {0};

    if (ib_cli_open_project(cli, o->base, &project, err) < 0)
        return -1;
    const struct ib_build_options build = {.without = &o->without};
    if (ib_explain_run(&project, &build, argv[0], &explain, err) < 0)
        return -1;
    cli->json ? print_json(cli->out, &explain) : print_text(cli->out, &explain);
    return 0;
}

static const struct ib_option option_table[] = {
    {"without", 0, IB_OPT_LIST, "PAYLOAD", "as in 'imgbuild node'",
     offsetof(struct options, without), NULL},
    {"base", 0, IB_OPT_STRING, "BASE", "as in 'imgbuild node'", offsetof(struct options, base),
     NULL},
    {0},
};

const struct ib_command ib_command_explain = {
    .name = "explain",
    .arguments = "NAME",
    .summary = "tell what a build would do, stage by stage, and why",
    .description = "Shows each stage's key, whether its output is in the cache, and, where it is "
                   "not, which of its inputs changed since the newest output that is.",
    .example = "imgbuild explain odin",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_NODE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
