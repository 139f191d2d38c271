/* SPDX-License-Identifier: Apache-2.0 */
#include "model/show.h"

#include <jansson.h>
#include <string.h>

#include "recipe_private.h"

static json_t *checked(json_t *value)
{
    if (!value)
        abort(); /* memory */
    return value;
}

static void append_new(json_t *array, json_t *value)
{
    if (json_array_append_new(array, checked(value)) < 0)
        abort();
}

static void set_new(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, checked(value)) < 0)
        abort();
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

/* Text in columns */

#define MAX_COLUMNS 6

struct table {
    struct ib_strv cells; /* row by row */
    size_t columns;
};

static void add_row(struct table *t, const char *const *cells)
{
    for (size_t i = 0; i < t->columns; i++)
        ib_strv_add(&t->cells, or_empty(cells[i]));
}

/* Characters on a terminal: bytes that begin one in UTF-8. */
static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

/* A column is at most `limit` wide; what is longer pushes the rest of its line. */
static void append_table(struct ib_buf *buf, const char *title, struct table *t, size_t limit)
{
    size_t width[MAX_COLUMNS] = {0};

    for (size_t i = 0; i < t->cells.count; i++) {
        size_t w = width_of(t->cells.items[i]);
        if (w <= limit)
            width[i % t->columns] = IB_MAX(width[i % t->columns], w);
    }
    if (t->cells.count)
        ib_buf_printf(buf, "%s\n", title);
    for (size_t i = 0; i < t->cells.count; i++) {
        const char *cell = t->cells.items[i];
        size_t w = width_of(cell), column = i % t->columns;
        ib_buf_printf(buf, "%s%s", column ? "" : "  ", cell);
        if (column + 1 < t->columns)
            ib_buf_printf(buf, "%*s", w < width[column] ? (int)(width[column] - w) + 2 : 2, "");
        else
            while (buf->size && buf->data[buf->size - 1] == ' ')
                buf->data[--buf->size] = 0;
        if (column + 1 == t->columns)
            ib_buf_append_str(buf, "\n");
    }
    ib_strv_clear(&t->cells);
}

/* List */

static void list_nodes(struct ib_buf *buf, const struct ib_recipe *recipe)
{
    struct table t = {.columns = 6};

    for (size_t i = 0; i < recipe->node_specs.count; i++) {
        const struct ib_node_spec *n = &recipe->node_specs.items[i];
        char address[IB_IPV4_TEXT_SIZE];
        _cleanup_(ib_freep) char *role =
            ib_asprintf("%s%s", n->root->role->name, n->founder ? " (founder)" : "");
        add_row(&t, (const char *[]){n->name, role, ib_ipv4_format(n->address, address),
                                     n->hardware->name, n->root->base->name, NULL});
    }
    append_table(buf, "nodes", &t, 60);
}

#define DEFINE_LIST_NAMED(function, title, list)                              \
    static void function(struct ib_buf *buf, const struct ib_recipe *recipe)  \
    {                                                                         \
        struct table t = {.columns = 2};                                      \
        for (size_t i = 0; i < recipe->list.count; i++)                       \
            add_row(&t, (const char *[]){recipe->list.items[i].name,          \
                                         recipe->list.items[i].description}); \
        append_table(buf, title, &t, 60);                                     \
    }
DEFINE_LIST_NAMED(list_roles, "roles", roles)
DEFINE_LIST_NAMED(list_bases, "bases", bases)
DEFINE_LIST_NAMED(list_hardware, "hardware", hardware)

static void list_payloads(struct ib_buf *buf, const struct ib_recipe *recipe)
{
    struct table t = {.columns = 3};

    for (size_t i = 0; i < recipe->cluster.payloads.count; i++) {
        const struct ib_payload *p = &recipe->cluster.payloads.items[i];
        add_row(&t, (const char *[]){p->name, p->version, p->path});
    }
    append_table(buf, "payloads", &t, 60);
}

char *ib_recipe_list_text(const struct ib_recipe *recipe)
{
    struct ib_buf buf = {0};

    list_nodes(&buf, recipe);
    list_roles(&buf, recipe);
    list_bases(&buf, recipe);
    list_hardware(&buf, recipe);
    list_payloads(&buf, recipe);
    return ib_buf_steal_string(&buf);
}

