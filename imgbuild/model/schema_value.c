/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables allow to do with a decoded struct: free, copy, show. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "schema_private.h"

struct bool_or_size {
    bool wanted;
    uint64_t size;
};

size_t ib_field_value_size(const struct ib_field *field)
{
    switch (field->type) {
    case IB_TYPE_BOOL:
        return sizeof(bool);
    case IB_TYPE_INT:
        return sizeof(int64_t);
    case IB_TYPE_SIZE:
        return sizeof(uint64_t);
    case IB_TYPE_BOOL_OR_SIZE:
        return sizeof(struct bool_or_size);
    case IB_TYPE_IPV4:
    case IB_TYPE_MODE:
        return sizeof(uint32_t);
    case IB_TYPE_NETWORK:
        return sizeof(struct ib_ipv4_network);
    case IB_TYPE_RANGE:
        return sizeof(struct ib_ipv4_range);
    case IB_TYPE_MAC:
        return sizeof(struct ib_mac);
    case IB_TYPE_ENUM:
        return sizeof(unsigned);
    case IB_TYPE_STRUCT:
        return field->schema->size;
    case IB_TYPE_PAIRS:
        return sizeof(struct ib_pairs);
    case IB_TYPE_ANY:
        return sizeof(json_t *);
    case IB_TYPE_BY_FAMILY:
        return sizeof(struct ib_by_family);
    default:
        return sizeof(char *);
    }
}

static bool is_struct_list(const struct ib_field *f)
{
    return (f->flags & (IB_LIST | IB_KEYED)) && !ib_type_is_text(f->type);
}

static bool is_text_list(const struct ib_field *f)
{
    return (f->flags & IB_LIST) && ib_type_is_text(f->type);
}

static void *item_at(const struct ib_field *f, const struct any_list *list, size_t index)
{
    return (char *)list->items + index * ib_field_value_size(f);
}

/* Clearing */

static void clear_pairs(struct ib_pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++) {
        free(pairs->items[i].key);
        free(pairs->items[i].value);
    }
    free(pairs->items);
}

static void clear_value(const struct ib_field *f, void *value)
{
    if (ib_type_is_text(f->type))
        free(*(char **)value);
    else if (f->type == IB_TYPE_STRUCT)
        ib_schema_clear(f->schema, value);
    else if (f->type == IB_TYPE_PAIRS)
        clear_pairs(value);
    else if (f->type == IB_TYPE_ANY)
        json_decref(*(json_t **)value);
    else if (f->type == IB_TYPE_BY_FAMILY)
        for (size_t i = 0; i < 3; i++)
            ib_strv_clear(ib_family_list(value, i));
}

void ib_schema_clear(const struct ib_schema *schema, void *value)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        void *at = (char *)value + f->offset;
        if (is_text_list(f)) {
            ib_strv_clear(at);
        } else if (is_struct_list(f)) {
            struct any_list *list = at;
            for (size_t k = 0; k < list->count; k++)
                clear_value(f, item_at(f, list, k));
            free(list->items);
        } else {
            clear_value(f, at);
        }
    }
    memset(value, 0, schema->size);
}

/* Copying */

static void copy_origin(struct ib_origins *origins, const void *to, const void *from)
{
    if (origins)
        ib_origins_copy(origins, to, from);
}

static void copy_texts(struct ib_strv *ret, const struct ib_strv *list, struct ib_origins *origins)
{
    for (size_t i = 0; i < list->count; i++) {
        ib_strv_add(ret, list->items[i]);
        copy_origin(origins, ret->items[i], list->items[i]);
    }
}

static void copy_pairs(struct ib_pairs *ret, const struct ib_pairs *pairs,
                       struct ib_origins *origins)
{
    ret->items = ib_calloc(pairs->count, sizeof(*ret->items));
    for (; ret->count < pairs->count; ret->count++) {
        const struct ib_pair *from = &pairs->items[ret->count];
        struct ib_pair *to = &ret->items[ret->count];
        *to = (struct ib_pair){.key = ib_strdup(from->key), .value = ib_strdup(from->value)};
        copy_origin(origins, to, from);
    }
}

