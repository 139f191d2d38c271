/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/lock.h"

#include <string.h>
#include <time.h>

#include "base/atomic.h"
#include "base/file.h"
#include "lock_internal.h"

const char *ib_lock_change_kind_name(enum ib_lock_change_kind kind)
{
    static const char *const names[] = {"added", "removed", "updated"};

    return names[kind];
}

void ib_lock_note_change(struct ib_lock_result *result, enum ib_lock_change_kind kind,
                         const char *name, const char *what, const char *old_value,
                         const char *new_value)
{
    result->changes =
        ib_reallocarray(result->changes, result->change_count + 1, sizeof(result->changes[0]));
    result->changes[result->change_count++] = (struct ib_lock_change){
        .kind = kind,
        .name = ib_strdup(name),
        .what = ib_strdup(what),
        .old_value = ib_strdup(old_value),
        .new_value = ib_strdup(new_value),
    };
}

void ib_lock_result_clear(struct ib_lock_result *result)
{
    for (size_t i = 0; i < result->change_count; i++) {
        free(result->changes[i].name);
        free(result->changes[i].what);
        free(result->changes[i].old_value);
        free(result->changes[i].new_value);
    }
    free(result->changes);
    *result = (struct ib_lock_result){0};
}

static void locker_clear(struct ib_locker *l)
{
    while (l->sums) {
        struct ib_lock_sums *sums = l->sums;
        l->sums = sums->next;
        ib_checksums_clear(&sums->list);
        free(sums->url);
        free(sums->signer);
        free(sums);
    }
    ib_lock_free(l->lock);
}

/* Which are asked for. */

static bool is_asked_for(const struct ib_lock_options *options, const char *name)
{
    for (size_t i = 0; i < options->name_count; i++)
        if (ib_streq(options->names[i], name))
            return true;
    return options->name_count == 0;
}

static int check_names(const struct ib_recipe *recipe, const struct ib_lock_options *options,
                       struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv known = {0};

    for (size_t i = 0; i < recipe->bases.count; i++)
        ib_strv_add(&known, recipe->bases.items[i].name);
    for (size_t i = 0; i < recipe->cluster.payloads.count; i++)
        ib_strv_add(&known, recipe->cluster.payloads.items[i].name);
    for (size_t i = 0; i < options->name_count; i++) {
        const char *name = options->names[i];
        if (ib_strv_contains(&known, name))
            continue;
        const char *nearest = ib_nearest(name, (const char *const *)known.items, known.count);
        ib_failf(err, IB_E_NOT_FOUND, "no base and no payload is called '%s'", name);
        if (nearest)
            return ib_hint(err, "did you mean '%s'?", nearest);
        _cleanup_(ib_freep) char *all = ib_strv_join(&known, ", ");
        return ib_hint(err, "there are: %s", all);
    }
    return 0;
}

/* Names of what the lock holds and the recipes do not. */

static bool has_role(const struct ib_recipe *recipe, const char *name)
{
    return ib_recipe_role(recipe, name) != NULL;
}

static void drop_entries(struct ib_locker *l)
{
    const struct ib_recipe *recipe = l->project->recipe;

    for (size_t i = l->lock->entry_count; i-- > 0;) {
        const struct ib_lock_entry *entry = &l->lock->entries[i];
        const struct ib_base *base =
            entry->kind == IB_LOCK_BASE ? ib_recipe_base(recipe, entry->name) : NULL;
        if (entry->kind == IB_LOCK_PAYLOAD ? ib_recipe_payload(recipe, entry->name) != NULL
                                           : base && base->kind != IB_BASE_DEBIAN_SUITE)
            continue;
        ib_lock_note_change(l->result, IB_LOCK_REMOVED, entry->name, NULL, entry->version, NULL);
        _cleanup_(ib_freep) char *name = ib_strdup(entry->name);
        ib_lock_remove_entry(l->lock, entry->kind, name);
    }
}

static void drop_sets(struct ib_locker *l)
{
    const struct ib_recipe *recipe = l->project->recipe;

    for (size_t i = l->lock->set_count; i-- > 0;) {
        const struct ib_lock_package_set *set = &l->lock->sets[i];
        if (ib_recipe_base(recipe, set->base) && has_role(recipe, set->role))
            continue;
        _cleanup_(ib_freep) char *base = ib_strdup(set->base);
        _cleanup_(ib_freep) char *role = ib_strdup(set->role);
        _cleanup_(ib_freep) char *name = ib_asprintf("%s/%s", base, role);
        _cleanup_(ib_freep) char *size = ib_asprintf("%zu packages", set->package_count);
        ib_lock_note_change(l->result, IB_LOCK_REMOVED, name, NULL, size, NULL);
        ib_lock_remove_package_set(l->lock, base, role);
    }
}

