/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root file systems from container images and plain tars: local files, fetched before.
 *
 * What is checked: every document and layer against the size and SHA-256 that the document above it
 * states (the whole chain hangs on index.json, whose bytes the lock pins), then what io/archive.h
 * checks of each layer. A registry is never asked.
 */
#pragma once

#include "io/tree.h"

/*
 * Lays the image at `path` over `tree`: its layers in order, with whiteouts. `path` is
 *
 *   - a directory with an OCI image layout (image-layout.md), or a tar of one in any compression;
 *   - what `docker save` writes (manifest.json, layers as plain tars).
 *
 * Where it holds images for several architectures, the one for `architecture` is taken ("x86_64" or
 * "amd64", "aarch64" or "arm64", or any other name of OCI's); two of those are an error. File
 * content goes to spool_fd (see ib_archive_read). `step` is the parent of the steps that this
 * makes; it and `progress` may be NULL. On failure the tree is half-changed: throw it away.
 */
int ib_oci_import(struct ib_tree *tree, const char *path, const char *architecture, int spool_fd,
                  struct ib_progress *progress, struct ib_step *step,
                  struct ib_error **err) _must_check_;

/* Lays a plain tar of a root (any compression) over `tree`. The rest is as above. */
int ib_tar_import(struct ib_tree *tree, const char *path, int spool_fd,
                  struct ib_progress *progress, struct ib_step *step,
                  struct ib_error **err) _must_check_;
