/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cache keys: the named inputs of a stage and their hash. The other half of io/cache.h is cache.c.
 */
#include <inttypes.h>
#include <string.h>

#include "base/buffer.h"
#include "io/cache.h"

/* Raised whenever any stage makes something else of the same inputs: no older entry is found then.
 */
enum { STAGE_FORMAT = 1 };

struct input {
    char *name;
    char *value; /* NULL is a value of its own */
};

struct ib_key {
    char *stage;
    struct input *inputs;
    size_t count, capacity;
};

struct ib_key *ib_key_new(const char *stage)
{
    struct ib_key *key = ib_calloc(1, sizeof(*key));

    key->stage = ib_strdup(stage);
    ib_key_add_u64(key, "format", STAGE_FORMAT);
    return key;
}

struct ib_key *ib_key_free(struct ib_key *key)
{
    if (key) {
        for (size_t i = 0; i < key->count; i++) {
            free(key->inputs[i].name);
            free(key->inputs[i].value);
        }
        free(key->inputs);
        free(key->stage);
        free(key);
    }
    return NULL;
}

void ib_key_freep(struct ib_key **key)
{
    *key = ib_key_free(*key);
}

static void take_input(struct ib_key *key, const char *name, char *value)
{
    if (key->count == key->capacity) {
        key->capacity = key->capacity ? key->capacity * 2 : 16;
        key->inputs = ib_reallocarray(key->inputs, key->capacity, sizeof(key->inputs[0]));
    }
    key->inputs[key->count++] = (struct input){ib_strdup(name), value};
}

void ib_key_add(struct ib_key *key, const char *name, const char *value)
{
    take_input(key, name, ib_strdup(value));
}

void ib_key_add_hash(struct ib_key *key, const char *name, const struct ib_sha256 *hash)
{
    char hex[IB_SHA256_HEX_SIZE];

    take_input(key, name, ib_asprintf("sha256:%s", ib_sha256_hex(hash, hex)));
}

void ib_key_add_u64(struct ib_key *key, const char *name, uint64_t value)
{
    take_input(key, name, ib_asprintf("%" PRIu64, value));
}

/* "a b" "c\"d": quoted, so that two different lists never become the same text. */
static void append_quoted(struct ib_buf *text, const char *item)
{
    ib_buf_append_str(text, "\"");
    for (; *item; item++) {
        if (*item == '"' || *item == '\\')
            ib_buf_append_str(text, "\\");
        ib_buf_append(text, item, 1);
    }
    ib_buf_append_str(text, "\"");
}

void ib_key_add_strv(struct ib_key *key, const char *name, const char *const *items, size_t count)
{
    struct ib_buf text = {0};

    for (size_t i = 0; i < count; i++) {
        if (i)
            ib_buf_append_str(&text, " ");
        append_quoted(&text, items[i]);
    }
    take_input(key, name, ib_buf_steal_string(&text));
}

const char *ib_key_stage(const struct ib_key *key)
{
    return key->stage;
}

void ib_key_hash(const struct ib_key *key, struct ib_sha256 *ret)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *hasher = ib_hasher_new();

    ib_hasher_field_str(hasher, key->stage);
    for (size_t i = 0; i < key->count; i++) {
        ib_hasher_field_str(hasher, key->inputs[i].name);
        ib_hasher_field_str(hasher, key->inputs[i].value);
    }
    ib_hasher_final(hasher, ret);
}

size_t ib_key_input_count(const struct ib_key *key)
{
    return key->count;
}

const char *ib_key_input_name(const struct ib_key *key, size_t index)
{
    return key->inputs[index].name;
}

const char *ib_key_input_value(const struct ib_key *key, size_t index)
{
    return key->inputs[index].value;
}
