/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overlays: directories of plain files under overlays/, laid over a tree.
 *
 * What git keeps decides: a file's mode is 0755 where its owner may execute it, else 0644;
 * directories are 0755; everything belongs to root; symbolic links stay as they are. Anything else
 * (other modes, owners, templates) is said by rules. `.gitkeep` files are left out: they only keep
 * a directory in git. Device nodes, sockets and fifos are an error.
 */
#pragma once

#include "io/tree.h"
#include "model/recipe.h"

struct ib_overlay;

/* Reads DIR/overlays/NAME. Contents are read when the overlay is applied or hashed. */
struct ib_overlay *ib_overlay_read(const char *project_dir, const char *name,
                                   struct ib_error **err) _must_check_;
struct ib_overlay *ib_overlay_free(struct ib_overlay *overlay); /* returns NULL */
void ib_overlay_freep(struct ib_overlay **overlay);

/* A hash of all names, modes, link targets and contents. */
int ib_overlay_hash(const struct ib_overlay *overlay, struct ib_sha256 *ret,
                    struct ib_error **err) _must_check_;

/* Adds the names, relative to the project, of the files that the rules make templates. */
void ib_overlay_templates(const struct ib_overlay *overlay, const struct ib_rule *rules,
                          size_t rule_count, struct ib_strv *ret);

/*
 * Lays it over `tree` at the directory `below` ("": its root), under the rules (count of them;
 * later ones win). Regular files that a rule makes templates get the values put in; mistakes there
 * go to `diags` and fail with IB_E_INVALID.
 */
int ib_overlay_apply(const struct ib_overlay *overlay, struct ib_tree *tree, const char *below,
                     const struct ib_rule *rules, size_t rule_count, const struct ib_values *values,
                     struct ib_diags *diags, struct ib_error **err) _must_check_;

/* The uid or gid of a name in the tree's /etc/passwd or /etc/group (`database`), or of a number. */
int ib_tree_lookup_id(const struct ib_tree *tree, const char *database, const char *name,
                      uint32_t *ret, struct ib_error **err) _must_check_;
