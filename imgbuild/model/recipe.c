/* SPDX-License-Identifier: Apache-2.0 */
/* From bytes to the five kinds of structs; checks and what follows from them are in recipe_*.c. */
#include "model/recipe.h"

#include <string.h>

#include "recipe_private.h"
#include "schema_private.h"

/* Lists of a recipe, by the index of their kind in ib_recipe_kinds (0 is the cluster). */
static void *list_of_kind(struct ib_recipe *recipe, size_t kind)
{
    void *const lists[IB_RECIPE_KIND_COUNT] = {NULL, &recipe->bases, &recipe->roles, &recipe->nodes,
                                               &recipe->hardware};

    return lists[kind];
}

static struct ib_strv *names_of_kind(struct ib_recipe_private *priv, size_t kind)
{
    struct ib_strv *const names[IB_RECIPE_KIND_COUNT] = {NULL, &priv->base_names, &priv->role_names,
                                                         &priv->node_names, &priv->hardware_names};

    return names[kind];
}

static void clear_list(const struct ib_schema *schema, void *list)
{
    struct any_list *l = list;

    for (size_t i = 0; i < l->count; i++)
        ib_schema_clear(schema, (char *)l->items + i * schema->size);
    free(l->items);
}

static void free_private(struct ib_recipe_private *priv, size_t root_count, size_t node_count)
{
    for (size_t i = 0; priv->root_values && i < root_count; i++)
        ib_values_clear(&priv->root_values[i]);
    for (size_t i = 0; priv->node_values && i < node_count; i++)
        ib_values_clear(&priv->node_values[i]);
    free(priv->root_values);
    free(priv->node_values);
    ib_origins_free(priv->origins);
    ib_strv_clear(&priv->file_names);
    for (size_t kind = 1; kind < IB_RECIPE_KIND_COUNT; kind++)
        ib_strv_clear(names_of_kind(priv, kind));
    ib_strv_clear(&priv->payload_names);
    ib_strv_clear(&priv->overlays);
    ib_strv_clear(&priv->paths);
    free(priv->base);
    free(priv);
}

struct ib_recipe *ib_recipe_free(struct ib_recipe *recipe)
{
    if (!recipe)
        return NULL;
    ib_schema_clear(&ib_schema_cluster, &recipe->cluster);
    for (size_t kind = 1; kind < IB_RECIPE_KIND_COUNT; kind++)
        clear_list(ib_recipe_kinds[kind].schema, list_of_kind(recipe, kind));
    free_private(recipe->priv, recipe->root_specs.count, recipe->node_specs.count);
    clear_list(&ib_schema_root_spec, &recipe->root_specs);
    clear_list(&ib_schema_node_spec, &recipe->node_specs);
    free(recipe);
    return NULL;
}

void ib_recipe_freep(struct ib_recipe **recipe)
{
    ib_recipe_free(*recipe);
}

void ib_recipe_source_clear(struct ib_recipe_source *source)
{
    for (size_t i = 0; i < source->files.count; i++) {
        free(source->files.items[i].path);
        free(source->files.items[i].data);
    }
    free(source->files.items);
    ib_strv_clear(&source->overlays);
    ib_strv_clear(&source->paths);
    *source = (struct ib_recipe_source){0};
}

/* What a path says: its kind, and the name of the recipe (NULL for the cluster). */
struct file_kind {
    size_t kind; /* IB_RECIPE_KIND_COUNT: none */
    char *name;
};

static bool is_note(const char *path)
{
    return ib_endswith(path, ".md");
}

/* A file that is no recipe is a mistake: a misspelt directory would silently lose a node. */
static void report_stranger(const char *path, struct ib_diags *diags)
{
    static const char *const places[] = {"recipes/cluster.yaml", "recipes/bases/NAME.yaml",
                                         "recipes/roles/NAME.yaml", "recipes/nodes/NAME.yaml",
                                         "firmware/NAME.yaml"};

    ib_diag(diags, (struct ib_origin){.file = path}, "this file is no recipe");
    ib_diag_expect(diags, "expected %s, %s, %s, %s or %s", places[0], places[1], places[2],
                   places[3], places[4]);
}

static struct file_kind classify(const char *path, struct ib_decoder *decoder,
                                 struct ib_diags *diags)
{
    struct file_kind r = {.kind = IB_RECIPE_KIND_COUNT};

    if (ib_streq(path, ib_recipe_kinds[0].directory))
        return (struct file_kind){.kind = 0};
    for (size_t kind = 1; kind < IB_RECIPE_KIND_COUNT; kind++) {
        const char *directory = ib_recipe_kinds[kind].directory;
        if (!ib_startswith(path, directory) || !ib_endswith(path, ".yaml"))
            continue;
        const char *base = path + strlen(directory);
        r.name = ib_strndup(base, strlen(base) - strlen(".yaml"));
        const char *expectation = ib_decoder_check_text(decoder, IB_TYPE_NAME, r.name);
        if (!expectation) {
            r.kind = kind;
            return r;
        }
        ib_diag(diags, (struct ib_origin){.file = path}, "'%s' cannot name a %s", r.name,
                ib_recipe_kinds[kind].name);
        ib_diag_expect(diags, "%s", expectation);
        free(ib_steal(&r.name));
        return r;
    }
    if (!is_note(path))
        report_stranger(path, diags);
    return r;
}

