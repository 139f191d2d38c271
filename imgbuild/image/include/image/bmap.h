/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Block maps for bmaptool: which parts of the disk image are worth writing, with their SHA-256.
 *
 * Format: bmap 2.0 (XML; bmap-tools, BmapCreate.py). Its block size is 1 byte here: ranges are then
 * our frames, whose hashes are known, and nothing has to be read again.
 */
#pragma once

#include "model/manifest.h"

/* Appends the XML for the manifest's frames that are not zeros. */
void ib_bmap_print(const struct ib_manifest *manifest, struct ib_buf *ret);
