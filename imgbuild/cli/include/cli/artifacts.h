/* SPDX-License-Identifier: Apache-2.0 */
/* What a command line means by an image: a file, or a node's newest artifact. */
#pragma once

#include "cli/project.h"

/*
 * `what` is a path where it has a slash, or where a file of that name with a dot in it is there;
 * else a node of the project, whose newest artifact (by version) in `output` (NULL: out/ of the
 * project) is meant, and which *ret_node (may be NULL) then points to in *ret_project. The project
 * is opened only for a node; the caller clears it and frees the path.
 */
char *ib_cli_find_artifact(struct ib_cli *cli, const char *what, const char *output,
                           struct ib_project *ret_project, const struct ib_node_spec **ret_node,
                           struct ib_error **err) _must_check_;

/* The newest artifact of a node in `output` (NULL: out/ of the project), by its version; the caller
 * frees. IB_E_NOT_FOUND when there is none. */
char *ib_cli_newest_artifact(const struct ib_project *project, const char *node, const char *output,
                             struct ib_error **err) _must_check_;
