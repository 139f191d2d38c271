/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the recipe module share: reading, checking, resolving, values. */
#pragma once

#include "model/recipe_schema.h"

/* Names that ${…} may use, with their values. */
struct ib_values {
    struct ib_pairs pairs; /* sorted by key */
    bool has_node;
};

struct ib_recipe_private {
    struct ib_origins *origins;
    struct ib_strv file_names; /* what origins point to */
    /* Which names exist, whether their files could be decoded or not: for dangling references. */
    struct ib_strv base_names, role_names, hardware_names, node_names, payload_names;
    /* From the source, for checks. */
    struct ib_strv overlays, paths;
    bool check_paths;
    bool has_cluster;                            /* its file could be read */
    char *base;                                  /* in place of what the recipes name, or NULL */
    struct ib_values *root_values, *node_values; /* by index of the specs */
};

/* One run of checks. */
struct checker {
    const struct ib_recipe *recipe;
    struct ib_diags *diags;
};

/* Cross checks within and between recipes (recipe_check*.c). */
void ib_recipe_check(const struct ib_recipe *recipe, struct ib_diags *diags);
void ib_recipe_check_network(const struct checker *c);
void ib_recipe_check_base(const struct checker *c, const struct ib_base *base);
/* What only shows when everything is merged. */
void ib_recipe_check_resolved(const struct ib_recipe *recipe, struct ib_diags *diags);

/* Fills root_specs, node_specs and values of a recipe without mistakes. */
void ib_recipe_resolve(struct ib_recipe *recipe);

/* The place of a value. */
static inline struct ib_origin origin_of(const struct checker *c, const void *value)
{
    return ib_origins_get(c->recipe->priv->origins, value);
}

/* Values (recipe_values.c). Scope: whether ${node.…} is known. */
void ib_values_make(struct ib_values *ret, const struct ib_cluster *cluster,
                    const struct ib_root_spec *root, const struct ib_node_spec *node);
void ib_values_clear(struct ib_values *values);
/* Checks that every ${…} in the text is known. A text of several lines begins below `at`. */
void ib_values_check(const struct checker *c, const char *text, struct ib_origin at, bool has_node);
/* Replaces; the text was checked. The caller frees. */
char *ib_values_expand(const struct ib_values *values, const char *text);
