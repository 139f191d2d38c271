/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cache remembers of a stage's earlier outputs: for `imgbuild explain`, which tells what
 * changed since.
 */
#pragma once

#include "io/cache.h"

struct ib_history_input {
    char *name;
    char *value; /* NULL is a value of its own */
};

struct ib_history {
    struct ib_history_input *inputs;
    size_t count;
};

/*
 * The inputs of the newest complete entry of key's stage that has the same first own input (the
 * name of base, role or node, which stages add first). False when there is none that can be read.
 */
bool ib_history_find(const struct ib_cache *cache, const struct ib_key *key,
                     struct ib_history *ret);
void ib_history_clear(struct ib_history *history);
/* The input of that name; NULL: none. Borrowed. */
const struct ib_history_input *ib_history_get(const struct ib_history *history, const char *name);
