/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/build.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "build_internal.h"
#include "ops/fetch.h"
#include "ops/template.h"

void ib_build_result_clear(struct ib_build_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        free(result->items[i].node);
        free(result->items[i].version);
        free(result->items[i].artifact);
    }
    free(result->items);
    *result = (struct ib_build_result){0};
}

void ib_build_close(struct ib_build *b)
{
    free(b->version);
    free(b->out_dir);
}

int ib_out_hint(const struct ib_build *b, struct ib_error **err)
{
    if (err && ib_error_code(*err) == IB_E_PERMISSION)
        ib_hint(err, "make '%s' writable, or choose another place with --output DIR", b->out_dir);
    return -1;
}

static bool valid_version(const char *version)
{
    size_t n =
        strspn(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.~^-");

    return n > 0 && version[n] == 0 && n <= 64;
}

int ib_build_open(struct ib_build *b, struct ib_error **err)
{
    const struct ib_build_options *options = b->options;

    if (ib_project_epoch(b->project, &b->epoch_s, err) < 0)
        return -1;
    b->version = options->version ? ib_strdup(options->version) : ib_version_from_epoch(b->epoch_s);
    if (!valid_version(b->version)) {
        ib_failf(err, IB_E_USAGE, "'%s' is no version", b->version);
        return ib_hint(err, "letters, digits and . ~ ^ - (UAPI.10 Version Format Specification)");
    }
    b->out_dir =
        options->out_dir ? ib_strdup(options->out_dir) : ib_path_join(b->project->dir, "out");
    return 0;
}

static int check_without(const struct ib_build *b, struct ib_error **err)
{
    const struct ib_cluster *cluster = &b->project->recipe->cluster;
    const struct ib_strv *without = b->options->without;

    for (size_t i = 0; without && i < without->count; i++) {
        if (ib_recipe_payload(b->project->recipe, without->items[i]))
            continue;
        _cleanup_(ib_strv_clear) struct ib_strv names = {0};
        for (size_t k = 0; k < cluster->payloads.count; k++)
            ib_strv_add(&names, cluster->payloads.items[k].name);
        _cleanup_(ib_freep) char *list = ib_strv_join(&names, ", ");
        ib_failf(err, IB_E_USAGE, "there is no payload '%s' to leave out", without->items[i]);
        return ib_hint(err, "payloads are: %s", list);
    }
    return 0;
}

static int select_nodes(const struct ib_build *b, const struct ib_node_spec ***ret,
                        size_t *ret_count, struct ib_error **err)
{
    const struct ib_recipe *r = b->project->recipe;
    size_t count = 0;

    *ret = ib_calloc(r->node_specs.count + 1, sizeof(**ret));
    if (!b->options->nodes) {
        for (; count < r->node_specs.count; count++)
            (*ret)[count] = &r->node_specs.items[count];
        *ret_count = count;
        return 0;
    }
    for (const char *const *name = b->options->nodes; *name; name++) {
        const struct ib_node_spec *node = ib_recipe_need_node(r, *name, err);
        if (!node)
            return -1;
        bool twice = false;
        for (size_t i = 0; i < count; i++)
            twice |= (*ret)[i] == node;
        if (!twice)
            (*ret)[count++] = node;
    }
    *ret_count = count;
    return 0;
}

/*
 * Brings what the nodes' roots are made of into the cache, for those roots that have to be made:
 * what is built already needs its sources no more.
 */
static int fetch_inputs(const struct ib_build *b, const struct ib_node_spec *const *nodes,
                        size_t count, struct ib_error **err)
{
    _cleanup_(ib_freep) const struct ib_node_spec **missing = ib_calloc(count, sizeof(*missing));
    _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
    size_t missing_count = 0;

    for (size_t i = 0; i < count; i++) {
        bool cached;
        if (ib_stage_node_inputs_cached(b, nodes[i], &cached, err) < 0)
            return -1;
        if (!cached)
            missing[missing_count++] = nodes[i];
    }
    if (missing_count == 0)
        return 0;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(b->project->progress, NULL, "fetch", NULL, 0, IB_UNIT_NONE);
    const struct ib_needs_options options = {
        .offline = b->options->offline,
        .mirrors = b->options->mirrors,
        .step = step,
    };
    if (ib_needs_of_nodes(b->project, missing, missing_count, b->options->without, &needs, err) <
            0 ||
        ib_needs_fetch(&needs, b->project, &options, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

static int build_nodes(const struct ib_build *b, const struct ib_node_spec *const *nodes,
                       size_t count, struct ib_build_result *ret, struct ib_error **err)
{
    ret->items = ib_calloc(count, sizeof(*ret->items));
    for (size_t i = 0; i < count; i++) {
        struct ib_progress *progress = b->project->progress;
        if (ib_progress_check(progress, err) < 0)
            return -1;
        _cleanup_(ib_step_failp) struct ib_step *step =
            ib_step_begin(progress, NULL, "node", nodes[i]->name, 0, IB_UNIT_NONE);
        struct ib_built *built = &ret->items[ret->count];
        if (ib_stage_node(b, nodes[i], step, built, err) < 0)
            return ib_wrap(err, nodes[i]->name, "build node");
        ret->count++;
        ib_step_end(ib_steal(&step), built->cached ? IB_STEP_CACHED : IB_STEP_DONE);
    }
    return 0;
}

int ib_build_run(struct ib_project *project, const struct ib_build_options *options,
                 struct ib_diags *diags, struct ib_build_result *ret, struct ib_error **err)
{
    _cleanup_(ib_build_close) struct ib_build b = {
        .project = project,
        .options = options,
        .diags = diags,
    };
    _cleanup_(ib_freep) const struct ib_node_spec **nodes = NULL;
    size_t count = 0;

    if (ib_build_open(&b, err) < 0)
        return -1;
    if (ib_mkdir_p(b.out_dir, err) < 0)
        return ib_out_hint(&b, err);
    if (check_without(&b, err) < 0 || select_nodes(&b, &nodes, &count, err) < 0)
        return -1;
    /* before work that takes minutes, and not one mistake after the other */
    if (ib_templates_check(project->dir, project->recipe, diags, err) < 0 ||
        ib_diags_to_error(diags, err) < 0 || fetch_inputs(&b, nodes, count, err) < 0)
        return -1;
    return build_nodes(&b, nodes, count, ret, err);
}
