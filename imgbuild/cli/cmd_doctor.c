/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild doctor: what this machine can do, and what would make it do more. */
#include <jansson.h>
#include <unistd.h>

#include "cli/commands.h"
#include "io/cache.h"
#include "os/host.h"

static const char *state_name(enum ib_host_state state)
{
    static const char *const names[] = {"ok", "limited", "missing"};

    return names[state];
}

static void print_json(FILE *out, const struct ib_host_report *report)
{
    json_t *checks = json_array();

    for (size_t i = 0; i < report->count; i++) {
        const struct ib_host_check *c = &report->checks[i];
        json_array_append_new(checks,
                              json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", c->name, "used_for",
                                        c->used_for, "state", state_name(c->state), "detail",
                                        c->detail, "cure", c->cure));
    }
    json_t *o = json_pack("{s:o, s:s?}", "checks", checks, "install", report->install);
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

static void print_text(FILE *out, const struct ib_host_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct ib_host_check *c = &report->checks[i];
        fprintf(out, "%-8s %-18s %s\n", state_name(c->state), c->name, c->detail);
        if (c->state == IB_HOST_OK)
            continue;
        fprintf(out, "%27s needed for %s\n", "", c->used_for);
        if (c->cure)
            fprintf(out, "%27s try: %s\n", "", c->cure);
    }
    if (report->install)
        fprintf(out, "\nTo install what is missing:\n    %s\n", report->install);
}

static int run(struct ib_cli *cli, void *options _unused_, int argc _unused_, char **argv _unused_,
               struct ib_error **err)
{
    _cleanup_(ib_host_report_clear) struct ib_host_report report = {0};
    _cleanup_(ib_cache_freep) struct ib_cache *cache = ib_cache_open(cli->cache, err);

    if (!cache)
        return -1;
    ib_host_inspect(ib_cache_dir(cache), &report);
    cli->json ? print_json(cli->out, &report) : print_text(cli->out, &report);
    return 0;
}

const struct ib_command ib_command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "tell what this machine can do, and what to install",
    .description = "Tries everything that building needs or profits from (sandboxes, KVM, memory, "
                   "disk, programs), and says what is lost where something is missing, and what to "
                   "do about it. Changes nothing.",
    .example = "imgbuild doctor",
    .run = run,
};
