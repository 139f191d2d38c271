/* SPDX-License-Identifier: Apache-2.0 */
/* Locking a Debian suite: for each role, the exact .deb files of its root. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "lock_internal.h"
#include "os/debresolve.h"

void ib_package_set_input(const struct ib_root_spec *root, struct ib_sha256 *ret)
{
    const struct ib_base *base = root->base;
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};
    _cleanup_(ib_hasher_freep) struct ib_hasher *hasher = ib_hasher_new();

    ib_strv_append(&names, &root->packages);
    ib_strv_sort_unique(&names);
    ib_hasher_field_str(hasher, base->name);
    ib_hasher_field_str(hasher, ib_architecture_name(base->architecture));
    ib_hasher_field_str(hasher, base->version);
    ib_hasher_field_str(hasher, base->suite);
    ib_hasher_field_str(hasher, base->snapshot);
    for (size_t i = 0; i < base->components.count; i++)
        ib_hasher_field_str(hasher, base->components.items[i]);
    for (size_t i = 0; i < names.count; i++)
        ib_hasher_field_str(hasher, names.items[i]);
    ib_hasher_final(hasher, ret);
}

static int compare_packages(const struct ib_lock_package *a, const struct ib_lock_package *b)
{
    int r = strcmp(a->name, b->name);

    return r ? r : strcmp(a->architecture, b->architecture);
}

void ib_lock_note_set(struct ib_lock_result *result, const char *name,
                      const struct ib_lock_package_set *old, const struct ib_lock_package_set *set)
{
    size_t i = 0, j = 0;

    if (!old) {
        _cleanup_(ib_freep) char *text = ib_asprintf("%zu packages", set->package_count);
        ib_lock_note_change(result, IB_LOCK_ADDED, name, NULL, NULL, text);
        return;
    }
    if (!ib_sha256_equal(&old->input, &set->input))
        ib_lock_note_change(result, IB_LOCK_UPDATED, name, "input", "another list of packages",
                            "the recipe's");
    while (i < old->package_count || j < set->package_count) {
        const struct ib_lock_package *a = i < old->package_count ? &old->packages[i] : NULL;
        const struct ib_lock_package *b = j < set->package_count ? &set->packages[j] : NULL;
        int order = !a ? 1 : !b ? -1 : compare_packages(a, b);
        if (order < 0)
            ib_lock_note_change(result, IB_LOCK_REMOVED, name, a->name, a->version, NULL);
        else if (order > 0)
            ib_lock_note_change(result, IB_LOCK_ADDED, name, b->name, NULL, b->version);
        else if (!ib_streq(a->version, b->version))
            ib_lock_note_change(result, IB_LOCK_UPDATED, name, a->name, a->version, b->version);
        else if (!ib_sha256_equal(&a->sha256, &b->sha256) || !ib_streq(a->url, b->url))
            ib_lock_note_change(result, IB_LOCK_UPDATED, name, a->name, a->url, b->url);
        i += order <= 0;
        j += order >= 0;
    }
}

static int lock_set(struct ib_locker *l, struct ib_debresolve *resolve,
                    const struct ib_root_spec *root, struct ib_error **err)
{
    _cleanup_(ib_lock_package_set_clear) struct ib_lock_package_set set = {
        .base = ib_strdup(root->base->name),
        .role = ib_strdup(root->role->name),
    };
    _cleanup_(ib_freep) char *name = ib_asprintf("%s/%s", set.base, set.role);

    if (ib_debresolve_packages(resolve, (const char *const *)root->packages.items,
                               root->packages.count, &set.packages, &set.package_count, err) < 0) {
        ib_hint(err,
                "correct the package names in the base, the role '%s' or the hardware of its "
                "nodes",
                set.role);
        return ib_wrap(err, name, "lock");
    }
    ib_package_set_input(root, &set.input);
    ib_lock_note_set(l->result, name, ib_lock_package_set(l->lock, set.base, set.role), &set);
    ib_lock_put_package_set(l->lock, &set);
    set = (struct ib_lock_package_set){0};
    return 0;
}

static struct ib_debresolve *open_suite(struct ib_locker *l, const struct ib_base *base,
                                        const char *scratch, struct ib_error **err)
{
    _cleanup_(ib_freep) char *keyring =
        base->signing_key ? ib_path_join(l->project->dir, base->signing_key) : NULL;

    if (l->options->offline) {
        ib_failf(err, IB_E_NOT_FOUND,
                 "the index of the suite '%s' is needed, and --offline "
                 "forbids to fetch it",
                 base->suite);
        ib_hint(err, "run 'imgbuild lock %s' where its mirror can be reached", base->name);
        return NULL;
    }
    return ib_debresolve_open(
        &(struct ib_debresolve_options){
            .suite = base->suite,
            .architecture = ib_debian_architecture(ib_architecture_name(base->architecture)),
            .mirrors = &base->mirrors,
            .components = &base->components,
            .snapshot = base->snapshot,
            .keyring = keyring,
            .scratch_dir = scratch,
            .progress = l->fetch.progress,
        },
        err);
}

struct ib_recipe *ib_lock_load_on_base(struct ib_locker *l, const struct ib_base *base,
                                       struct ib_error **err)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();

    return ib_recipe_load(l->project->dir, base->name, diags, err);
}

int ib_lock_debian_base(struct ib_locker *locker, const struct ib_base *base, struct ib_error **err)
{
    _cleanup_(ib_temp_dirp) char *scratch = ib_cache_temp_dir(locker->project->cache, "lock", err);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(locker->fetch.progress, NULL, "lock", base->name, 0, IB_UNIT_NONE);
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe =
        scratch ? ib_lock_load_on_base(locker, base, err) : NULL;

    if (!recipe)
        return ib_wrap(err, base->name, "lock");
    _cleanup_(ib_debresolve_freep) struct ib_debresolve *resolve =
        open_suite(locker, base, scratch, err);
    if (!resolve)
        return ib_wrap(err, base->name, "lock");
    for (size_t i = 0; i < recipe->root_specs.count; i++)
        if (lock_set(locker, resolve, &recipe->root_specs.items[i], err) < 0)
            return -1;
    locker->date_s = IB_MAX(locker->date_s, ib_debresolve_date(resolve));
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
