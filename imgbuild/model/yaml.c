/* SPDX-License-Identifier: Apache-2.0 */
#include "model/yaml.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <yaml.h>

#define MAX_NODES 100000
#define MAX_PAIRS 1000

/* State of one parse. */
struct reader {
    yaml_parser_t parser;
    const char *file;
    const unsigned char *data;
    size_t size;
    struct ib_diags *diags;
    size_t node_count;
    bool failed;
};

struct ib_yaml_node *ib_yaml_free(struct ib_yaml_node *node)
{
    if (!node)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == IB_YAML_SEQUENCE) {
            ib_yaml_free(node->items[i]);
        } else {
            ib_yaml_free(node->pairs[i].key);
            ib_yaml_free(node->pairs[i].value);
        }
    }
    free(node->items);
    free(node->pairs);
    free(node->text);
    free(node);
    return NULL;
}

void ib_yaml_freep(struct ib_yaml_node **node)
{
    ib_yaml_free(*node);
}

static struct ib_origin place(const struct reader *r, yaml_mark_t mark)
{
    return (struct ib_origin){
        .file = r->file, .line = (uint32_t)mark.line + 1, .column = (uint32_t)mark.column + 1};
}

/* The length of the UTF-8 sequence at p (Unicode 15, table 3-7), 0 where it is none that YAML 1.2
 * section 5.1 lets into a file. */
static size_t printable_length(const unsigned char *p, size_t left)
{
    uint32_t c = p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : c < 0xf5 ? 4 : 0;

    if (n == 1)
        return c == '\t' || c == '\n' || c == '\r' || (c >= 0x20 && c < 0x7f);
    if (n == 0 || c < 0xc2 || n > left)
        return 0;
    c &= 0xffu >> (n + 1);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    bool ok = n == 2   ? c == 0x85 || c >= 0xa0
              : n == 3 ? c >= 0x800 && !(c >= 0xd800 && c < 0xe000) && c < 0xfffe
                       : c >= 0x10000 && c < 0x110000;
    return ok ? n : 0;
}

/* libyaml would report these without a line. */
static bool check_bytes(struct reader *r)
{
    struct ib_origin at = {.file = r->file, .line = 1, .column = 1};

    if (r->size > IB_YAML_MAX_SIZE) {
        ib_diag(r->diags, (struct ib_origin){.file = r->file}, "file of %zu bytes is too large",
                r->size);
        ib_diag_expect(r->diags, "expected at most 1 MiB");
        return false;
    }
    for (size_t i = 0; i < r->size;) {
        size_t n = printable_length(r->data + i, r->size - i);
        if (n == 0) {
            ib_diag(r->diags, at, "byte 0x%02x is not allowed here", r->data[i]);
            ib_diag_expect(r->diags, "expected printable text in UTF-8");
            return false;
        }
        at.column++;
        if (r->data[i] == '\n') {
            at.line++;
            at.column = 1;
        }
        i += n;
    }
    return true;
}

static void report_syntax(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    struct ib_origin at = place(r, p->problem_mark);
    size_t index = p->problem_mark.index; /* in characters; exact for the check below in ASCII */

    r->failed = true;
    if (index < r->size && r->data[index] == '\t') {
        ib_diag(r->diags, at, "a tab cannot indent or separate in YAML");
        ib_diag_expect(r->diags, "expected spaces");
        return;
    }
    ib_diag(r->diags, at, "%s", p->problem ? p->problem : "not YAML");
    if (p->context)
        ib_diag_expect(r->diags, "%s that begins on line %zu", p->context,
                       p->context_mark.line + 1);
}

static bool next_event(struct reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event))
        return true;
    report_syntax(r);
    return false;
}

static void refuse(struct reader *r, const yaml_event_t *event, const char *what, const char *cure)
{
    ib_diag(r->diags, place(r, event->start_mark), "%s", what);
    ib_diag_expect(r->diags, "%s", cure);
    r->failed = true;
}

/*
 * Recipes need no anchors, aliases and tags, and a few lines of aliases can unfold to gigabytes. An
 * alias ends the reading (its value is missing); the others are reported and passed over.
 */
static void check_plainness(struct reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        refuse(r, event, "aliases ('*name') are not allowed", "write the value out");
        return;
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (!anchor && !tag)
        return;
    ib_diag(r->diags, place(r, event->start_mark), "%s are not allowed",
            anchor ? "anchors ('&name')" : "tags ('!name')");
    ib_diag_expect(r->diags, anchor ? "write the value out" : "the key decides the type");
}

static struct ib_yaml_node *read_node(struct reader *r, const yaml_event_t *event, unsigned depth);

