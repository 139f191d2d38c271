/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of an artifact between its frames (image/artifact.h, docs/formats.md). */
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
