/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building nodes: the pipeline base → packages → root → node, with the initrd beside it.
 *
 * Each stage's output lies in the cache under the hash of all that went in, so a build does only
 * what changed; nodes of one role share everything but the last stage. What a node's artifact
 * consists of: docs/formats.md.
 */
#pragma once

#include "io/minisign.h"
#include "ops/project.h"
#include "os/sandbox.h"

struct ib_build_options {
    const char *const *nodes; /* names; NULL-terminated. NULL: all */
    enum ib_sandbox_engine sandbox;
    const struct ib_strv *without; /* payloads to leave out; may be NULL */
    bool offline;
    const struct ib_strv *mirrors; /* directories or URLs looked at first; may be NULL */
    const char *out_dir;           /* NULL: PROJECT/out */
    const char *version;           /* NULL: from the commit date */
    const char *key, *certificate; /* for Secure Boot; NULL: unsigned */
    const struct ib_minisign_secret *sign_key; /* for the manifest; NULL: unsigned */
};

/* One node's artifact and the files beside it. */
struct ib_built {
    char *node, *version;
    char *artifact; /* its path */
    uint64_t size_bytes;
    struct ib_sha256 sha256, root_hash;
    bool cached; /* it was there already */
    uint64_t elapsed_ms;
};

struct ib_build_result {
    struct ib_built *items;
    size_t count;
};

void ib_build_result_clear(struct ib_build_result *result);

/*
 * Builds in the order of the names. Nodes that were finished before a failure stay, and are in *ret
 * also then. Mistakes in overlay templates go to `diags`.
 */
int ib_build_run(struct ib_project *project, const struct ib_build_options *options,
                 struct ib_diags *diags, struct ib_build_result *ret,
                 struct ib_error **err) _must_check_;