static struct ib_yaml_node *read_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    yaml_scalar_style_t style = event->data.scalar.style;

    if (memchr(text, 0, length)) {
        refuse(r, event, "a string holds a NUL character", "expected text");
        return NULL;
    }
    struct ib_yaml_node *node = ib_calloc(1, sizeof(*node));
    *node = (struct ib_yaml_node){
        .kind = IB_YAML_SCALAR,
        .at = place(r, event->start_mark),
        .text = ib_strndup(text, length),
        .is_plain = style == YAML_PLAIN_SCALAR_STYLE,
        .is_block = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE,
    };
    return node;
}

static bool is_end(const yaml_event_t *event)
{
    return event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT;
}

/* Reads the next node of a collection; NULL at its end or after a failure. */
static struct ib_yaml_node *read_next(struct reader *r, unsigned depth)
{
    yaml_event_t event;
    struct ib_yaml_node *node = NULL;

    if (!next_event(r, &event))
        return NULL;
    if (!is_end(&event))
        node = read_node(r, &event, depth);
    yaml_event_delete(&event);
    return node;
}

static size_t grown(size_t count)
{
    /* Doubles at powers of two. */
    return count == 0 ? 1 : count * 2;
}

static void read_items(struct reader *r, struct ib_yaml_node *node, unsigned depth)
{
    struct ib_yaml_node *item;

    while ((item = read_next(r, depth))) {
        if ((node->count & (node->count - 1)) == 0)
            node->items =
                ib_reallocarray(node->items, grown(node->count), sizeof(struct ib_yaml_node *));
        node->items[node->count++] = item;
    }
}

/* The reason why a key cannot stand in this mapping was reported: false. */
static bool check_key(struct reader *r, const struct ib_yaml_node *node,
                      const struct ib_yaml_node *key)
{
    if (key->kind != IB_YAML_SCALAR) {
        ib_diag(r->diags, key->at, "a key is %s", ib_yaml_describe(key));
        ib_diag_expect(r->diags, "expected a word");
        return false;
    }
    if (key->text[0] == 0) {
        ib_diag(r->diags, key->at, "a key is empty");
        return false;
    }
    const struct ib_yaml_node *first = ib_yaml_get(node, key->text);
    if (first) {
        ib_diag(r->diags, key->at, "key '%s' stands here twice", key->text);
        ib_diag_expect(r->diags, "its first value is on line %u", first->at.line);
        return false;
    }
    return true;
}

/* Takes key and value, or frees them. */
static void add_pair(struct reader *r, struct ib_yaml_node *node, struct ib_yaml_node *key,
                     struct ib_yaml_node *value)
{
    if (!check_key(r, node, key)) {
        ib_yaml_free(key);
        ib_yaml_free(value);
        return;
    }
    if ((node->count & (node->count - 1)) == 0)
        node->pairs = ib_reallocarray(node->pairs, grown(node->count), sizeof(struct ib_yaml_pair));
    node->pairs[node->count++] = (struct ib_yaml_pair){.key = key, .value = value};
}

static void read_pairs(struct reader *r, struct ib_yaml_node *node, unsigned depth)
{
    struct ib_yaml_node *key;

    while ((key = read_next(r, depth))) {
        struct ib_yaml_node *value = read_next(r, depth);
        if (!value) {
            ib_yaml_free(key);
            return;
        }
        add_pair(r, node, key, value);
        if (node->count > MAX_PAIRS) {
            ib_diag(r->diags, node->at, "a mapping has more than %d keys", MAX_PAIRS);
            r->failed = true;
            return;
        }
    }
}

static struct ib_yaml_node *read_collection(struct reader *r, const yaml_event_t *event,
                                            unsigned depth)
{
    if (depth >= IB_YAML_MAX_DEPTH) {
        ib_diag(r->diags, place(r, event->start_mark), "nested too deeply");
        ib_diag_expect(r->diags, "expected at most %d levels", IB_YAML_MAX_DEPTH);
        r->failed = true;
        return NULL;
    }
    struct ib_yaml_node *node = ib_calloc(1, sizeof(*node));
    node->at = place(r, event->start_mark);
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = IB_YAML_SEQUENCE;
        read_items(r, node, depth + 1);
    } else {
        node->kind = IB_YAML_MAPPING;
        read_pairs(r, node, depth + 1);
    }
    return node;
}

static struct ib_yaml_node *read_node(struct reader *r, const yaml_event_t *event, unsigned depth)
{
    struct ib_yaml_node *node;

    if (++r->node_count > MAX_NODES) {
        ib_diag(r->diags, place(r, event->start_mark), "more than %d values in one file",
                MAX_NODES);
        r->failed = true;
        return NULL;
    }
    check_plainness(r, event);
    if (r->failed)
        return NULL;
    node =
        event->type == YAML_SCALAR_EVENT ? read_scalar(r, event) : read_collection(r, event, depth);
    if (r->failed)
        return ib_yaml_free(node);
    return node;
}

