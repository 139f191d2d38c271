/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the schema module share. */
#pragma once

#include "model/recipe.h"
#include "model/schema.h"

struct pattern; /* schema_text.c */

struct ib_decoder {
    struct ib_origins *origins;
    struct ib_diags *diags;
    struct pattern *patterns; /* by enum ib_type */
};

/* The head that every list in a recipe struct has. */
struct any_list {
    void *items;
    size_t count;
};

/* Bytes of one value of the field's type in a list or a struct. */
size_t ib_field_value_size(const struct ib_field *field);
static inline bool ib_type_is_text(enum ib_type type)
{
    return type < IB_TYPE_TEXT_END_;
}

/* The three lists of struct ib_by_family, as if it were a struct with a schema. */
extern const char *const ib_family_keys[3];
struct ib_strv *ib_family_list(const struct ib_by_family *lists, size_t index);

/* Text of a value that is no list, struct or mapping, as it would be written; the caller frees. */
char *ib_field_text(const struct ib_field *field, const void *value);
/* A deep copy with the places of its keys; `origins` may be NULL. */
struct json_t *ib_any_copy(const struct json_t *value, struct ib_origins *origins);
/* "512M" to bytes. */
bool ib_size_parse(const char *text, uint64_t *ret);
