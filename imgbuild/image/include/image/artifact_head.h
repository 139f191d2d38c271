/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an artifact (image/artifact.h): the first frame and the manifest, from any source.
 * It is all that is needed to check and place every frame that follows, also on a pipe.
 */
#pragma once

#include "image/artifact.h"
#include "io/source.h"

struct ib_artifact_head {
    struct ib_buf first; /* what frame 0 unpacks to, checked */
    struct ib_buf json;  /* of the manifest, as it stands there */
    struct ib_buf signature;
    struct ib_manifest *manifest; /* with each frame's offset in the source */
    uint64_t frames_end;          /* of the source, where the seek table begins */
};

/* Whether a source looks like an artifact of ours, by its first bytes (not used up). */
int ib_artifact_is_ours(struct ib_source *source, bool *ret, struct ib_error **err) _must_check_;

/* Reads and checks the head; a sequential source then stands at frame 1. */
int ib_artifact_head_read(struct ib_source *source, struct ib_artifact_head *ret,
                          struct ib_error **err) _must_check_;
void ib_artifact_head_clear(struct ib_artifact_head *head);
