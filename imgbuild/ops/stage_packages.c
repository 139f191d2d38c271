/* SPDX-License-Identifier: Apache-2.0 */
/* The packages stage: the base's tree with a role's packages, by its own package manager. */
#include "stage_packages.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "base/atomic.h"
#include "base/file.h"
#include "os/sandbox.h"

/* Some of the lock's packages, borrowed. */
struct selection {
    const struct ib_lock_package **items;
    size_t count;
};

static void selection_clear(struct selection *s)
{
    free(s->items);
}

static int no_packages(const struct ib_base *base, const char *role, struct ib_error **err)
{
    ib_failf(err, IB_E_NOT_FOUND, "%s has no packages for %s%s%s", IB_LOCK_PATH, base->name,
             role ? " and the role " : "", role ? role : "");
    return ib_hint(err, "run 'imgbuild lock %s' where its repositories can be reached", base->name);
}

static bool set_has(const struct ib_lock_package_set *set, const struct ib_lock_package *package)
{
    for (size_t i = 0; i < set->package_count; i++)
        if (ib_sha256_equal(&set->packages[i].sha256, &package->sha256))
            return true;
    return false;
}

static bool all_have(const struct ib_lock *lock, const char *base,
                     const struct ib_lock_package *package)
{
    for (size_t i = 0; i < lock->set_count; i++)
        if (ib_streq(lock->sets[i].base, base) && !set_has(&lock->sets[i], package))
            return false;
    return true;
}

/* A disk image or tar that asks for no packages needs no set in the lock. */
static int select_packages(const struct ib_build *b, const struct ib_base *base, const char *role,
                           struct selection *ret, struct ib_error **err)
{
    const struct ib_lock *lock = b->project->lock;
    const struct ib_lock_package_set *set =
        role ? ib_lock_package_set(lock, base->name, role) : NULL;

    for (size_t i = 0; !role && !set && i < lock->set_count; i++)
        if (ib_streq(lock->sets[i].base, base->name))
            set = &lock->sets[i];
    if (!set && (base->kind == IB_BASE_DEBIAN_SUITE || base->packages.count > 0))
        return no_packages(base, role, err);
    ret->items = ib_calloc(set ? set->package_count : 0, sizeof(*ret->items));
    for (size_t i = 0; set && i < set->package_count; i++)
        if (role || all_have(lock, base->name, &set->packages[i]))
            ret->items[ret->count++] = &set->packages[i];
    return 0;
}

int ib_packages_add_key(const struct ib_build *b, const struct ib_base *base, const char *role,
                        struct ib_key *key, struct ib_error **err)
{
    _cleanup_(selection_clear) struct selection packages = {0};

    if (select_packages(b, base, role, &packages, err) < 0)
        return -1;
    for (size_t i = 0; i < packages.count; i++) {
        const struct ib_lock_package *p = packages.items[i];
        char hex[IB_SHA256_HEX_SIZE];
        _cleanup_(ib_freep) char *name = ib_asprintf("package %s:%s", p->name, p->architecture);
        _cleanup_(ib_freep) char *value =
            ib_asprintf("%s %s", p->version, ib_sha256_hex(&p->sha256, hex));
        ib_key_add(key, name, value);
    }
    return 0;
}

void ib_package_files_clear(struct ib_package_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free((char *)(uintptr_t)files->items[i].path);
    free(files->items);
    *files = (struct ib_package_files){0};
}

int ib_package_files_get(const struct ib_build *b, const struct ib_base *base, const char *role,
                         struct ib_package_files *ret, struct ib_error **err)
{
    _cleanup_(selection_clear) struct selection packages = {0};

