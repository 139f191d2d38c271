/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/atomic.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/project.h"

enum { RUBBISH_AGE_S = 24 * 3600 };

struct options {
    bool all, blobs;
};

/* A cache can be cleaned from anywhere; out/ from inside its project, or with -C. */
static int clean_out(const struct ib_cli *cli, uint64_t *freed, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, cli->directory ? err : NULL);

    if (!dir)
        return cli->directory ? -1 : 0;
    _cleanup_(ib_freep) char *out = ib_path_join(dir, "out");
    return ib_atomic_remove_leftovers(out, freed, err);
}

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv _unused_,
               struct ib_error **err)
{
    const struct options *o = options;
    const struct ib_cache_clean what = {
        .all = o->all || o->blobs,
        .blobs = o->blobs,
        .min_age_s = RUBBISH_AGE_S,
        .remove = ib_sandbox_remove_leftover,
    };
    _cleanup_(ib_cache_freep) struct ib_cache *cache = ib_cache_open(cli->cache, err);
    uint64_t freed = 0, freed_out = 0;
    char size[16];

    if (!cache || clean_out(cli, &freed_out, err) < 0 ||
        ib_cache_clean(cache, &what, &freed, err) < 0)
        return -1;
    freed += freed_out;
    if (cli->json)
        fprintf(cli->out, "{\"freed\": %llu}\n", (unsigned long long)freed);
    else
        fprintf(cli->out, "freed %s in %s\n", ib_format_size(freed, size), ib_cache_dir(cache));
    return 0;
}

static const struct ib_option option_table[] = {
    {"all", 'a', IB_OPT_FLAG, NULL, "outputs of all stages, which the next build makes again",
     offsetof(struct options, all), NULL},
    {"blobs", 0, IB_OPT_FLAG, NULL, "and downloaded files, which it fetches again",
     offsetof(struct options, blobs), NULL},
    {0},
};

const struct ib_command ib_command_clean = {
    .name = "clean",
    .arguments = "",
    .summary = "remove rubbish, or everything, from the cache",
    .description = "Removes what interrupted builds left in the cache and in the project's out/. "
                   "Finished artifacts are never touched. While another imgbuild uses the cache, "
                   "only what is older than a day goes.",
    .example = "imgbuild clean --all",
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