/* One file to be decoded. */
struct entry {
    const struct ib_recipe_file *file;
    const char *path; /* the recipe's own copy */
    struct file_kind kind;
};

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

/* A source that was not made from a directory may hold a path twice. */
static size_t drop_repeats(struct entry *entries, size_t count, struct ib_diags *diags)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !ib_streq(entries[kept - 1].path, entries[i].path)) {
            entries[kept++] = entries[i];
            continue;
        }
        ib_diag(diags, (struct ib_origin){.file = entries[i].path}, "file is given twice");
        free(entries[i].kind.name);
    }
    return kept;
}

static size_t classify_all(struct ib_recipe *recipe, const struct ib_recipe_source *source,
                           struct ib_decoder *decoder, struct ib_diags *diags,
                           struct entry *entries)
{
    struct ib_recipe_private *priv = recipe->priv;
    size_t count = 0;

    for (size_t i = 0; i < source->files.count; i++)
        ib_strv_add(&priv->file_names, source->files.items[i].path);
    for (size_t i = 0; i < source->files.count; i++) {
        struct entry *e = &entries[count];
        *e = (struct entry){.file = &source->files.items[i], .path = priv->file_names.items[i]};
        e->kind = classify(e->path, decoder, diags);
        count += e->kind.kind < IB_RECIPE_KIND_COUNT;
    }
    if (count)
        qsort(entries, count, sizeof(*entries), compare_entries);
    return drop_repeats(entries, count, diags);
}

/* Room for all recipes of each kind at once: their addresses are keys of the origins. */
static void make_room(struct ib_recipe *recipe, const struct entry *entries, size_t count)
{
    for (size_t kind = 1; kind < IB_RECIPE_KIND_COUNT; kind++) {
        struct any_list *list = list_of_kind(recipe, kind);
        size_t n = 0;
        for (size_t i = 0; i < count; i++)
            n += entries[i].kind.kind == kind;
        list->items = ib_calloc(n, ib_recipe_kinds[kind].schema->size);
    }
}

static void decode_entry(struct ib_recipe *recipe, struct ib_decoder *decoder, struct entry *e,
                         struct ib_diags *diags)
{
    size_t kind = e->kind.kind;
    const struct ib_schema *schema = ib_recipe_kinds[kind].schema;
    void *at = &recipe->cluster;
    _cleanup_(ib_yaml_freep) struct ib_yaml_node *root =
        ib_yaml_parse(e->path, e->file->data, e->file->size, diags);

    if (kind > 0) {
        ib_strv_add(names_of_kind(recipe->priv, kind), e->kind.name);
        if (!root)
            return;
        struct any_list *list = list_of_kind(recipe, kind);
        at = (char *)list->items + list->count++ * schema->size;
        ib_schema_decode(decoder, schema, root, at);
        *(char **)at = ib_steal(&e->kind.name); /* `name` is the first field of them all */
        ib_origins_set(recipe->priv->origins, at,
                       (struct ib_origin){.file = e->path, .line = 1, .column = 1});
    } else if (root) {
        ib_schema_decode(decoder, schema, root, at);
        recipe->priv->has_cluster = true;
    }
}

static void check_cluster_is_there(const struct entry *entries, size_t count,
                                   struct ib_diags *diags)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].kind.kind == 0)
            return;
    ib_diag(diags, (struct ib_origin){.file = ib_recipe_kinds[0].directory}, "file is missing");
    ib_diag_expect(diags, "expected what all nodes share: name, domain, network, base");
}

/* The version in a URL: "+" and the like must be percent-encoded (RFC 3986 section 2.1). */
static char *encode(const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    struct ib_buf buf = {0};

    for (; *text; text++) {
        if (strchr(plain, *text))
            ib_buf_append(&buf, text, 1);
        else
            ib_buf_printf(&buf, "%%%02X", (unsigned char)*text);
    }
    return ib_buf_steal_string(&buf);
}

/* Puts the version into a URL, in place; the place of the value stays known. */
static void fill_url(const struct checker *c, char **url, const void *key, const char *version)
{
    static const char name[] = "${version}";
    struct ib_origin at = origin_of(c, key);
    struct ib_buf buf = {0};
    const char *s = *url, *dollar;

    if (!strstr(s, "${") || !version) /* a missing version is reported as such */
        return;
    _cleanup_(ib_freep) char *value = encode(version);
    while ((dollar = strstr(s, "${"))) {
        ib_buf_append(&buf, s, (size_t)(dollar - s));
        if (!ib_startswith(dollar, name)) {
            ib_diag(c->diags, at, "unknown value '%.*s' in a URL",
                    (int)IB_MIN(strcspn(dollar, "}") + 1, strlen(dollar)), dollar);
            ib_diag_expect(c->diags, "expected '%s'", name);
            ib_buf_clear(&buf);
            return;
        }
        ib_buf_append_str(&buf, value);
        s = dollar + strlen(name);
    }
    ib_buf_append_str(&buf, s);
    free(*url);
    *url = ib_buf_steal_string(&buf);
    /* an item of a list is found by its own address, a field by the field's */
    ib_origins_set(c->recipe->priv->origins, key == (void *)url ? key : *url, at);
}

