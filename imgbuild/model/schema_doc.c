/* SPDX-License-Identifier: Apache-2.0 */
/* The tables as documents: JSON Schema for editors, markdown for people. */
#include <jansson.h>
#include <string.h>

#include "schema_private.h"

static json_t *checked(json_t *value)
{
    if (!value)
        abort(); /* memory */
    return value;
}

static void set_new(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, checked(value)) < 0)
        abort();
}

static json_t *typed(const char *type)
{
    return checked(json_pack("{s:s}", "type", type));
}

static json_t *struct_json(const struct ib_schema *schema);

static json_t *text_json(enum ib_type type)
{
    json_t *object = typed("string");

    if (ib_type_pattern(type))
        set_new(object, "pattern", json_string(ib_type_pattern(type)));
    return object;
}

static json_t *enum_json(const struct ib_field *f)
{
    json_t *names = checked(json_array());

    for (size_t i = 0; f->names[i]; i++)
        if (json_array_append_new(names, checked(json_string(f->names[i]))) < 0)
            abort();
    return checked(json_pack("{s:o}", "enum", names));
}

static json_t *list_of(json_t *item, bool unique)
{
    json_t *object = typed("array");

    set_new(object, "items", item);
    if (unique)
        set_new(object, "uniqueItems", json_true());
    return object;
}

static json_t *by_family_json(const struct ib_field *f)
{
    json_t *lists = typed("object"), *properties = checked(json_object());

    for (size_t i = 0; i < 3; i++)
        set_new(properties, ib_family_keys[i], list_of(text_json(f->key_type), true));
    set_new(lists, "properties", properties);
    set_new(lists, "additionalProperties", json_false());
    return checked(json_pack("{s:[o,o]}", "anyOf", list_of(text_json(f->key_type), true), lists));
}

static json_t *pairs_json(const struct ib_field *f)
{
    json_t *object = typed("object");

    set_new(object, "propertyNames", checked(text_json(f->key_type)));
    set_new(object, "additionalProperties",
            checked(json_pack("{s:[s,s]}", "type", "string", "number")));
    return object;
}

static json_t *value_json(const struct ib_field *f)
{
    switch (f->type) {
    case IB_TYPE_BOOL:
        return typed("boolean");
    case IB_TYPE_INT:
        return checked(json_pack("{s:s s:I s:I}", "type", "integer", "minimum", (json_int_t)f->min,
                                 "maximum", (json_int_t)f->max));
    case IB_TYPE_BOOL_OR_SIZE:
        return checked(json_pack("{s:[o,o]}", "anyOf", typed("boolean"), text_json(f->type)));
    case IB_TYPE_MODE: /* unquoted, an editor sees a number */
        return checked(json_pack("{s:[o,o]}", "anyOf", text_json(f->type), typed("integer")));
    case IB_TYPE_ENUM:
        return enum_json(f);
    case IB_TYPE_STRUCT:
        return struct_json(f->schema);
    case IB_TYPE_PAIRS:
        return pairs_json(f);
    case IB_TYPE_ANY:
        return typed("object");
    case IB_TYPE_BY_FAMILY:
        return by_family_json(f);
    default:
        return text_json(f->type);
    }
}

static json_t *field_json(const struct ib_field *f)
{
    json_t *object = value_json(f);

    if (f->flags & IB_KEYED) {
        json_t *item = object;
        object = typed("object");
        set_new(object, "propertyNames", text_json(IB_TYPE_NAME));
        set_new(object, "additionalProperties", item);
    } else if (f->flags & IB_LIST) {
        object = list_of(object, ib_type_is_text(f->type) && !(f->flags & IB_ORDERED));
    }
    if (f->doc)
        set_new(object, "description", json_string(f->doc));
    if (f->preset && f->type == IB_TYPE_INT)
        set_new(object, "default", json_integer(strtoll(f->preset, NULL, 10)));
    else if (f->preset && f->type == IB_TYPE_BOOL)
        set_new(object, "default", json_boolean(ib_streq(f->preset, "true")));
    else if (f->preset)
        set_new(object, "default", json_string(f->preset));
    return object;
}

