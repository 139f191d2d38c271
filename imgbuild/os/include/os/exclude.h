/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What packages bring that no node reads: manuals, translations, change logs. Left out of the tree
 * whatever package manager installed it; licences (copyright files) stay.
 *
 * A rule is an fnmatch(3) pattern without flags ("*" matches "/" too), as in dpkg's path-exclude=,
 * on the path without its leading slash; "!" in front keeps what an earlier rule left out. The last
 * rule that matches decides.
 */
#pragma once

#include "io/tree.h"

/* Manuals, info, documentation but licences, locales but C and English, lintian; NULL-terminated.
 */
const char *const *ib_exclude_default(void);

bool ib_exclude_matches(const char *const *rules, const char *path);
/* Removes what the rules leave out; a directory that they match goes when nothing is left in it. */
void ib_exclude_apply(struct ib_tree *tree, const char *const *rules);
/* The rules as dpkg.cfg(5) lines, so that dpkg does not even unpack those files. */
void ib_exclude_dpkg_config(const char *const *rules, struct ib_buf *ret);
