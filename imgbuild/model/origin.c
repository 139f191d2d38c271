/* SPDX-License-Identifier: Apache-2.0 */
#include "model/origin.h"

struct slot {
    const void *value; /* NULL: free */
    struct ib_origin at;
};

/* Open addressing, linear probing, at most half full, never shrinks, nothing is removed. */
struct ib_origins {
    struct slot *slots;
    size_t size; /* a power of two */
    size_t count;
};

struct ib_origins *ib_origins_new(void)
{
    struct ib_origins *origins = ib_calloc(1, sizeof(*origins));

    origins->size = 1024;
    origins->slots = ib_calloc(origins->size, sizeof(*origins->slots));
    return origins;
}

struct ib_origins *ib_origins_free(struct ib_origins *origins)
{
    if (origins)
        free(origins->slots);
    free(origins);
    return NULL;
}

static struct slot *find(const struct ib_origins *origins, const void *value)
{
    /* Fibonacci hashing: addresses differ in their middle bits. */
    size_t i = (size_t)(((uintptr_t)value * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

    for (;; i++) {
        struct slot *slot = &origins->slots[i & (origins->size - 1)];
        if (!slot->value || slot->value == value)
            return slot;
    }
}

static void grow(struct ib_origins *origins)
{
    struct ib_origins old = *origins;

    origins->size *= 2;
    origins->slots = ib_calloc(origins->size, sizeof(*origins->slots));
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].value)
            *find(origins, old.slots[i].value) = old.slots[i];
    free(old.slots);
}

void ib_origins_set(struct ib_origins *origins, const void *value, struct ib_origin at)
{
    if (origins->count * 2 >= origins->size)
        grow(origins);
    struct slot *slot = find(origins, value);
    if (!slot->value)
        origins->count++;
    *slot = (struct slot){.value = value, .at = at};
}

struct ib_origin ib_origins_get(const struct ib_origins *origins, const void *value)
{
    const struct slot *slot = find(origins, value);

    return slot->value ? slot->at : (struct ib_origin){0};
}

void ib_origins_copy(struct ib_origins *origins, const void *to, const void *from)
{
    ib_origins_set(origins, to, ib_origins_get(origins, from));
}
