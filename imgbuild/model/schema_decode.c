/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML nodes to structs, by the tables; every mistake is reported where it stands. */
#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "schema_private.h"

/* Long values are cut in messages. */
#define SHOWN_LENGTH 60

static void bad_value(struct ib_decoder *d, const struct ib_yaml_node *node, const char *key,
                      enum ib_type type)
{
    int n = (int)strcspn(node->text, "\n");

    ib_diag(d->diags, node->at, "'%s' is not %s: '%.*s%s'", key, ib_type_name(type),
            IB_MIN(n, SHOWN_LENGTH), node->text, strlen(node->text) > SHOWN_LENGTH ? "…" : "");
    ib_diag_expect(d->diags, "%s", ib_type_expectation(type));
}

/* A string, whatever it means in YAML's core schema being a string too: others need quotes. */
static bool want_string(struct ib_decoder *d, const struct ib_yaml_node *node, const char *key,
                        enum ib_type type)
{
    if (node->kind != IB_YAML_SCALAR || ib_yaml_scalar_type(node) == IB_YAML_NULL) {
        ib_diag(d->diags, node->at, "'%s' is %s", key, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "%s", ib_type_expectation(type));
        return false;
    }
    if (ib_yaml_scalar_type(node) != IB_YAML_STRING) {
        ib_diag(d->diags, node->at, "'%s' is %s", key, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "put it in quotes to make it a string: \"%s\"", node->text);
        return false;
    }
    return true;
}

static char *decode_text(struct ib_decoder *d, enum ib_type type, const char *key,
                         const struct ib_yaml_node *node)
{
    if (!want_string(d, node, key, type))
        return NULL;
    if (ib_decoder_check_text(d, type, node->text)) {
        bad_value(d, node, key, type);
        return NULL;
    }
    return ib_strdup(node->text);
}

bool ib_size_parse(const char *text, uint64_t *ret)
{
    static const char units[] = "KMGT";
    size_t n = strlen(text);
    const char *unit = n > 1 ? strchr(units, text[n - 1]) : NULL;
    uint64_t v;

    if (!unit || !*unit || n > 16)
        return false;
    _cleanup_(ib_freep) char *number = ib_strndup(text, n - 1);
    if (!ib_parse_u64(number, UINT64_MAX, &v) || v == 0 ||
        !ib_mul_u64(v, UINT64_C(1) << (10 * (unit - units + 1)), &v) || v > INT64_MAX)
        return false;
    *ret = v;
    return true;
}

static bool parse_mode(const char *text, uint32_t *ret)
{
    size_t n = strlen(text);

    if (n < 3 || n > 4 || text[strspn(text, "01234567")])
        return false;
    *ret = (uint32_t)strtoul(text, NULL, 8);
    return true;
}

static bool parse_bool_or_size(const char *text, struct ib_yaml_node const *node, void *ret)
{
    struct {
        bool wanted;
        uint64_t size;
    } *value = ret;

    if (node && ib_yaml_scalar_type(node) == IB_YAML_BOOL) {
        value->wanted = ib_yaml_bool(node);
        return true;
    }
    return value->wanted = ib_size_parse(text, &value->size);
}

/* The types that are stored as numbers but written as text. `node` is NULL for presets. */
static bool parse_scalar(enum ib_type type, const char *text, const struct ib_yaml_node *node,
                         void *ret)
{
    switch (type) {
    case IB_TYPE_SIZE:
        return ib_size_parse(text, ret);
    case IB_TYPE_BOOL_OR_SIZE:
        return parse_bool_or_size(text, node, ret);
    case IB_TYPE_IPV4:
        return ib_ipv4_parse(text, ret) && *(uint32_t *)ret != 0;
    case IB_TYPE_NETWORK:
        return ib_network_parse(text, ret);
    case IB_TYPE_RANGE:
        return ib_range_parse(text, ret);
    case IB_TYPE_MAC:
        return ib_mac_parse(text, ret) && ib_mac_is_unicast(ret);
    case IB_TYPE_MODE:
        return parse_mode(text, ret);
    default:
        assert(false);
        return false;
    }
}

