/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/explain.h"

#include <string.h>

#include "build_internal.h"
#include "io/history.h"

void ib_explain_clear(struct ib_explain *explain)
{
    for (size_t i = 0; i < explain->count; i++) {
        struct ib_explain_stage *s = &explain->stages[i];
        for (size_t k = 0; k < s->change_count; k++) {
            free(s->changes[k].input);
            free(s->changes[k].before);
            free(s->changes[k].after);
        }
        free(s->changes);
        free(s->stage);
        free(s->subject);
    }
    free(explain->stages);
    *explain = (struct ib_explain){0};
}

static void add_change(struct ib_explain_stage *s, const char *input, const char *before,
                       const char *after)
{
    s->changes = ib_reallocarray(s->changes, s->change_count + 1, sizeof(*s->changes));
    s->changes[s->change_count++] =
        (struct ib_explain_change){ib_strdup(input), ib_strdup(before), ib_strdup(after)};
}

static void compare(struct ib_explain_stage *s, const struct ib_key *key,
                    const struct ib_history *history)
{
    for (size_t i = 0; i < ib_key_input_count(key); i++) {
        const char *name = ib_key_input_name(key, i), *value = ib_key_input_value(key, i);
        const struct ib_history_input *old = ib_history_get(history, name);
        if (!old || !ib_streq(old->value, value))
            add_change(s, name, old ? old->value : NULL, value);
    }
    for (size_t i = 0; i < history->count; i++) {
        bool gone = true;
        for (size_t k = 0; k < ib_key_input_count(key); k++)
            gone &= !ib_streq(history->inputs[i].name, ib_key_input_name(key, k));
        if (gone)
            add_change(s, history->inputs[i].name, history->inputs[i].value, NULL);
    }
}

/* Takes the key. */
static int add_stage(struct ib_explain *e, const struct ib_build *b, struct ib_key *owned,
                     const char *subject)
{
    _cleanup_(ib_key_freep) struct ib_key *key = owned;
    _cleanup_(ib_history_clear) struct ib_history history = {0};

    if (!key)
        return -1;
    struct ib_explain_stage *s = &e->stages[e->count++];
    *s = (struct ib_explain_stage){
        .stage = ib_strdup(ib_key_stage(key)),
        .subject = ib_strdup(subject),
        .hit = ib_cache_entry_exists(b->project->cache, key),
    };
    ib_key_hash(key, &s->key);
    if (s->hit || !ib_history_find(b->project->cache, key, &history))
        return 0;
    s->known = true;
    compare(s, key, &history);
    return 0;
}

int ib_explain_run(struct ib_project *project, const struct ib_build_options *options,
                   const char *node_name, struct ib_explain *ret, struct ib_error **err)
{
    enum { STAGES = 8 };
    struct ib_build b = {.project = project, .options = options};
    const struct ib_node_spec *node = ib_recipe_need_node(project->recipe, node_name, err);

    if (!node || ib_build_open(&b, err) < 0)
        return -1;
    ret->stages = ib_calloc(STAGES, sizeof(*ret->stages));
    const struct ib_root_spec *root = node->root;
    int r = 0;
    if (add_stage(ret, &b, ib_stage_base_key(&b, root->base, err), root->base->name) < 0 ||
        add_stage(ret, &b, ib_stage_initrd_key(&b, root->base, &node->drivers, err),
                  root->base->name) < 0 ||
        add_stage(ret, &b, ib_stage_packages_key(&b, root, err), root->name) < 0 ||
        add_stage(ret, &b, ib_stage_root_key(&b, root, err), root->name) < 0 ||
        add_stage(ret, &b, ib_stage_node_key(&b, node, err), node->name) < 0)
        r = ib_wrap(err, node_name, "explain the build of");
    ib_build_close(&b);
    return r;
}
