/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the five kinds of recipes, and of what is resolved from them. */
#pragma once

#include "model/recipe.h"
#include "model/schema.h"

/* The kinds of recipe files, in the order in which documents name them. */
struct ib_recipe_kind {
    const char *name;      /* "role" */
    const char *directory; /* "recipes/roles/": files NAME.yaml below it; or the one file */
    const struct ib_schema *schema;
};
#define IB_RECIPE_KIND_COUNT 5
extern const struct ib_recipe_kind ib_recipe_kinds[IB_RECIPE_KIND_COUNT];

extern const struct ib_schema ib_schema_cluster;
extern const struct ib_schema ib_schema_base;
extern const struct ib_schema ib_schema_role;
extern const struct ib_schema ib_schema_node;
extern const struct ib_schema ib_schema_hardware;

/* Parts that resolving copies. */
extern const struct ib_schema ib_schema_file;
extern const struct ib_schema ib_schema_rule;
extern const struct ib_schema ib_schema_user;
extern const struct ib_schema ib_schema_group;
extern const struct ib_schema ib_schema_payload;
extern const struct ib_schema ib_schema_disk_rule;
extern const struct ib_schema ib_schema_data_disks;
extern const struct ib_schema ib_schema_storage;

/* Resolved; never decoded. */
extern const struct ib_schema ib_schema_root_spec;
extern const struct ib_schema ib_schema_node_spec;
