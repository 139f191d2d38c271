/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A base that comes as one file, as a tree: a disk image (os/diskimage.h), an OCI image or a plain
 * tar (os/oci.h).
 */
#pragma once

#include "io/tree.h"
#include "model/recipe.h"

/*
 * Reads the file at `path`, of the base's kind, into `tree`, an empty one; file content goes to
 * spool_fd (see ib_archive_read). An appliance keeps its own files in scratch_dir while it runs, so
 * that a killed build leaves none in /tmp; scratch_dir (then /tmp) and `step` may be NULL.
 *
 * What no image of ours carries (ib_exclude_default: documentation, other languages) is taken out,
 * as from packages that are installed later: a file is in a root or not whatever it came in with.
 */
int ib_base_file_import(const struct ib_base *base, const char *path, const char *scratch_dir,
                        struct ib_tree *tree, int spool_fd, struct ib_progress *progress,
                        struct ib_step *step, struct ib_error **err) _must_check_;