json_t *ib_any_copy(const json_t *value, struct ib_origins *origins)
{
    union {
        const json_t *borrowed;
        json_t *value;
    } u = {.borrowed = value}; /* jansson's iterators want it so; nothing is changed */

    if (json_is_array(value)) {
        json_t *array = json_array();
        for (size_t i = 0; i < json_array_size(value); i++)
            if (json_array_append_new(array, ib_any_copy(json_array_get(value, i), origins)) < 0)
                abort();
        return array;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *object = json_object();
    for (void *i = json_object_iter(u.value); i; i = json_object_iter_next(u.value, i)) {
        const char *key = json_object_iter_key(i);
        if (json_object_set_new(object, key, ib_any_copy(json_object_iter_value(i), origins)) < 0)
            abort();
        copy_origin(origins, json_object_iter_key(json_object_iter_at(object, key)), key);
    }
    return object;
}

static void copy_value(const struct ib_field *f, void *ret, const void *value,
                       struct ib_origins *origins)
{
    if (ib_type_is_text(f->type))
        *(char **)ret = ib_strdup(*(char *const *)value);
    else if (f->type == IB_TYPE_STRUCT)
        ib_schema_copy(f->schema, ret, value, origins);
    else if (f->type == IB_TYPE_PAIRS)
        copy_pairs(ret, value, origins);
    else if (f->type == IB_TYPE_ANY)
        *(json_t **)ret =
            *(json_t *const *)value ? ib_any_copy(*(json_t *const *)value, origins) : NULL;
    else if (f->type == IB_TYPE_BY_FAMILY)
        for (size_t i = 0; i < 3; i++)
            copy_texts(ib_family_list(ret, i), ib_family_list(value, i), origins);
    else
        memcpy(ret, value, ib_field_value_size(f));
    copy_origin(origins, ret, value);
}

static void copy_list(const struct ib_field *f, struct any_list *ret, const struct any_list *list,
                      struct ib_origins *origins)
{
    ret->items = ib_calloc(list->count, ib_field_value_size(f));
    for (; ret->count < list->count; ret->count++) {
        void *to = item_at(f, ret, ret->count), *from = item_at(f, list, ret->count);
        copy_value(f, to, from, origins);
    }
}

void ib_schema_copy(const struct ib_schema *schema, void *ret, const void *value,
                    struct ib_origins *origins)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        void *to = (char *)ret + f->offset;
        const void *from = (const char *)value + f->offset;
        if (is_text_list(f))
            copy_texts(to, from, origins);
        else if (is_struct_list(f))
            copy_list(f, to, from, origins);
        else
            copy_value(f, to, from, origins);
        copy_origin(origins, to, from);
    }
}

/* Showing */

static bool is_zero(const void *value, size_t size)
{
    const unsigned char *p = value;

    for (size_t i = 0; i < size; i++)
        if (p[i])
            return false;
    return true;
}

/* Whether a single value is there at all: zero stands for absence where zero means nothing. */
static bool is_present(const struct ib_field *f, const void *value)
{
    switch (f->type) {
    case IB_TYPE_BOOL:
    case IB_TYPE_ENUM:
        return true;
    case IB_TYPE_INT:
        return *(const int64_t *)value >= f->min;
    case IB_TYPE_MODE:
        return *(const uint32_t *)value != IB_MODE_KEEP;
    case IB_TYPE_BOOL_OR_SIZE:
        return true;
    case IB_TYPE_PAIRS:
        return ((const struct ib_pairs *)value)->count > 0;
    default:
        return !is_zero(value, ib_field_value_size(f));
    }
}

static char *size_text(uint64_t size)
{
    static const char units[] = "KMGT";
    int u = -1;

    while (u < 3 && size && size % 1024 == 0) {
        size /= 1024;
        u++;
    }
    return u < 0 ? ib_asprintf("%" PRIu64, size) : ib_asprintf("%" PRIu64 "%c", size, units[u]);
}