static json_t *nodes_json(const struct ib_recipe *recipe)
{
    json_t *nodes = checked(json_array());

    for (size_t i = 0; i < recipe->node_specs.count; i++) {
        const struct ib_node_spec *n = &recipe->node_specs.items[i];
        char address[IB_IPV4_TEXT_SIZE], mac[IB_MAC_TEXT_SIZE];
        append_new(nodes,
                   json_pack("{s:s s:s s:s s:s s:s s:s s:b}", "name", n->name, "role",
                             n->root->role->name, "base", n->root->base->name, "hardware",
                             n->hardware->name, "address", ib_ipv4_format(n->address, address),
                             "mac", ib_mac_format(&n->mac, mac), "founder", n->founder));
    }
    return nodes;
}

static json_t *roles_json(const struct ib_recipe *recipe)
{
    json_t *roles = checked(json_array());

    for (size_t i = 0; i < recipe->roles.count; i++) {
        const struct ib_role *role = &recipe->roles.items[i];
        json_t *nodes = checked(json_array());
        for (size_t k = 0; k < recipe->nodes.count; k++)
            if (ib_streq(recipe->nodes.items[k].role, role->name))
                append_new(nodes, json_string(recipe->nodes.items[k].name));
        append_new(roles, json_pack("{s:s s:s? s:s s:o}", "name", role->name, "description",
                                    role->description, "k3s", ib_k3s_mode_name(role->k3s.mode),
                                    "nodes", nodes));
    }
    return roles;
}

static json_t *bases_json(const struct ib_recipe *recipe)
{
    json_t *bases = checked(json_array());

    for (size_t i = 0; i < recipe->bases.count; i++) {
        const struct ib_base *b = &recipe->bases.items[i];
        append_new(bases, json_pack("{s:s s:s? s:s s:s s:s s:b}", "name", b->name, "description",
                                    b->description, "kind", ib_base_kind_name(b->kind), "family",
                                    ib_family_name(b->family), "architecture",
                                    ib_architecture_name(b->architecture), "default",
                                    ib_streq(b->name, recipe->cluster.base)));
    }
    return bases;
}

struct json_t *ib_recipe_list_json(const struct ib_recipe *recipe)
{
    json_t *hardware = checked(json_array()), *payloads = checked(json_array());

    for (size_t i = 0; i < recipe->hardware.count; i++)
        append_new(hardware, json_pack("{s:s s:s?}", "name", recipe->hardware.items[i].name,
                                       "description", recipe->hardware.items[i].description));
    for (size_t i = 0; i < recipe->cluster.payloads.count; i++) {
        const struct ib_payload *p = &recipe->cluster.payloads.items[i];
        append_new(payloads, json_pack("{s:s s:s s:s}", "name", p->name, "version", p->version,
                                       "path", p->path));
    }
    return checked(json_pack("{s:{s:s s:s} s:o s:o s:o s:o s:o}", "cluster", "name",
                             recipe->cluster.name, "domain", recipe->cluster.domain, "nodes",
                             nodes_json(recipe), "roles", roles_json(recipe), "bases",
                             bases_json(recipe), "hardware", hardware, "payloads", payloads));
}

/* Show */

/* What the rows of one spec are collected into. */
struct rows {
    struct table table;
    struct ib_buf last_key; /* repeated keys of a list are left out */
    json_t *origins;        /* or this, with the prefix before each path */
    const char *prefix;
};

static char *origin_text(struct ib_origin at)
{
    if (!at.file)
        return NULL;
    return ib_asprintf("%s:%u", at.file, at.line);
}

/* "packages[3]" is shown as "packages", and only on the first row of its list. */
static char *shown_key(struct rows *rows, const char *path)
{
    size_t n = strlen(path);
    const char *open = strrchr(path, '[');

    if (open && path[n - 1] == ']')
        n = (size_t)(open - path);
    _cleanup_(ib_freep) char *key = ib_strndup(path, n);
    bool again = ib_streq((const char *)rows->last_key.data, key);
    ib_buf_clear(&rows->last_key);
    ib_buf_append_str(&rows->last_key, key);
    return again ? ib_strdup("") : ib_steal(&key);
}

static void add_value(const char *path, const char *text, struct ib_origin at, void *userdata)
{
    struct rows *rows = userdata;
    _cleanup_(ib_freep) char *origin = origin_text(at);

    if (rows->origins) {
        _cleanup_(ib_freep) char *name = ib_asprintf("%s.%s", rows->prefix, path);
        if (origin)
            set_new(rows->origins, name, json_string(origin));
        return;
    }
    _cleanup_(ib_freep) char *key = shown_key(rows, path);
    size_t n = strcspn(text, "\n");
    _cleanup_(ib_freep) char *line =
        text[n] && text[n + 1] ? ib_asprintf("%.*s …", (int)n, text) : ib_strndup(text, n);
    add_row(&rows->table, (const char *[]){key, line, origin ? origin : "(default)"});
}

