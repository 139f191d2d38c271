/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The project at hand: its directory, recipes, lock and cache, opened once for a command.
 *
 *     DIR/recipes/…  DIR/firmware/…  DIR/overlays/…   what the user wrote
 *     DIR/out/                                         artifacts (not in git)
 */
#pragma once

#include "base/progress.h"
#include "io/cache.h"
#include "model/lock.h"
#include "model/recipe.h"

struct ib_project {
    char *dir; /* absolute */
    struct ib_recipe *recipe;
    struct ib_lock *lock; /* an empty one where there is no file yet */
    struct ib_cache *cache;
    struct ib_progress *progress; /* borrowed; may be NULL */
};

/*
 * The directory that holds recipes/cluster.yaml: `dir` itself, or, where it is NULL, the current
 * directory or the nearest above it. Absolute; the caller frees.
 */
char *ib_project_find(const char *dir, struct ib_error **err) _must_check_;

/*
 * Finds and reads everything. Mistakes in recipes and lock are all added to `diags` and make the
 * call fail with IB_E_INVALID. `cache_dir` as in ib_cache_open; `base`, where not
 * NULL, is taken for every node, whatever the recipes name.
 */
int ib_project_open(struct ib_project *ret, const char *dir, const char *cache_dir,
                    const char *base, struct ib_progress *progress, struct ib_diags *diags,
                    struct ib_error **err) _must_check_;
void ib_project_clear(struct ib_project *project);

/*
 * The moment that dates a build, in seconds since 1970: SOURCE_DATE_EPOCH, else the commit date of
 * the project's HEAD, else the lock's date. Never the wall clock.
 */
int ib_project_epoch(const struct ib_project *project, int64_t *ret,
                     struct ib_error **err) _must_check_;
/* "2026.11.22" in UTC; the caller frees. */
char *ib_version_from_epoch(int64_t epoch_s);
