/* SPDX-License-Identifier: Apache-2.0 */
/* Private to image/: the parts of an artifact that are not frames of the disk (image/artifact.h).
 */
#pragma once

#include "image/artifact.h"

/* Appends the skippable frame with manifest and signature (size 0: none). */
void ib_artifact_manifest_frame(const void *json, size_t json_size, const void *signature,
                                size_t signature_size, struct ib_buf *ret);
/* Appends the seek table of these frames with a manifest's frame of that size behind the first. */
void ib_artifact_seek_table(const struct ib_manifest *manifest, size_t manifest_frame_size,
                            struct ib_buf *ret);

int ib_artifact_fd(const struct ib_artifact *artifact);           /* borrowed */
const char *ib_artifact_name(const struct ib_artifact *artifact); /* borrowed */
