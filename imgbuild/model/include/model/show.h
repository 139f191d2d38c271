/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes as people and programs want to see them: what `imgbuild list` and `imgbuild show` print.
 *
 * Texts are for a terminal, one line a value; JSON objects are new references. Both are complete:
 * nothing that a build uses is missing from `show`.
 */
#pragma once

#include "model/recipe.h"

/* Nodes, roles, bases, hardware profiles and payloads. The caller frees. */
char *ib_recipe_list_text(const struct ib_recipe *recipe);
/* {"cluster": …, "nodes": […], "roles": […], "bases": […], "hardware": […], "payloads": […]} */
struct json_t *ib_recipe_list_json(const struct ib_recipe *recipe);

/* Every resolved value of a node and of its root, with the file and line that it came from. */
char *ib_recipe_show_text(const struct ib_recipe *recipe, const struct ib_node_spec *node);
/*
 * {"name", "role", "base", "hardware", "node": {…}, "root": {…}, "origins": {"node.address":
 * "recipes/nodes/odin.yaml:4", …}}. Values without an origin are defaults.
 */
struct json_t *ib_recipe_show_json(const struct ib_recipe *recipe, const struct ib_node_spec *node);

/* The reference of all recipes and of the ${…} values, in markdown: docs/recipes.md. */
char *ib_recipe_reference(void);