static void decode_bool(struct ib_decoder *d, const struct ib_field *f,
                        const struct ib_yaml_node *node, bool *ret)
{
    if (node->kind == IB_YAML_SCALAR && ib_yaml_scalar_type(node) == IB_YAML_BOOL) {
        *ret = ib_yaml_bool(node);
        return;
    }
    ib_diag(d->diags, node->at, "'%s' is %s", f->key, ib_yaml_describe(node));
    ib_diag_expect(d->diags, "%s", ib_type_expectation(IB_TYPE_BOOL));
}

static void decode_int(struct ib_decoder *d, const struct ib_field *f,
                       const struct ib_yaml_node *node, int64_t *ret)
{
    int64_t v;

    if (node->kind != IB_YAML_SCALAR || ib_yaml_scalar_type(node) != IB_YAML_INT)
        ib_diag(d->diags, node->at, "'%s' is %s", f->key,
                node->kind == IB_YAML_SCALAR && ib_yaml_scalar_type(node) == IB_YAML_FLOAT
                    ? "not a whole number"
                    : ib_yaml_describe(node));
    else if (!ib_yaml_int(node, &v) || v < f->min || v > f->max)
        ib_diag(d->diags, node->at, "'%s' is out of range: %s", f->key, node->text);
    else {
        *ret = v;
        return;
    }
    ib_diag_expect(d->diags, "expected a whole number from %lld to %lld", (long long)f->min,
                   (long long)f->max);
}

static size_t count_names(const char *const *names)
{
    size_t n = 0;

    while (names[n])
        n++;
    return n;
}

static char *join_names(const char *const *names, size_t count)
{
    struct ib_buf buf = {0};

    for (size_t i = 0; i < count; i++)
        ib_buf_printf(&buf, "%s'%s'", i ? ", " : "", names[i]);
    return ib_buf_steal_string(&buf);
}

static void decode_enum(struct ib_decoder *d, const struct ib_field *f,
                        const struct ib_yaml_node *node, unsigned *ret)
{
    size_t count = count_names(f->names);
    _cleanup_(ib_freep) char *all = join_names(f->names, count);

    if (node->kind != IB_YAML_SCALAR) {
        ib_diag(d->diags, node->at, "'%s' is %s", f->key, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "expected one of %s", all);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (ib_streq(node->text, f->names[i])) {
            *ret = (unsigned)i;
            return;
        }
    }
    ib_diag(d->diags, node->at, "'%s' cannot be '%.*s'", f->key, SHOWN_LENGTH, node->text);
    ib_diag_expect(d->diags, "expected one of %s", all);
    ib_diag_nearest(d->diags, node->text, f->names, count);
}

/* Numbers are fine as values of pairs: they are text in the end (sysctls). */
static char *decode_pair_value(struct ib_decoder *d, const struct ib_yaml_node *key,
                               const struct ib_yaml_node *node)
{
    enum ib_yaml_type type =
        node->kind == IB_YAML_SCALAR ? ib_yaml_scalar_type(node) : IB_YAML_NULL;

    if (type == IB_YAML_INT || type == IB_YAML_FLOAT)
        return ib_strdup(node->text);
    return decode_text(d, IB_TYPE_LINE, key->text, node);
}

static bool want_kind(struct ib_decoder *d, const struct ib_yaml_node *node, enum ib_yaml_kind kind,
                      const char *key, enum ib_type type)
{
    if (node->kind == kind)
        return true;
    ib_diag(d->diags, node->at, "'%s' is %s", key, ib_yaml_describe(node));
    if (kind == IB_YAML_SEQUENCE)
        ib_diag_expect(d->diags, "expected a list, each item %s", ib_type_name(type));
    else
        ib_diag_expect(d->diags, "expected a mapping");
    return false;
}

static void decode_pairs(struct ib_decoder *d, const struct ib_field *f,
                         const struct ib_yaml_node *node, struct ib_pairs *ret)
{
    if (!want_kind(d, node, IB_YAML_MAPPING, f->key, f->type))
        return;
    ret->items = ib_calloc(node->count, sizeof(*ret->items));
    for (size_t i = 0; i < node->count; i++) {
        const struct ib_yaml_pair *pair = &node->pairs[i];
        if (ib_decoder_check_text(d, f->key_type, pair->key->text)) {
            bad_value(d, pair->key, f->key, f->key_type);
            continue;
        }
        char *value = decode_pair_value(d, pair->key, pair->value);
        if (!value)
            continue;
        struct ib_pair *to = &ret->items[ret->count++];
        *to = (struct ib_pair){.key = ib_strdup(pair->key->text), .value = value};
        ib_origins_set(d->origins, to, pair->key->at);
    }
}

