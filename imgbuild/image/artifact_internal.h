/* SPDX-License-Identifier: Apache-2.0 */
/* Private to image/: the parts of an artifact that are not frames of the disk (image/artifact.h).
 */
#pragma once

#include <string.h>

#include "image/artifact.h"
#include "image/bytes.h"
#include "io/minisign.h"

enum {
    SKIPPABLE_HEADER = 8, /* RFC 8878, section 3.1.2: magic, size of the content */
    MANIFEST_HEADER = 16, /* mark, JSON size, signature size */
    SIGNATURE_MAX = IB_MINISIGN_TEXT_MAX,
    SEEK_ENTRY = 8,
    SEEK_FOOTER = 9,
};
#define MANIFEST_MARK "IBMANIF1"
#define MANIFEST_MARK_SIZE 8

/* Whether the manifest's frame begins here; `data` has SKIPPABLE_HEADER + MANIFEST_HEADER bytes. */
static inline bool is_manifest_frame(const uint8_t *data)
{
    return ib_le32(data) == IB_ARTIFACT_MANIFEST_MAGIC &&
           memcmp(data + SKIPPABLE_HEADER, MANIFEST_MARK, MANIFEST_MARK_SIZE) == 0;
}

/* The first frame's packed size when a manifest follows it in these first bytes of a file; 0: it is
 * no artifact, or more bytes are needed to tell. */
size_t ib_artifact_find_manifest(const uint8_t *data, size_t size);

/* Appends the skippable frame with manifest and signature (size 0: none). */
void ib_artifact_manifest_frame(const void *json, size_t json_size, const void *signature,
                                size_t signature_size, struct ib_buf *ret);
/* Appends the seek table of these frames with a manifest's frame of that size behind the first. */
void ib_artifact_seek_table(const struct ib_manifest *manifest, size_t manifest_frame_size,
                            struct ib_buf *ret);

int ib_artifact_fd(const struct ib_artifact *artifact);           /* borrowed */
const char *ib_artifact_name(const struct ib_artifact *artifact); /* borrowed */
