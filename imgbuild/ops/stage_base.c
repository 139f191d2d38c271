/* SPDX-License-Identifier: Apache-2.0 */
/* The base stage: a distribution as a tree, with the base's own packages: enough to boot. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "build_internal.h"
#include "os/base_file.h"
#include "os/debian.h"
#include "os/exclude.h"
#include "stage_packages.h"

static const struct ib_lock_entry *base_entry(const struct ib_build *b, const struct ib_base *base,
                                              struct ib_error **err)
{
    const struct ib_lock_entry *e = ib_lock_entry(b->project->lock, IB_LOCK_BASE, base->name);

    if (!e) {
        ib_failf(err, IB_E_NOT_FOUND, "the base '%s' is not in %s", base->name, IB_LOCK_PATH);
        ib_hint(err, "imgbuild lock %s", base->name);
    }
    return e;
}

struct ib_key *ib_stage_base_key(const struct ib_build *b, const struct ib_base *base,
                                 struct ib_error **err)
{
    _cleanup_(ib_key_freep) struct ib_key *key = ib_key_new("base");

    ib_key_add(key, "name", base->name);
    ib_key_add(key, "kind", ib_base_kind_name(base->kind));
    ib_key_add(key, "architecture", ib_architecture_name(base->architecture));
    ib_key_add_u64(key, "date", (uint64_t)b->project->lock->date_s);
    ib_key_add_strv(key, "remove", (const char *const *)base->remove_packages.items,
                    base->remove_packages.count);
    for (const char *const *rule = ib_exclude_default(); *rule; rule++)
        ib_key_add(key, "exclude", *rule);
    if (base->kind != IB_BASE_DEBIAN_SUITE) {
        const struct ib_lock_entry *entry = base_entry(b, base, err);
        if (!entry)
            return NULL;
        ib_key_add_hash(key, "image", &entry->sha256);
    }
    if (ib_packages_add_key(b, base, NULL, key, err) < 0)
        return NULL;
    return ib_steal(&key);
}

/* A tree being made: its file content collects in the spool. */
struct import {
    struct ib_tree *tree;
    int spool_fd;
    char *dir;
};

static void import_clear(struct import *i)
{
    ib_tree_free(i->tree);
    ib_closep(&i->spool_fd);
    ib_temp_dirp(&i->dir);
}

static int import_debian(const struct ib_build *b, const struct ib_base *base, struct import *i,
                         struct ib_step *step, struct ib_error **err)
{
    _cleanup_(ib_package_files_clear) struct ib_package_files files = {0};
    _cleanup_(ib_debset_clear) struct ib_debset set = {0};
    _cleanup_(ib_deb_list_clear) struct ib_deb_list list = {0};
    struct ib_progress *progress = b->project->progress;

    if (ib_package_files_get(b, base, NULL, &files, err) < 0)
        return -1;
    _cleanup_(ib_freep) struct ib_deb_file *debs = ib_calloc(files.count, sizeof(*debs));
    for (size_t k = 0; k < files.count; k++)
        debs[k] = (struct ib_deb_file){files.items[k].path, files.items[k].package->size_bytes,
                                       files.items[k].package->sha256};
    const struct ib_debian_options options = {
        .architecture = base->architecture == IB_ARCH_AARCH64 ? "arm64" : "amd64",
        .scratch_dir = i->dir,
        .memory = ib_build_fits_memory(512 * IB_MIB),
        .progress = progress,
        .step = step,
    };
    if (ib_debset_read(debs, files.count, progress, &set, err) < 0 ||
        ib_debian_bootstrap_list(&set, &list, err) < 0)
        return -1;
    return ib_debian_bootstrap(&list, &options, i->tree, i->spool_fd, err);
}

static int import_file(const struct ib_build *b, const struct ib_base *base, struct import *i,
                       struct ib_step *step, struct ib_error **err)
{
    const struct ib_lock_entry *entry = base_entry(b, base, err);

    if (!entry)
        return -1;
    _cleanup_(ib_freep) char *path = ib_cache_blob_path(b->project->cache, &entry->sha256);
    if (ib_base_file_import(base, path, i->dir, i->tree, i->spool_fd, b->project->progress, step,
                            err) == 0)
        return 0;
    if (err && ib_error_code(*err) == IB_E_INVALID)
        ib_hint(err,
                "this is the file that the lock pins: name another one in recipes/bases/%s.yaml, "
                "then imgbuild lock %s",
                base->name, base->name);
    return entry->urls.count ? ib_wrap(err, entry->urls.items[0], "use what came from") : -1;
}

static int make_base(const struct ib_build *b, const void *subject,
                     const struct ib_cache_entry *entry, struct ib_step *step,
                     struct ib_error **err)
{
    const struct ib_base *base = subject;
    _cleanup_(import_clear) struct import i = {.tree = ib_tree_new(), .spool_fd = -1};
    const struct ib_packages_input input = {
        .base = base,
        .remove = &base->remove_packages,
    };

    i.dir = ib_cache_temp_dir(b->project->cache, "base", err);
    if (!i.dir || (i.spool_fd = ib_temp_file(i.dir, err)) < 0)
        return -1;
    int r = base->kind == IB_BASE_DEBIAN_SUITE ? import_debian(b, base, &i, step, err)
                                               : import_file(b, base, &i, step, err);
    return r < 0 ? r : ib_packages_make(b, &input, i.tree, entry, step, err);
}

struct ib_cache_entry *ib_stage_base(const struct ib_build *b, const struct ib_base *base,
                                     struct ib_step *parent, struct ib_error **err)
{
    const struct ib_stage stage = {base->name, "build base", make_base, base};

    return ib_stage_run(b, &stage, ib_stage_base_key(b, base, err), parent, err);
}
