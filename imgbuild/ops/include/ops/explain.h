/* SPDX-License-Identifier: Apache-2.0 */
/* What a build of a node would do, stage by stage, and why: `imgbuild explain`. Builds nothing. */
#pragma once

#include "ops/build.h"

struct ib_explain_change {
    char *input;
    char *before, *after; /* NULL: the input was not there, or is no more */
};

struct ib_explain_stage {
    char *stage, *subject; /* "root", "control" */
    struct ib_sha256 key;
    bool hit;
    bool known;                        /* an earlier output exists to compare with */
    struct ib_explain_change *changes; /* since then; empty on a hit */
    size_t change_count;
};

struct ib_explain {
    struct ib_explain_stage *stages; /* in the order of the pipeline */
    size_t count;
};

int ib_explain_run(struct ib_project *project, const struct ib_build_options *options,
                   const char *node, struct ib_explain *ret, struct ib_error **err) _must_check_;
void ib_explain_clear(struct ib_explain *explain);
