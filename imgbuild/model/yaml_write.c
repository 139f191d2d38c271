/* SPDX-License-Identifier: Apache-2.0 */
#include "model/yaml_write.h"

#include <jansson.h>
#include <string.h>
#include <yaml.h>

/* Plain scalars that are not strings in YAML 1.1 or 1.2: such strings are quoted. */
static bool needs_quotes(const char *s)
{
    static const char *const words[] = {
        "",    "~",   "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE",
        "yes", "Yes", "YES",  "no",   "No",   "NO",   "on",   "On",   "ON",    "off",   "Off",
        "OFF", "y",   "Y",    "n",    "N",    ".inf", ".nan", "=",    "<<"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(words); i++)
        if (strcmp(s, words[i]) == 0)
            return true;
    size_t first = (s[0] == '-' || s[0] == '+' || s[0] == '.') ? 1 : 0;
    return s[first] >= '0' && s[first] <= '9'; /* a number, date or time, or looks like one */
}

static void emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
    if (!yaml_emitter_emit(emitter, event)) /* only out of memory, or a broken sequence of ours */
        abort();
}

static void emit_scalar(yaml_emitter_t *emitter, const char *text, bool quoted)
{
    yaml_event_t event;
    yaml_scalar_style_t style = quoted               ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                                : strchr(text, '\n') ? YAML_LITERAL_SCALAR_STYLE
                                                     : YAML_PLAIN_SCALAR_STYLE;

    if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), 1, 1, style))
        abort();
    emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, json_t *value);

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void emit_object(yaml_emitter_t *emitter, json_t *object)
{
    size_t count = json_object_size(object), i = 0;
    _cleanup_(ib_freep) const char **keys = ib_reallocarray(NULL, count, sizeof(*keys));
    yaml_event_t event;
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value)
        keys[i++] = key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE);
    emit(emitter, &event);
    for (i = 0; i < count; i++) {
        emit_scalar(emitter, keys[i], needs_quotes(keys[i]));
        emit_value(emitter, json_object_get(object, keys[i]));
    }
    yaml_mapping_end_event_initialize(&event);
    emit(emitter, &event);
}

static void emit_array(yaml_emitter_t *emitter, json_t *array)
{
    yaml_event_t event;

    yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE);
    emit(emitter, &event);
    for (size_t i = 0; i < json_array_size(array); i++)
        emit_value(emitter, json_array_get(array, i));
    yaml_sequence_end_event_initialize(&event);
    emit(emitter, &event);
}

static void emit_value(yaml_emitter_t *emitter, json_t *value)
{
    char number[32];

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        emit_object(emitter, value);
        break;
    case JSON_ARRAY:
        emit_array(emitter, value);
        break;
    case JSON_STRING:
        emit_scalar(emitter, json_string_value(value), needs_quotes(json_string_value(value)));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        emit_scalar(emitter, number, false);
        break;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(value));
        emit_scalar(emitter, number, false);
        break;
    case JSON_TRUE:
        emit_scalar(emitter, "true", false);
        break;
    case JSON_FALSE:
        emit_scalar(emitter, "false", false);
        break;
    case JSON_NULL:
        emit_scalar(emitter, "null", false);
        break;
    }
}

static int append(void *userdata, unsigned char *data, size_t size)
{
    ib_buf_append(userdata, data, size);
    return 1;
}

void ib_yaml_write(const struct json_t *value, struct ib_buf *ret)
{
    yaml_emitter_t emitter;
    yaml_event_t event;

    yaml_emitter_initialize(&emitter);
    yaml_emitter_set_output(&emitter, append, ret);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
    emit(&emitter, &event);
    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
    emit(&emitter, &event);
    emit_value(&emitter, (json_t *)(uintptr_t)value);
    yaml_document_end_event_initialize(&event, 1);
    emit(&emitter, &event);
    yaml_stream_end_event_initialize(&event);
    emit(&emitter, &event);
    yaml_emitter_delete(&emitter);
}
