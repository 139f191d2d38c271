/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tree with all packages to the tree of a root: payloads, overlays, files, users, units and
 * configuration that the role's recipe asks for, then clean-up. In memory only.
 */
#pragma once

#include "io/cache.h"
#include "io/tree.h"
#include "model/lock.h"
#include "model/recipe.h"
#include "ops/overlay.h"

struct ib_compose_input {
    const char *project_dir;
    const struct ib_recipe *recipe;
    const struct ib_root_spec *root;
    const struct ib_lock *lock;
    const struct ib_cache *cache;
    const struct ib_strv *without; /* names of payloads left out; may be NULL */
};

/* The role's overlays, read once: for the key and for the tree. */
struct ib_compose {
    struct ib_compose_input input;
    struct ib_overlay **overlays;
    size_t overlay_count;
};

int ib_compose_open(struct ib_compose *ret, const struct ib_compose_input *input,
                    struct ib_error **err) _must_check_;
void ib_compose_clear(struct ib_compose *compose);

/* Adds everything that decides the outcome, except the tree it starts from. */
int ib_compose_add_key(const struct ib_compose *compose, struct ib_key *key,
                       struct ib_error **err) _must_check_;
/* Changes `tree`. Mistakes in templates go to `diags`. On failure throw the tree away. */
int ib_compose_apply(const struct ib_compose *compose, struct ib_tree *tree, struct ib_diags *diags,
                     struct ib_error **err) _must_check_;
