/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups of a tree: /etc/passwd, group, shadow and gshadow (passwd(5), group(5),
 * shadow(5), gshadow(5)), changed in memory. Ids come from the recipe, dates are fixed, so that the
 * files' bytes depend on the recipe alone.
 */
#pragma once

#include "io/tree.h"
#include "model/recipe.h"

/* Adds a group; one of that name must have the same gid already, or none may have it. */
int ib_users_add_group(struct ib_tree *tree, const char *name, uint32_t gid,
                       struct ib_error **err) _must_check_;
/*
 * Adds a user (or changes one of that name), its own group where gid is not given, membership in
 * its supplementary groups, and its authorized keys in /etc/ssh/authorized_keys.d/NAME. The home
 * directory is made on the node by systemd-tmpfiles, since /home lies on /var.
 */
int ib_users_add(struct ib_tree *tree, const struct ib_user *user,
                 struct ib_error **err) _must_check_;
/* Sets the days-since-1970 fields of /etc/shadow that installing packages fills from the clock. */
int ib_users_fix_shadow_dates(struct ib_tree *tree, struct ib_error **err) _must_check_;