static json_t *decode_any(struct ib_decoder *d, const struct ib_yaml_node *node);

/* NULL when something was reported. */
static json_t *decode_any_scalar(struct ib_decoder *d, const struct ib_yaml_node *node)
{
    int64_t v;

    switch (ib_yaml_scalar_type(node)) {
    case IB_YAML_NULL:
        return json_null();
    case IB_YAML_BOOL:
        return json_boolean(ib_yaml_bool(node));
    case IB_YAML_INT:
        if (ib_yaml_int(node, &v))
            return json_integer(v);
        break;
    case IB_YAML_FLOAT: {
        double real = strtod(node->text, NULL);
        if (isfinite(real) && !strchr(node->text, 'n') && !strchr(node->text, 'N'))
            return json_real(real);
        break;
    }
    case IB_YAML_STRING:
        return json_string(node->text);
    }
    ib_diag(d->diags, node->at, "number out of range: %.*s", SHOWN_LENGTH, node->text);
    return NULL;
}

/* Keys remember their places: the key's string in the object is the address. */
static json_t *decode_any_mapping(struct ib_decoder *d, const struct ib_yaml_node *node)
{
    json_t *object = json_object();

    for (size_t i = 0; i < node->count; i++) {
        json_t *value = decode_any(d, node->pairs[i].value);
        const char *key = node->pairs[i].key->text;
        if (!value)
            continue;
        if (json_object_set_new(object, key, value) < 0)
            abort();
        void *iter = json_object_iter_at(object, key);
        ib_origins_set(d->origins, json_object_iter_key(iter), node->pairs[i].key->at);
    }
    return object;
}

static json_t *decode_any(struct ib_decoder *d, const struct ib_yaml_node *node)
{
    if (node->kind == IB_YAML_SCALAR)
        return decode_any_scalar(d, node);
    if (node->kind == IB_YAML_MAPPING)
        return decode_any_mapping(d, node);
    json_t *array = json_array();
    for (size_t i = 0; i < node->count; i++) {
        json_t *item = decode_any(d, node->items[i]);
        if (item && json_array_append_new(array, item) < 0)
            abort();
    }
    return array;
}

static void decode_texts(struct ib_decoder *d, enum ib_type type, bool may_repeat, const char *key,
                         const struct ib_yaml_node *node, struct ib_strv *ret)
{
    if (!want_kind(d, node, IB_YAML_SEQUENCE, key, type))
        return;
    for (size_t i = 0; i < node->count; i++) {
        char *text = decode_text(d, type, key, node->items[i]);
        if (!text)
            continue;
        if (!may_repeat && ib_strv_contains(ret, text)) {
            ib_diag(d->diags, node->items[i]->at, "'%s' stands twice in '%s'", text, key);
            free(text);
            continue;
        }
        ib_strv_take(ret, text);
        ib_origins_set(d->origins, text, node->items[i]->at);
    }
}

static void unknown_key(struct ib_decoder *d, const struct ib_yaml_node *key,
                        const char *const *names, size_t count)
{
    _cleanup_(ib_freep) char *all = join_names(names, count);

    ib_diag(d->diags, key->at, "unknown key '%.*s'", SHOWN_LENGTH, key->text);
    ib_diag_expect(d->diags, "expected one of %s", all);
    ib_diag_nearest(d->diags, key->text, names, count);
}

const char *const ib_family_keys[3] = {"all", "debian", "fedora"};

struct ib_strv *ib_family_list(const struct ib_by_family *lists, size_t index)
{
    const struct ib_strv *const all[] = {&lists->all, &lists->debian, &lists->fedora};
    union {
        const struct ib_strv *borrowed;
        struct ib_strv *list;
    } u = {.borrowed = all[index]};

    return u.list;
}

static void decode_by_family(struct ib_decoder *d, const struct ib_field *f,
                             const struct ib_yaml_node *node, struct ib_by_family *ret)
{
    if (node->kind == IB_YAML_SEQUENCE) {
        decode_texts(d, f->key_type, false, f->key, node, &ret->all);
        return;
    }
    if (node->kind != IB_YAML_MAPPING) {
        ib_diag(d->diags, node->at, "'%s' is %s", f->key, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "%s", ib_type_expectation(f->type));
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct ib_yaml_pair *pair = &node->pairs[i];
        size_t k = 0;
        while (k < 3 && !ib_streq(ib_family_keys[k], pair->key->text))
            k++;
        if (k < 3)
            decode_texts(d, f->key_type, false, pair->key->text, pair->value,
                         ib_family_list(ret, k));
        else
            unknown_key(d, pair->key, ib_family_keys, 3);
    }
}