static char *bool_or_size_text(const struct bool_or_size *value)
{
    if (value->wanted && value->size)
        return size_text(value->size);
    return ib_strdup(value->wanted ? "true" : "false");
}

char *ib_field_text(const struct ib_field *f, const void *value)
{
    char buf[IB_RANGE_TEXT_SIZE];

    switch (f->type) {
    case IB_TYPE_BOOL:
        return ib_strdup(*(const bool *)value ? "true" : "false");
    case IB_TYPE_INT:
        return ib_asprintf("%" PRId64, *(const int64_t *)value);
    case IB_TYPE_SIZE:
        return size_text(*(const uint64_t *)value);
    case IB_TYPE_BOOL_OR_SIZE:
        return bool_or_size_text(value);
    case IB_TYPE_IPV4:
        return ib_strdup(ib_ipv4_format(*(const uint32_t *)value, buf));
    case IB_TYPE_NETWORK:
        return ib_strdup(ib_network_format(value, buf));
    case IB_TYPE_RANGE:
        return ib_strdup(ib_range_format(value, buf));
    case IB_TYPE_MAC:
        return ib_strdup(ib_mac_format(value, buf));
    case IB_TYPE_MODE:
        return ib_asprintf("%04o", *(const uint32_t *)value);
    case IB_TYPE_ENUM:
        return ib_strdup(f->names[*(const unsigned *)value]);
    default:
        assert(ib_type_is_text(f->type));
        return ib_strdup(*(char *const *)value);
    }
}

static json_t *checked(json_t *value)
{
    if (!value)
        abort(); /* memory, or text that is not UTF-8: the YAML reader lets none through */
    return value;
}

static void set_new(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, checked(value)) < 0)
        abort();
}

static json_t *texts_json(const struct ib_strv *list)
{
    json_t *array = checked(json_array());

    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, checked(json_string(list->items[i]))) < 0)
            abort();
    return array;
}

static json_t *pairs_json(const struct ib_pairs *pairs)
{
    json_t *object = checked(json_object());

    for (size_t i = 0; i < pairs->count; i++)
        set_new(object, pairs->items[i].key, json_string(pairs->items[i].value));
    return object;
}

/* NULL when all three lists are empty. */
static json_t *by_family_json(const struct ib_by_family *lists)
{
    json_t *object = NULL;

    for (size_t i = 0; i < 3; i++) {
        const struct ib_strv *list = ib_family_list(lists, i);
        if (list->count == 0)
            continue;
        if (!object)
            object = checked(json_object());
        set_new(object, ib_family_keys[i], texts_json(list));
    }
    return object;
}

static json_t *value_json(const struct ib_field *f, const void *value)
{
    const struct bool_or_size *bs = value;

    switch (f->type) {
    case IB_TYPE_BOOL:
        return json_boolean(*(const bool *)value);
    case IB_TYPE_INT:
        return json_integer(*(const int64_t *)value);
    case IB_TYPE_SIZE:
        return json_integer((json_int_t) * (const uint64_t *)value);
    case IB_TYPE_BOOL_OR_SIZE:
        return bs->size ? json_integer((json_int_t)bs->size) : json_boolean(bs->wanted);
    case IB_TYPE_STRUCT:
        return ib_schema_to_json(f->schema, value);
    case IB_TYPE_PAIRS:
        return pairs_json(value);
    case IB_TYPE_ANY:
        return json_deep_copy(*(json_t *const *)value);
    case IB_TYPE_BY_FAMILY:
        return by_family_json(value);
    default: {
        _cleanup_(ib_freep) char *text = ib_field_text(f, value);
        return json_string(text);
    }
    }
}

static json_t *list_json(const struct ib_field *f, const struct any_list *list)
{
    json_t *array = checked(json_array());

    for (size_t i = 0; i < list->count; i++)
        if (json_array_append_new(array, checked(value_json(f, item_at(f, list, i)))) < 0)
            abort();
    return array;
}

