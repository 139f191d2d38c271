/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/project.h"

#include <jansson.h>

void ib_cli_print_diags(const struct ib_cli *cli, const struct ib_diags *diags)
{
    if (ib_diags_count(diags) == 0)
        return;
    if (cli->json) {
        json_t *o =
            json_pack("{s:s, s:o}", "event", "diagnostics", "diagnostics", ib_diags_json(diags));
        _cleanup_(ib_freep) char *text = json_dumps(o, JSON_COMPACT);
        fprintf(stderr, "%s\n", text ? text : "");
        json_decref(o);
        return;
    }
    _cleanup_(ib_freep) char *text = ib_diags_text(diags);
    fputs(text, stderr);
}

int ib_cli_open_project(struct ib_cli *cli, const char *base, struct ib_project *ret,
                        struct ib_error **err)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    int r = ib_project_open(ret, cli->directory, cli->cache, base, cli->progress, diags, err);

    ib_cli_print_diags(cli, diags);
    return r;
}

enum ib_sandbox_engine ib_cli_sandbox(const char *value)
{
    if (ib_streq(value, "namespace"))
        return IB_SANDBOX_NAMESPACE;
    return ib_streq(value, "guestfs") ? IB_SANDBOX_GUESTFS : IB_SANDBOX_AUTO;
}
