/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "cli/commands.h"
#include "cli/project.h"

enum { RUBBISH_AGE_S = 24 * 3600 };

struct options {
    bool all, blobs;
};

static int run(struct ib_cli *cli, void *options, int argc _unused_, char **argv _unused_,
               struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_cache_freep) struct ib_cache *cache = ib_cache_open(cli->cache, err);
    uint64_t freed = 0;
    char size[16];

    if (!cache || ib_cache_clean(cache, o->all || o->blobs ? 0 : RUBBISH_AGE_S, o->all || o->blobs,
                                 o->blobs, &freed, err) < 0)
        return -1;
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
    .description = "Removes what interrupted builds left in the cache. Artifacts in out/ are never "
                   "touched.",
    .example = "imgbuild clean --all",
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