static void fill_urls(struct ib_recipe *recipe, struct ib_diags *diags)
{
    struct checker c = {.recipe = recipe, .diags = diags};

    for (size_t i = 0; i < recipe->cluster.payloads.count; i++) {
        struct ib_payload *p = &recipe->cluster.payloads.items[i];
        for (size_t k = 0; k < p->urls.count; k++)
            fill_url(&c, &p->urls.items[k], p->urls.items[k], p->version);
        if (p->checksums)
            fill_url(&c, &p->checksums, &p->checksums, p->version);
    }
    for (size_t i = 0; i < recipe->bases.count; i++) {
        struct ib_base *b = &recipe->bases.items[i];
        for (size_t k = 0; k < b->urls.count; k++)
            fill_url(&c, &b->urls.items[k], b->urls.items[k], b->version);
        if (b->checksums)
            fill_url(&c, &b->checksums, &b->checksums, b->version);
    }
}

static void decode_all(struct ib_recipe *recipe, const struct ib_recipe_source *source,
                       struct ib_diags *diags)
{
    _cleanup_(ib_decoder_freep) struct ib_decoder *decoder =
        ib_decoder_new(recipe->priv->origins, diags);
    struct entry *entries = ib_calloc(source->files.count, sizeof(*entries));
    size_t count = classify_all(recipe, source, decoder, diags, entries);

    make_room(recipe, entries, count);
    for (size_t i = 0; i < count; i++) {
        decode_entry(recipe, decoder, &entries[i], diags);
        free(entries[i].kind.name);
    }
    check_cluster_is_there(entries, count, diags);
    free(entries);
    for (size_t i = 0; i < recipe->cluster.payloads.count; i++)
        ib_strv_add(&recipe->priv->payload_names, recipe->cluster.payloads.items[i].name);
    fill_urls(recipe, diags);
}

struct ib_recipe *ib_recipe_parse(const struct ib_recipe_source *source, struct ib_diags *diags)
{
    _cleanup_(ib_recipe_freep) struct ib_recipe *recipe = ib_calloc(1, sizeof(*recipe));
    size_t before = ib_diags_count(diags);

    recipe->priv = ib_calloc(1, sizeof(*recipe->priv));
    recipe->priv->origins = ib_origins_new();
    ib_strv_append(&recipe->priv->overlays, &source->overlays);
    ib_strv_append(&recipe->priv->paths, &source->paths);
    recipe->priv->check_paths = source->check_paths;
    recipe->priv->base = ib_strdup(source->base);
    decode_all(recipe, source, diags);
    ib_recipe_check(recipe, diags);
    if (ib_diags_count(diags) == before) {
        ib_recipe_resolve(recipe);
        ib_recipe_check_resolved(recipe, diags);
    }
    ib_diags_sort(diags);
    return ib_diags_count(diags) == before ? ib_steal(&recipe) : NULL;
}

/* Looking up: lists are sorted, and short. */
#define DEFINE_LOOKUP(function, type, list)                                       \
    const struct type *function(const struct ib_recipe *recipe, const char *name) \
    {                                                                             \
        for (size_t i = 0; i < recipe->list.count; i++)                           \
            if (ib_streq(recipe->list.items[i].name, name))                       \
                return &recipe->list.items[i];                                    \
        return NULL;                                                              \
    }

DEFINE_LOOKUP(ib_recipe_base, ib_base, bases)
DEFINE_LOOKUP(ib_recipe_role, ib_role, roles)
DEFINE_LOOKUP(ib_recipe_hardware, ib_hardware, hardware)
DEFINE_LOOKUP(ib_recipe_payload, ib_payload, cluster.payloads)
DEFINE_LOOKUP(ib_recipe_node_spec, ib_node_spec, node_specs)
DEFINE_LOOKUP(ib_recipe_root_spec, ib_root_spec, root_specs)

const struct ib_node_spec *ib_recipe_need_node(const struct ib_recipe *recipe, const char *name,
                                               struct ib_error **err)
{
    const struct ib_node_spec *node = ib_recipe_node_spec(recipe, name);
    const struct ib_strv *names = &recipe->priv->node_names;

    if (node)
        return node;
    const char *nearest = ib_nearest(name, (const char *const *)names->items, names->count);
    _cleanup_(ib_freep) char *all = ib_strv_join(names, ", ");
    ib_failf(err, IB_E_NOT_FOUND, "there is no node '%s'", name);
    if (nearest)
        ib_hint(err, "did you mean '%s'? Nodes: %s", nearest, all);
    else
        ib_hint(err, "nodes: %s", all);
    return NULL;
}

struct ib_origin ib_recipe_origin(const struct ib_recipe *recipe, const void *value)
{
    return ib_origins_get(recipe->priv->origins, value);
}