static void decode_struct(struct ib_decoder *d, const struct ib_schema *schema,
                          const struct ib_yaml_node *node, void *ret);

/* One value of the field's type (an item where the field is a list); presets are set. */
static void decode_value(struct ib_decoder *d, const struct ib_field *f,
                         const struct ib_yaml_node *node, void *ret)
{
    switch (f->type) {
    case IB_TYPE_BOOL:
        decode_bool(d, f, node, ret);
        return;
    case IB_TYPE_INT:
        decode_int(d, f, node, ret);
        return;
    case IB_TYPE_ENUM:
        decode_enum(d, f, node, ret);
        return;
    case IB_TYPE_STRUCT:
        decode_struct(d, f->schema, node, ret);
        return;
    case IB_TYPE_PAIRS:
        decode_pairs(d, f, node, ret);
        return;
    case IB_TYPE_ANY:
        if (want_kind(d, node, IB_YAML_MAPPING, f->key, f->type))
            *(json_t **)ret = decode_any_mapping(d, node);
        return;
    case IB_TYPE_BY_FAMILY:
        decode_by_family(d, f, node, ret);
        return;
    default:
        break;
    }
    if (ib_type_is_text(f->type)) {
        char *text = decode_text(d, f->type, f->key, node);
        if (text) {
            free(*(char **)ret);
            *(char **)ret = text;
        }
        return;
    }
    if (node->kind != IB_YAML_SCALAR) {
        ib_diag(d->diags, node->at, "'%s' is %s", f->key, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "%s", ib_type_expectation(f->type));
    } else if (!parse_scalar(f->type, node->text, node, ret)) {
        bad_value(d, node, f->key, f->type);
    }
}

/* Presets are ours and right; they leave no origin. */
static void set_preset(const struct ib_field *f, void *ret)
{
    uint64_t v = 0;
    bool ok = true;

    if (ib_type_is_text(f->type))
        *(char **)ret = ib_strdup(f->preset);
    else if (f->type == IB_TYPE_INT)
        *(int64_t *)ret = strtoll(f->preset, NULL, 10);
    else if (f->type == IB_TYPE_BOOL)
        *(bool *)ret = ib_streq(f->preset, "true");
    else if (f->type == IB_TYPE_ENUM) {
        while (f->names[v] && !ib_streq(f->names[v], f->preset))
            v++;
        assert(f->names[v]);
        *(unsigned *)ret = (unsigned)v;
    } else
        ok = parse_scalar(f->type, f->preset, NULL, ret);
    assert(ok);
    (void)ok;
}

static void set_presets(const struct ib_schema *schema, void *ret)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        void *at = (char *)ret + f->offset;
        if (f->preset)
            set_preset(f, at);
        else if (f->type == IB_TYPE_MODE)
            *(uint32_t *)at = IB_MODE_KEEP;
        else if (f->type == IB_TYPE_STRUCT && !(f->flags & (IB_LIST | IB_KEYED)))
            set_presets(f->schema, at);
    }
}

static void decode_list(struct ib_decoder *d, const struct ib_field *f,
                        const struct ib_yaml_node *node, void *ret)
{
    struct any_list *list = ret;
    size_t size = ib_field_value_size(f);

    if (ib_type_is_text(f->type)) {
        decode_texts(d, f->type, f->flags & IB_ORDERED, f->key, node, ret);
        return;
    }
    if (!want_kind(d, node, IB_YAML_SEQUENCE, f->key, f->type))
        return;
    list->items = ib_calloc(node->count, size);
    for (; list->count < node->count; list->count++) {
        char *at = (char *)list->items + list->count * size;
        ib_origins_set(d->origins, at, node->items[list->count]->at);
        if (f->type == IB_TYPE_STRUCT)
            set_presets(f->schema, at);
        decode_value(d, f, node->items[list->count], at);
    }
}