static void append_spec(struct ib_buf *buf, const char *title, const struct ib_schema *schema,
                        const void *spec, const struct ib_recipe *recipe)
{
    struct rows rows = {.table = {.columns = 3}};

    ib_schema_walk(schema, spec, recipe->priv->origins, add_value, &rows);
    append_table(buf, title, &rows.table, 48);
    ib_buf_clear(&rows.last_key);
}

char *ib_recipe_show_text(const struct ib_recipe *recipe, const struct ib_node_spec *node)
{
    struct ib_buf buf = {0};
    const struct ib_root_spec *root = node->root;
    _cleanup_(ib_freep) char *title = ib_asprintf("root %s", root->name);

    ib_buf_printf(&buf, "%s: role %s on %s, %s\n\n", node->name, root->role->name, root->base->name,
                  node->hardware->name);
    append_spec(&buf, "node", &ib_schema_node_spec, node, recipe);
    ib_buf_append_str(&buf, "\n");
    append_spec(&buf, title, &ib_schema_root_spec, root, recipe);
    return ib_buf_steal_string(&buf);
}

/* {"network.dns": …} becomes {"network": {"dns": …}}. */
static json_t *nested(json_t *flat)
{
    json_t *object = checked(json_object());

    for (void *i = json_object_iter(flat); i; i = json_object_iter_next(flat, i)) {
        const char *key = json_object_iter_key(i), *dot = strchr(key, '.');
        json_t *value = json_incref(json_object_iter_value(i));
        if (!dot) {
            set_new(object, key, value);
            continue;
        }
        _cleanup_(ib_freep) char *outer = ib_strndup(key, (size_t)(dot - key));
        if (!json_object_get(object, outer))
            set_new(object, outer, json_object());
        set_new(json_object_get(object, outer), dot + 1, value);
    }
    json_decref(flat);
    return object;
}

struct json_t *ib_recipe_show_json(const struct ib_recipe *recipe, const struct ib_node_spec *node)
{
    const struct ib_root_spec *root = node->root;
    json_t *origins = checked(json_object());
    struct rows rows = {.origins = origins, .prefix = "node"};

    ib_schema_walk(&ib_schema_node_spec, node, recipe->priv->origins, add_value, &rows);
    rows.prefix = "root";
    ib_schema_walk(&ib_schema_root_spec, root, recipe->priv->origins, add_value, &rows);
    return checked(
        json_pack("{s:s s:s s:s s:s s:o s:o s:o}", "name", node->name, "role", root->role->name,
                  "base", root->base->name, "hardware", node->hardware->name, "node",
                  nested(ib_schema_to_json(&ib_schema_node_spec, node)), "root",
                  nested(ib_schema_to_json(&ib_schema_root_spec, root)), "origins", origins));
}

/* Reference */

char *ib_recipe_reference(void)
{
    struct ib_buf buf = {0};
    _cleanup_(ib_freep) char *values = ib_values_markdown();

    ib_buf_append_str(
        &buf,
        "# Recipes\n\n"
        "<!-- Made by `imgbuild schema --markdown` from the tables in "
        "imgbuild/model/recipe_schema.c. -->\n\n"
        "YAML 1.2, strictly read: an unknown key, a wrong type, a name that does not exist is an "
        "error with its\nplace. `yes` and `on` are strings; anchors, aliases and tags are not "
        "taken. `imgbuild schema KIND`\nprints a JSON Schema, with which editors complete and "
        "check while you type.\n\n");
    for (size_t i = 0; i < IB_RECIPE_KIND_COUNT; i++) {
        _cleanup_(ib_freep) char *text = ib_schema_markdown(ib_recipe_kinds[i].schema);
        ib_buf_printf(&buf, "%s\n", text);
    }
    ib_buf_append_str(
        &buf, "## Values\n\n"
              "In kernel arguments, in k3s configuration, in files and overlays marked `template` "
              "these are replaced;\n`$${` stands for `${` itself. In what a role puts into the "
              "root there is no `${node.…}`, since nodes\nshare it.\n\n");
    ib_buf_append_str(&buf, values);
    return ib_buf_steal_string(&buf);
}