static json_t *struct_json(const struct ib_schema *schema)
{
    json_t *properties = checked(json_object()), *required = checked(json_array());
    json_t *object = typed("object");

    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        if (f->flags & IB_IMPLICIT)
            continue;
        set_new(properties, f->key, field_json(f));
        if (f->flags & IB_REQUIRED && json_array_append_new(required, json_string(f->key)) < 0)
            abort();
    }
    set_new(object, "properties", properties);
    if (json_array_size(required))
        set_new(object, "required", required);
    else
        json_decref(required);
    set_new(object, "additionalProperties", json_false());
    for (size_t i = 0; schema->shorthand && i < schema->count; i++)
        if (ib_streq(schema->fields[i].key, schema->shorthand))
            return checked(json_pack("{s:[o,o]}", "anyOf", value_json(&schema->fields[i]), object));
    return object;
}

struct json_t *ib_schema_json_schema(const struct ib_schema *schema, const char *id)
{
    json_t *object = struct_json(schema);

    set_new(object, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set_new(object, "$id", json_string(id));
    set_new(object, "title", json_string(schema->title));
    set_new(object, "description", json_string(schema->doc));
    return object;
}

/* Markdown */

static void append_type(struct ib_buf *buf, const struct ib_field *f)
{
    if (f->flags & IB_KEYED) {
        ib_buf_append_str(buf, "mapping by name");
        return;
    }
    if (f->flags & IB_LIST)
        ib_buf_append_str(buf, "list: ");
    switch (f->type) {
    case IB_TYPE_ENUM:
        for (size_t i = 0; f->names[i]; i++)
            ib_buf_printf(buf, "%s`%s`", i ? ", " : "", f->names[i]);
        return;
    case IB_TYPE_INT:
        ib_buf_printf(buf, "number, %lld to %lld", (long long)f->min, (long long)f->max);
        return;
    case IB_TYPE_PAIRS:
        ib_buf_printf(buf, "mapping: %s → text", ib_type_name(f->key_type));
        return;
    case IB_TYPE_BY_FAMILY:
        ib_buf_printf(buf, "list by family: %s", ib_type_name(f->key_type));
        return;
    default:
        ib_buf_append_str(buf, ib_type_name(f->type));
    }
}

/* Rows of a struct and, dotted, of the structs in it: "network.subnet", "files[].path". */
static void append_rows(struct ib_buf *buf, const struct ib_schema *schema, const char *prefix)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        if (f->flags & IB_IMPLICIT)
            continue;
        ib_buf_printf(buf, "| `%s%s` | ", prefix, f->key);
        append_type(buf, f);
        ib_buf_printf(buf, " | %s", f->doc ? f->doc : "");
        if (f->preset)
            ib_buf_printf(buf, " Default: `%s`.", f->preset);
        ib_buf_printf(buf, " | %s |\n", f->flags & IB_REQUIRED ? "yes" : "");
        if (f->type != IB_TYPE_STRUCT)
            continue;
        _cleanup_(ib_freep) char *below = ib_asprintf("%s%s%s.", prefix, f->key,
                                                      f->flags & IB_KEYED  ? ".NAME"
                                                      : f->flags & IB_LIST ? "[]"
                                                                           : "");
        append_rows(buf, f->schema, below);
    }
}

char *ib_schema_markdown(const struct ib_schema *schema)
{
    struct ib_buf buf = {0};

    ib_buf_printf(&buf, "## %s\n\n%s\n\n", schema->title, schema->doc);
    ib_buf_append_str(&buf, "| key | type | meaning | required |\n|---|---|---|---|\n");
    append_rows(&buf, schema, "");
    return ib_buf_steal_string(&buf);
}
