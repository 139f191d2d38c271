/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where values came from: a map from the address of a value to its place in a file.
 *
 * The address is that of a field in a struct, that of an item in a list of structs, or for strings
 * in a list (struct ib_strv) the string itself: whatever stays put as long as the value lives. So
 * structs stay plain, and copying a value without its origin is possible but visible: {0}.
 */
#pragma once

#include "model/diag.h"

struct ib_origins;

struct ib_origins *ib_origins_new(void);
struct ib_origins *ib_origins_free(struct ib_origins *origins); /* returns NULL */

/* Remembers the place; replaces what was remembered for this address. */
void ib_origins_set(struct ib_origins *origins, const void *value, struct ib_origin at);
/* {0} where nothing is remembered. */
struct ib_origin ib_origins_get(const struct ib_origins *origins, const void *value);
/* `to` came from where `from` came from. */
void ib_origins_copy(struct ib_origins *origins, const void *to, const void *from);