json_t *ib_schema_to_json(const struct ib_schema *schema, const void *value)
{
    json_t *object = checked(json_object());

    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        const void *at = (const char *)value + f->offset;
        json_t *json = NULL;
        if (f->flags & (IB_LIST | IB_KEYED)) {
            const struct any_list *list = at;
            if (list->count)
                json = is_text_list(f) ? texts_json(at) : list_json(f, list);
        } else if (is_present(f, at)) {
            json = value_json(f, at);
        }
        if (json)
            set_new(object, f->key, json);
    }
    return object;
}

/* Walking */

struct walk {
    const struct ib_origins *origins;
    ib_value_fn fn;
    void *userdata;
};

static void walk_struct(const struct walk *w, const struct ib_schema *schema, const void *value,
                        const char *prefix);

static void emit(const struct walk *w, const char *path, const char *text, const void *value)
{
    w->fn(path, text, ib_origins_get(w->origins, value), w->userdata);
}

static void walk_texts(const struct walk *w, const struct ib_strv *list, const char *path)
{
    for (size_t i = 0; i < list->count; i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("%s[%zu]", path, i);
        emit(w, name, list->items[i], list->items[i]);
    }
}

static void walk_pairs(const struct walk *w, const struct ib_pairs *pairs, const char *path)
{
    for (size_t i = 0; i < pairs->count; i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("%s.%s", path, pairs->items[i].key);
        emit(w, name, pairs->items[i].value, &pairs->items[i]);
    }
}

/* One line for each key of the top level: what is inside came from the same place. */
static void walk_any(const struct walk *w, json_t *object, const char *path)
{
    struct ib_strv sorted _cleanup_(ib_strv_clear) = {0};

    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i))
        ib_strv_add(&sorted, json_object_iter_key(i));
    ib_strv_sort(&sorted);
    for (size_t i = 0; i < sorted.count; i++) {
        void *iter = json_object_iter_at(object, sorted.items[i]);
        json_t *value = json_object_iter_value(iter);
        _cleanup_(ib_freep) char *name = ib_asprintf("%s.%s", path, sorted.items[i]);
        _cleanup_(ib_freep) char *text =
            json_is_string(value)
                ? ib_strdup(json_string_value(value))
                : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        emit(w, name, text, json_object_iter_key(iter));
    }
}

static void walk_value(const struct walk *w, const struct ib_field *f, const void *value,
                       const char *path)
{
    if (f->type == IB_TYPE_STRUCT) {
        walk_struct(w, f->schema, value, path);
    } else if (f->type == IB_TYPE_PAIRS) {
        walk_pairs(w, value, path);
    } else if (f->type == IB_TYPE_ANY) {
        walk_any(w, *(json_t *const *)value, path);
    } else if (f->type == IB_TYPE_BY_FAMILY) {
        for (size_t i = 0; i < 3; i++) {
            _cleanup_(ib_freep) char *name = ib_asprintf("%s.%s", path, ib_family_keys[i]);
            walk_texts(w, ib_family_list(value, i), name);
        }
    } else {
        _cleanup_(ib_freep) char *text = ib_field_text(f, value);
        emit(w, path, text, value);
    }
}

static void walk_struct(const struct walk *w, const struct ib_schema *schema, const void *value,
                        const char *prefix)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        const void *at = (const char *)value + f->offset;
        _cleanup_(ib_freep) char *path =
            *prefix ? ib_asprintf("%s.%s", prefix, f->key) : ib_strdup(f->key);
        if (is_text_list(f)) {
            walk_texts(w, at, path);
        } else if (is_struct_list(f)) {
            const struct any_list *list = at;
            for (size_t k = 0; k < list->count; k++) {
                _cleanup_(ib_freep) char *name = ib_asprintf("%s[%zu]", path, k);
                walk_value(w, f, item_at(f, list, k), name);
            }
        } else if (is_present(f, at)) {
            walk_value(w, f, at, path);
        }
    }
}

void ib_schema_walk(const struct ib_schema *schema, const void *value,
                    const struct ib_origins *origins, ib_value_fn fn, void *userdata)
{
    struct walk w = {.origins = origins, .fn = fn, .userdata = userdata};

    walk_struct(&w, schema, value, "");
}