/* The date: of the youngest thing that tells its own, and never back. */

static char *date_text(int64_t date_s)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)date_s;

    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return NULL;
    return ib_strdup(text);
}

static int set_date(struct ib_locker *l, struct ib_error **err)
{
    int64_t date_s = IB_MAX(l->lock->date_s, l->date_s);

    if (!date_s && ib_project_epoch(l->project, &date_s, err) < 0)
        return -1;
    if (date_s == l->lock->date_s)
        return 0;
    _cleanup_(ib_freep) char *was = l->lock->date_s ? date_text(l->lock->date_s) : NULL;
    _cleanup_(ib_freep) char *is = date_text(date_s);
    ib_lock_note_change(l->result, was ? IB_LOCK_UPDATED : IB_LOCK_ADDED, "date", NULL, was, is);
    l->lock->date_s = date_s;
    return 0;
}

/* The run. */

static int resolve_all(struct ib_locker *l, struct ib_error **err)
{
    const struct ib_recipe *recipe = l->project->recipe;

    for (size_t i = 0; i < recipe->cluster.payloads.count; i++) {
        const struct ib_payload *payload = &recipe->cluster.payloads.items[i];
        if (is_asked_for(l->options, payload->name) && ib_lock_payload(l, payload, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < recipe->bases.count; i++) {
        const struct ib_base *base = &recipe->bases.items[i];
        if (!is_asked_for(l->options, base->name))
            continue;
        int r = base->kind == IB_BASE_DEBIAN_SUITE ? ib_lock_debian_base(l, base, err)
                                                   : ib_lock_file_base(l, base, err);
        if (r < 0 || ib_lock_fedora_packages(l, base, err) < 0)
            return -1;
    }
    return 0;
}

static struct ib_lock *copy_lock(struct ib_lock *lock, struct ib_error **err)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_freep) char *text = ib_lock_format(lock);
    struct ib_lock *copy = ib_lock_parse(IB_LOCK_PATH, text, strlen(text), diags);

    if (!copy && ib_diags_to_error(diags, err) == 0)
        ib_failf(err, IB_E_INTERNAL, "the lock cannot be copied");
    return copy;
}

static int write_lock(struct ib_locker *l, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(l->project->dir, IB_LOCK_PATH);
    _cleanup_(ib_freep) char *text = ib_lock_format(l->lock);

    if (l->options->dry_run || !l->result->change_count)
        return 0;
    if (ib_atomic_write(path, 0644, text, strlen(text), err) < 0)
        return -1;
    l->result->written = true;
    ib_lock_free(l->project->lock);
    l->project->lock = ib_steal(&l->lock);
    return 0;
}

static int run(struct ib_locker *l, struct ib_error **err)
{
    if (check_names(l->project->recipe, l->options, err) < 0)
        return -1;
    l->lock = copy_lock(l->project->lock, err);
    if (!l->lock)
        return -1;
    if (resolve_all(l, err) < 0) {
        if (!l->options->name_count)
            ib_hint(err, "the others can be locked alone: imgbuild lock NAME…");
        return -1;
    }
    if (!l->options->name_count) {
        drop_entries(l);
        drop_sets(l);
    }
    if (set_date(l, err) < 0)
        return -1;
    return write_lock(l, err);
}

int ib_lock_run(struct ib_project *project, const struct ib_lock_options *options,
                struct ib_lock_result *ret, struct ib_error **err)
{
    _cleanup_(ib_lock_result_clear) struct ib_lock_result result = {0};
    _cleanup_(locker_clear) struct ib_locker locker = {
        .project = project,
        .options = options,
        .fetch = {.cache = project->cache,
                  .mirrors = options->mirrors ? (const char *const *)options->mirrors->items : NULL,
                  .mirror_count = options->mirrors ? options->mirrors->count : 0,
                  .offline = options->offline,
                  .progress = project->progress},
        .result = &result,
    };

    if (run(&locker, err) < 0)
        return -1;
    *ret = result;
    result = (struct ib_lock_result){0};
    return 0;
}