/* Reads the events around the one document: stream and document start and end. */
static struct ib_yaml_node *read_document(struct reader *r)
{
    yaml_event_t event;
    _cleanup_(ib_yaml_freep) struct ib_yaml_node *root = NULL;

    for (bool done = false; !done && !r->failed;) {
        if (!next_event(r, &event))
            return NULL;
        switch (event.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            done = true;
            break;
        case YAML_DOCUMENT_START_EVENT:
            if (root)
                refuse(r, &event, "a second document begins", "expected one document in a file");
            break;
        default:
            root = read_node(r, &event, 0);
        }
        yaml_event_delete(&event);
    }
    return r->failed ? NULL : ib_steal(&root);
}

struct ib_yaml_node *ib_yaml_parse(const char *file, const void *data, size_t size,
                                   struct ib_diags *diags)
{
    struct reader r = {.file = file, .data = data, .size = size, .diags = diags};

    if (!check_bytes(&r))
        return NULL;
    if (!yaml_parser_initialize(&r.parser))
        abort(); /* out of memory is its only reason */
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, data ? data : (const unsigned char *)"", size);
    struct ib_yaml_node *root = read_document(&r);
    yaml_parser_delete(&r.parser);
    if (!root && !r.failed) {
        root = ib_calloc(1, sizeof(*root));
        *root = (struct ib_yaml_node){
            .kind = IB_YAML_MAPPING,
            .at = {.file = file, .line = 1, .column = 1},
        };
    }
    return root;
}

struct ib_yaml_node *ib_yaml_get(const struct ib_yaml_node *mapping, const char *key)
{
    assert(mapping->kind == IB_YAML_MAPPING);
    for (size_t i = 0; i < mapping->count; i++)
        if (ib_streq(mapping->pairs[i].key->text, key))
            return mapping->pairs[i].value;
    return NULL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (ib_streq(text, *words))
            return true;
    return false;
}

static bool is_int(const char *s)
{
    size_t n;

    if (s[0] == '0' && s[1] == 'o')
        return s[2] && s[2 + strspn(s + 2, "01234567")] == 0;
    if (s[0] == '0' && s[1] == 'x')
        return s[2] && s[2 + strspn(s + 2, "0123456789abcdefABCDEF")] == 0;
    s += *s == '-' || *s == '+';
    n = strspn(s, "0123456789");
    return n > 0 && s[n] == 0;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? and the words. */
static bool is_float(const char *s)
{
    static const char *const words[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                        "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                        ".NaN",  ".NAN",  NULL};
    size_t whole, fraction = 0;

    if (is_one_of(s, words))
        return true;
    s += *s == '-' || *s == '+';
    whole = strspn(s, "0123456789");
    s += whole;
    if (*s == '.') {
        fraction = strspn(s + 1, "0123456789");
        s += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t exponent = strspn(s, "0123456789");
        if (exponent == 0)
            return false;
        s += exponent;
    }
    return *s == 0;
}

enum ib_yaml_type ib_yaml_scalar_type(const struct ib_yaml_node *scalar)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const bools[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};

    assert(scalar->kind == IB_YAML_SCALAR);
    if (!scalar->is_plain)
        return IB_YAML_STRING;
    if (is_one_of(scalar->text, nulls))
        return IB_YAML_NULL;
    if (is_one_of(scalar->text, bools))
        return IB_YAML_BOOL;
    if (is_int(scalar->text))
        return IB_YAML_INT;
    return is_float(scalar->text) ? IB_YAML_FLOAT : IB_YAML_STRING;
}

bool ib_yaml_bool(const struct ib_yaml_node *scalar)
{
    return scalar->text[0] == 't' || scalar->text[0] == 'T';
}

bool ib_yaml_int(const struct ib_yaml_node *scalar, int64_t *ret)
{
    const char *s = scalar->text;
    int base = 10;
    char *end;

    if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
        base = s[1] == 'o' ? 8 : 16;
        s += 2;
    }
    errno = 0;
    long long v = strtoll(s, &end, base);
    if (errno || *end)
        return false;
    *ret = v;
    return true;
}

const char *ib_yaml_describe(const struct ib_yaml_node *node)
{
    static const char *const types[] = {
        [IB_YAML_NULL] = "empty",     [IB_YAML_BOOL] = "true or false", [IB_YAML_INT] = "a number",
        [IB_YAML_FLOAT] = "a number", [IB_YAML_STRING] = "a string",
    };

    if (node->kind == IB_YAML_SCALAR)
        return types[ib_yaml_scalar_type(node)];
    return node->kind == IB_YAML_MAPPING ? "a mapping" : "a list";
}
