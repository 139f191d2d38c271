/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a value stands in a JSON text. jansson tells places of syntax errors only; this finds those
 * of values afterwards, for messages, in a text that jansson has accepted.
 */
#pragma once

#include "model/diag.h"

/* One step of a path: into an object by key, or, where key is NULL, into an array by index. */
struct json_step {
    const char *key;
    size_t index;
};

/*
 * The place of the value at the path (count steps), or as far as the path exists. Keys with escapes
 * are not found.
 */
struct ib_origin ib_json_place(const char *file, const char *text, size_t size,
                               const struct json_step *path, size_t count);
