/* SPDX-License-Identifier: Apache-2.0 */
/* Locking the packages on a Fedora base: for each role, the exact .rpm files beyond its image. */
#include <string.h>

#include "base/file.h"
#include "lock_internal.h"
#include "os/base_file.h"
#include "os/rpmresolve.h"

/* The locked image's tree. Its content lies in the spool, an unnamed file. */
struct image {
    struct ib_tree *tree;
    int spool_fd;
};

static void image_clear(struct image *image)
{
    ib_tree_free(image->tree);
    ib_closep(&image->spool_fd);
}

static int fetch_image(struct ib_locker *l, const struct ib_lock_entry *entry,
                       struct ib_error **err)
{
    struct ib_fetch_request request = {
        .name = entry->name,
        .urls = (const char *const *)entry->urls.items,
        .url_count = entry->urls.count,
        .has_sha256 = true,
        .sha256 = entry->sha256,
        .size_bytes = entry->size_bytes,
    };

    int r = ib_fetch(&request, 1, &l->fetch, err);
    ib_fetch_request_clear(&request);
    return r;
}

static int open_image(struct ib_locker *l, const struct ib_base *base, const char *scratch,
                      struct ib_step *step, struct image *ret, struct ib_error **err)
{
    const struct ib_lock_entry *entry = ib_lock_entry(l->lock, IB_LOCK_BASE, base->name);

    if (!entry)
        return ib_failf(err, IB_E_INTERNAL, "the base '%s' was not locked", base->name);
    _cleanup_(ib_freep) char *path = ib_cache_blob_path(l->project->cache, &entry->sha256);
    if (fetch_image(l, entry, err) < 0 || (ret->spool_fd = ib_temp_file(scratch, err)) < 0)
        return -1;
    return ib_base_file_import(base, path, scratch, ret->tree, ret->spool_fd, l->fetch.progress,
                               step, err);
}

static struct ib_rpmresolve *open_resolve(struct ib_locker *l, const struct ib_base *base,
                                          const char *scratch, struct ib_step *step,
                                          struct ib_error **err)
{
    _cleanup_(image_clear) struct image image = {.tree = ib_tree_new(), .spool_fd = -1};

    if (open_image(l, base, scratch, step, &image, err) < 0)
        return NULL;
    return ib_rpmresolve_open(
        &(struct ib_rpmresolve_options){
            .tree = image.tree,
            .architecture = base->architecture,
            .repositories = base->repositories.items,
            .repository_count = base->repositories.count,
            .project_dir = l->project->dir,
            .scratch_dir = scratch,
            .progress = l->fetch.progress,
        },
        err);
}

/* What was downloaded to be hashed need not be downloaded again to be installed. */
static int keep_files(struct ib_locker *l, const struct ib_rpmresolve *resolve,
                      const struct ib_lock_package_set *set, struct ib_error **err)
{
    const char *mirror = ib_rpmresolve_dir(resolve);
    struct ib_fetch_options options = l->fetch;
    struct ib_fetch_request *requests = ib_calloc(set->package_count, sizeof(*requests));

    options.mirrors = &mirror;
    options.mirror_count = 1;
    options.offline = true;
    for (size_t i = 0; i < set->package_count; i++)
        requests[i] = (struct ib_fetch_request){
            .name = set->packages[i].name,
            .urls = (const char *const *)&set->packages[i].url,
            .url_count = 1,
            .has_sha256 = true,
            .sha256 = set->packages[i].sha256,
            .size_bytes = set->packages[i].size_bytes,
        };
    int r = ib_fetch(requests, set->package_count, &options, err);
    for (size_t i = 0; i < set->package_count; i++)
        ib_fetch_request_clear(&requests[i]);
    free(requests);
    return r;
}

static void copy_packages(const struct ib_lock_package_set *from, struct ib_lock_package_set *to)
{
    to->package_count = from->package_count;
    to->packages = ib_calloc(from->package_count, sizeof(*to->packages));
    for (size_t i = 0; i < from->package_count; i++) {
        const struct ib_lock_package *p = &from->packages[i];
        to->packages[i] = (struct ib_lock_package){
            .name = ib_strdup(p->name),
            .version = ib_strdup(p->version),
            .architecture = ib_strdup(p->architecture),
            .url = ib_strdup(p->url),
            .size_bytes = p->size_bytes,
            .sha256 = p->sha256,
        };
    }
}

/* Roles that ask for the same packages get the same answer, and its files are loaded once. */
static const struct ib_lock_package_set *find_answered(const struct ib_locker *l,
                                                       const struct ib_recipe *recipe,
                                                       size_t before, const struct ib_sha256 *input)
{
    for (size_t i = 0; i < before; i++) {
        const struct ib_root_spec *root = &recipe->root_specs.items[i];
        const struct ib_lock_package_set *set =
            ib_lock_package_set(l->lock, root->base->name, root->role->name);
        if (set && ib_sha256_equal(&set->input, input))
            return set;
    }
    return NULL;
}

static int lock_set(struct ib_locker *l, struct ib_rpmresolve *resolve,
                    const struct ib_recipe *recipe, size_t index, struct ib_error **err)
{
    const struct ib_root_spec *root = &recipe->root_specs.items[index];
    _cleanup_(ib_lock_package_set_clear) struct ib_lock_package_set set = {
        .base = ib_strdup(root->base->name),
        .role = ib_strdup(root->role->name),
    };
    _cleanup_(ib_freep) char *name = ib_asprintf("%s/%s", set.base, set.role);

    ib_package_set_input(root, &set.input);
    const struct ib_lock_package_set *same = find_answered(l, recipe, index, &set.input);
    if (same) {
        copy_packages(same, &set);
    } else if (ib_rpmresolve_packages(resolve, (const char *const *)root->packages.items,
                                      root->packages.count, &set.packages, &set.package_count,
                                      err) < 0 ||
               keep_files(l, resolve, &set, err) < 0) {
        ib_hint(err,
                "correct the package names in the base, the role '%s' or the hardware of its nodes",
                set.role);
        return ib_wrap(err, name, "lock");
    }
    ib_lock_note_set(l->result, name, ib_lock_package_set(l->lock, set.base, set.role), &set);
    ib_lock_put_package_set(l->lock, &set);
    set = (struct ib_lock_package_set){0};
    return 0;
}

int ib_lock_fedora_packages(struct ib_locker *locker, const struct ib_base *base,
                            struct ib_error **err)
{
    if (base->family != IB_FAMILY_FEDORA || base->repositories.count == 0)
        return 0;
    _cleanup_(ib_temp_dirp) char *scratch = ib_cache_temp_dir(locker->project->cache, "lock", err);
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        locker->fetch.progress, NULL, "lock the packages on", base->name, 0, IB_UNIT_NONE);
    if (locker->options->offline) {
        ib_failf(err, IB_E_NOT_FOUND,
                 "the repositories of '%s' are needed, and --offline forbids to ask them",
                 base->name);
        ib_hint(err, "run 'imgbuild lock %s' where they can be reached", base->name);
        return ib_wrap(err, base->name, "lock the packages on");
    }
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe =
        scratch ? ib_lock_load_on_base(locker, base, err) : NULL;
    if (!recipe)
        return ib_wrap(err, base->name, "lock the packages on");
    _cleanup_(ib_rpmresolve_freep) struct ib_rpmresolve *resolve =
        open_resolve(locker, base, scratch, step, err);
    if (!resolve)
        return ib_wrap(err, base->name, "lock the packages on");
    for (size_t i = 0; i < recipe->root_specs.count; i++)
        if (lock_set(locker, resolve, recipe, i, err) < 0)
            return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