    if (select_packages(b, base, role, &packages, err) < 0)
        return -1;
    ret->items = ib_calloc(packages.count, sizeof(*ret->items));
    for (size_t i = 0; i < packages.count; i++) {
        const struct ib_lock_package *p = packages.items[i];
        if (!ib_cache_has_blob(b->project->cache, &p->sha256)) {
            ib_failf(err, IB_E_NOT_FOUND, "the package %s %s is not in the cache", p->name,
                     p->version);
            return ib_hint(err, "imgbuild fetch (needs the network, or --mirror)");
        }
        ret->items[ret->count++] = (struct ib_package_file){
            .package = p,
            .path = ib_cache_blob_path(b->project->cache, &p->sha256),
        };
    }
    return 0;
}

static int write_list(const struct ib_package_list *list, const struct ib_cache_entry *entry,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "packages.json");
    json_t *array = json_array();

    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_pack("{s:s, s:s, s:s}", "name", list->items[i].name,
                                               "version", list->items[i].version, "architecture",
                                               list->items[i].architecture));
    _cleanup_(ib_freep) char *text = json_dumps(array, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(array);
    if (!text)
        return ib_failf(err, IB_E_INVALID, "a package's name is not UTF-8 text");
    return ib_atomic_write(path, 0644, text, strlen(text), err);
}

static int save_tree(struct ib_sandbox *sandbox, const struct ib_cache_entry *entry,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "tree.tar");
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    return ib_sandbox_export(sandbox, fd, err);
}

int ib_packages_make(const struct ib_build *b, const struct ib_packages_input *input,
                     struct ib_tree *tree, const struct ib_cache_entry *entry, struct ib_step *step,
                     struct ib_error **err)
{
    _cleanup_(ib_package_files_clear) struct ib_package_files files = {0};
    _cleanup_(ib_package_list_clear) struct ib_package_list list = {0};
    _cleanup_(ib_freep) char *scratch = ib_path_join(ib_cache_dir(b->project->cache), "tmp");

    if (ib_package_files_get(b, input->base, input->role, &files, err) < 0)
        return -1;
    const struct ib_package_job job = {
        .install = files.items,
        .install_count = files.count,
        .remove = input->remove,
        .date_s = b->project->lock->date_s,
        .scratch_dir = scratch,
        .progress = b->project->progress,
        .step = step,
    };
    _cleanup_(ib_sandbox_freep) struct ib_sandbox *sandbox = ib_build_sandbox(b, tree, step, err);
    if (!sandbox || ib_packages_apply(sandbox, input->base->family, &job, err) < 0 ||
        ib_packages_query(sandbox, input->base->family, &list, err) < 0)
        return -1;
    if (write_list(&list, entry, err) < 0)
        return -1;
    return save_tree(sandbox, entry, err);
}

struct ib_key *ib_stage_packages_key(const struct ib_build *b, const struct ib_root_spec *root,
                                     struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *base = ib_stage_base_key(b, root->base, err);
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("packages");

    if (!base)
        return NULL;
    ib_key_add(key, "name", root->name);
    ib_key_add_key(key, "base", base);
    ib_key_add_strv(key, "remove", (const char *const *)root->remove_packages.items,
                    root->remove_packages.count);
    if (ib_packages_add_key(b, root->base, root->role->name, key, err) < 0)
        return NULL;
    return ib_steal(&key);
}

static int make_packages(const struct ib_build *b, const void *subject,
                         const struct ib_cache_entry *entry, struct ib_step *step,
                         struct ib_error **err)
{
    const struct ib_root_spec *root = subject;
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *base =
        ib_stage_base(b, root->base, step, err);
    const struct ib_packages_input input = {
        .base = root->base,
        .role = root->role->name,
        .remove = &root->remove_packages,
    };

    if (!base)
        return -1;
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(base, "tree.tar");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_load(path, err);
    return tree ? ib_packages_make(b, &input, tree, entry, step, err) : -1;
}

struct ib_cache_entry *ib_stage_packages(const struct ib_build *b, const struct ib_root_spec *root,
                                         struct ib_step *parent, struct ib_error **err)
{
    const struct ib_stage stage = {root->name, "install the packages of", make_packages, root};

    return ib_stage_run(b, &stage, ib_stage_packages_key(b, root, err), parent, err);
}
