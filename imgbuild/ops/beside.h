/* SPDX-License-Identifier: Apache-2.0 */
/* Private to ops/: the names of the files published beside an artifact. */
#pragma once

/* DIR/NAME.img.zst (or any other file name) and ".json" → DIR/NAME.json; the caller frees. */
char *ib_beside(const char *artifact, const char *suffix);