/* {name: {…}, …}: the struct's first field is the name. */
static void decode_keyed(struct ib_decoder *d, const struct ib_field *f,
                         const struct ib_yaml_node *node, struct any_list *ret)
{
    size_t size = ib_field_value_size(f);

    if (!want_kind(d, node, IB_YAML_MAPPING, f->key, f->type))
        return;
    ret->items = ib_calloc(node->count, size);
    for (; ret->count < node->count; ret->count++) {
        const struct ib_yaml_pair *pair = &node->pairs[ret->count];
        char *at = (char *)ret->items + ret->count * size;
        if (ib_decoder_check_text(d, IB_TYPE_NAME, pair->key->text))
            bad_value(d, pair->key, f->key, IB_TYPE_NAME);
        set_presets(f->schema, at);
        decode_value(d, f, pair->value, at);
        *(char **)at = ib_strdup(pair->key->text);
        ib_origins_set(d->origins, at, pair->key->at);
    }
}

static const struct ib_field *find_field(const struct ib_schema *schema, const char *key)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        if (!(f->flags & IB_IMPLICIT) && ib_streq(f->key, key))
            return f;
    }
    return NULL;
}

static void decode_field(struct ib_decoder *d, const struct ib_field *f,
                         const struct ib_yaml_node *node, struct ib_origin at, void *ret)
{
    /* A struct has the address of its first field, whose place is the one to remember. */
    if (f->type != IB_TYPE_STRUCT || f->flags & (IB_LIST | IB_KEYED))
        ib_origins_set(d->origins, ret, at);
    if (f->flags & IB_KEYED)
        decode_keyed(d, f, node, ret);
    else if (f->flags & IB_LIST)
        decode_list(d, f, node, ret);
    else
        decode_value(d, f, node, ret);
}

static void report_unknown(struct ib_decoder *d, const struct ib_schema *schema,
                           const struct ib_yaml_node *key)
{
    const char **names = ib_calloc(schema->count, sizeof(*names));
    size_t count = 0;

    for (size_t i = 0; i < schema->count; i++)
        if (!(schema->fields[i].flags & IB_IMPLICIT))
            names[count++] = schema->fields[i].key;
    unknown_key(d, key, names, count);
    free(names);
}

static void report_missing(struct ib_decoder *d, const struct ib_schema *schema,
                           const struct ib_yaml_node *node)
{
    for (size_t i = 0; i < schema->count; i++) {
        const struct ib_field *f = &schema->fields[i];
        if (!(f->flags & IB_REQUIRED) || ib_yaml_get(node, f->key))
            continue;
        ib_diag(d->diags, node->at, "key '%s' is missing", f->key);
        if (f->flags & (IB_LIST | IB_KEYED))
            ib_diag_expect(d->diags, "expected a %s", f->flags & IB_LIST ? "list" : "mapping");
        else if (f->type == IB_TYPE_STRUCT)
            ib_diag_expect(d->diags, "expected a %s", f->schema->title);
        else
            ib_diag_expect(d->diags, "expected %s", ib_type_name(f->type));
    }
}

static void decode_struct(struct ib_decoder *d, const struct ib_schema *schema,
                          const struct ib_yaml_node *node, void *ret)
{
    if (node->kind == IB_YAML_SCALAR && schema->shorthand &&
        ib_yaml_scalar_type(node) != IB_YAML_NULL) {
        const struct ib_field *f = find_field(schema, schema->shorthand);
        decode_field(d, f, node, node->at, (char *)ret + f->offset);
        return;
    }
    if (node->kind != IB_YAML_MAPPING) {
        ib_diag(d->diags, node->at, "%s is %s", schema->title, ib_yaml_describe(node));
        ib_diag_expect(d->diags, "expected a mapping");
        return;
    }
    if (node->count == 0 && schema->shorthand) {
        ib_diag(d->diags, node->at, "an empty %s", schema->title);
        ib_diag_expect(d->diags, "expected a value, or a mapping with the key '%s'",
                       schema->shorthand);
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct ib_yaml_pair *pair = &node->pairs[i];
        const struct ib_field *f = find_field(schema, pair->key->text);
        if (f)
            decode_field(d, f, pair->value, pair->value->at, (char *)ret + f->offset);
        else
            report_unknown(d, schema, pair->key);
    }
    report_missing(d, schema, node);
}

void ib_schema_decode(struct ib_decoder *decoder, const struct ib_schema *schema,
                      const struct ib_yaml_node *node, void *ret)
{
    set_presets(schema, ret);
    decode_struct(decoder, schema, node, ret);
}
