/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/artifacts.h"

#include <dirent.h>
#include <string.h>

#include "base/file.h"

/* The newest NAME_*.img.zst in `dir`, by its version; the caller frees. NULL: none. */
static char *newest_artifact(const char *dir, const char *name)
{
    _cleanup_(ib_closedirp) DIR *d = opendir(dir);
    _cleanup_(ib_freep) char *prefix = ib_asprintf("%s_", name);
    _cleanup_(ib_freep) char *best = NULL;

    for (struct dirent *e; d && (e = readdir(d));)
        if (ib_startswith(e->d_name, prefix) && ib_endswith(e->d_name, ".img.zst") &&
            (!best || strverscmp(e->d_name, best) > 0)) {
            free(best);
            best = ib_strdup(e->d_name);
        }
    return best ? ib_path_join(dir, best) : NULL;
}

char *ib_cli_newest_artifact(const struct ib_project *project, const char *node, const char *output,
                             struct ib_error **err)
{
    _cleanup_(ib_freep) char *out = output ? ib_strdup(output) : ib_path_join(project->dir, "out");
    char *image = newest_artifact(out, node);

    if (!image) {
        ib_failf(err, IB_E_NOT_FOUND, "there is no artifact of '%s' in '%s'", node, out);
        ib_hint(err, "imgbuild node %s", node);
    }
    return image;
}

char *ib_cli_find_artifact(struct ib_cli *cli, const char *what, const char *output,
                           struct ib_project *ret_project, const struct ib_node_spec **ret_node,
                           struct ib_error **err)
{
    if (strchr(what, '/') || (strchr(what, '.') && ib_path_exists(what)))
        return ib_strdup(what);
    if (ib_cli_open_project(cli, NULL, ret_project, err) < 0)
        return NULL;
    const struct ib_node_spec *node = ib_recipe_need_node(ret_project->recipe, what, err);
    if (!node)
        return NULL;
    char *image = ib_cli_newest_artifact(ret_project, what, output, err);
    if (image && ret_node)
        *ret_node = node;
    return image;
}
