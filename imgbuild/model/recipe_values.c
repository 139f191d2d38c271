/* SPDX-License-Identifier: Apache-2.0 */
/* ${…}: the table of names, and putting their values into text. */
#include <assert.h>
#include <string.h>

#include "recipe_private.h"

/* Where values come from; node is NULL in a root's scope. */
struct scope {
    const struct ib_cluster *cluster;
    const struct ib_root_spec *root;
    const struct ib_node_spec *node;
};

struct row {
    const char *name;
    char *(*get)(const struct scope *s); /* the caller frees */
    const char *doc;
};

#define TEXT_GETTER(name, expression)                       \
    static char *name(const struct scope *s)                \
    {                                                       \
        return ib_strdup((expression) ? (expression) : ""); \
    }
#define IPV4_GETTER(name, expression)                        \
    static char *name(const struct scope *s)                 \
    {                                                        \
        char buf[IB_IPV4_TEXT_SIZE];                         \
        return ib_strdup(ib_ipv4_format((expression), buf)); \
    }

TEXT_GETTER(cluster_name, s->cluster->name)
TEXT_GETTER(cluster_domain, s->cluster->domain)
TEXT_GETTER(cluster_timezone, s->cluster->timezone)
IPV4_GETTER(cluster_vip, s->cluster->network.vip)
IPV4_GETTER(cluster_gateway, s->cluster->network.gateway)
IPV4_GETTER(cluster_netmask, ib_network_mask(&s->cluster->network.subnet))
TEXT_GETTER(gitops_repository, s->cluster->gitops.repository)
TEXT_GETTER(gitops_revision, s->cluster->gitops.revision)
TEXT_GETTER(role_name, s->root->role->name)
TEXT_GETTER(base_name, s->root->base->name)
TEXT_GETTER(base_family, ib_family_name(s->root->base->family))
TEXT_GETTER(base_architecture, ib_architecture_name(s->root->base->architecture))
TEXT_GETTER(node_name, s->node->name)
TEXT_GETTER(node_hostname, s->node->hostname)
TEXT_GETTER(node_hardware, s->node->hardware->name)
IPV4_GETTER(node_address, s->node->address)

static char *cluster_subnet(const struct scope *s)
{
    char buf[IB_NETWORK_TEXT_SIZE];

    return ib_strdup(ib_network_format(&s->cluster->network.subnet, buf));
}

static char *cluster_prefix(const struct scope *s)
{
    return ib_asprintf("%u", s->cluster->network.subnet.prefix);
}

static char *cluster_dns(const struct scope *s)
{
    struct ib_buf buf = {0};
    char address[IB_IPV4_TEXT_SIZE];

    for (size_t i = 0; i < s->cluster->network.dns.count; i++)
        ib_buf_printf(&buf, "%s%s", i ? "," : "",
                      ib_ipv4_format(s->cluster->network.dns.items[i], address));
    return ib_buf_steal_string(&buf);
}

static char *cluster_pool(const struct scope *s)
{
    char buf[IB_RANGE_TEXT_SIZE];

    if (!s->cluster->network.load_balancer_pool.last)
        return ib_strdup("");
    return ib_strdup(ib_range_format(&s->cluster->network.load_balancer_pool, buf));
}

static char *node_mac(const struct scope *s)
{
    char buf[IB_MAC_TEXT_SIZE];

    return ib_strdup(ib_mac_format(&s->node->mac, buf));
}

/* The names; those of a node begin with "node.". */
static const struct row rows[] = {
    {"base.architecture", base_architecture, "Processor of the base: `x86_64`, `aarch64`."},
    {"base.family", base_family, "`debian` or `fedora`."},
    {"base.name", base_name, "Name of the node's base."},
    {"cluster.domain", cluster_domain, "Domain of the nodes."},
    {"cluster.gitops.repository", gitops_repository, "Git repository that Argo CD deploys from."},
    {"cluster.gitops.revision", gitops_revision, "Its branch or tag."},
    {"cluster.name", cluster_name, "Name of the cluster."},
    {"cluster.network.dns", cluster_dns, "Name servers with commas between them."},
    {"cluster.network.gateway", cluster_gateway, "Default route."},
    {"cluster.network.load_balancer_pool", cluster_pool, "FIRST-LAST, or empty."},
    {"cluster.network.netmask", cluster_netmask, "Such as 255.255.255.0."},
    {"cluster.network.prefix", cluster_prefix, "Length of the network: 24."},
    {"cluster.network.subnet", cluster_subnet, "The network: 10.10.10.0/24."},
    {"cluster.timezone", cluster_timezone, "Time zone."},
    {"cluster.vip", cluster_vip, "Virtual address of the control plane."},
    {"node.address", node_address, "IPv4 address of the node."},
    {"node.hardware", node_hardware, "Name of its hardware profile."},
    {"node.hostname", node_hostname, "Its name with the domain."},
    {"node.mac", node_mac, "Its MAC address."},
    {"node.name", node_name, "Its name."},
    {"role.name", role_name, "Name of the node's role."},
};

static bool is_node_name(const char *name)
{
    return ib_startswith(name, "node.");
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct ib_pair *)a)->key, ((const struct ib_pair *)b)->key);
}

void ib_values_make(struct ib_values *ret, const struct ib_cluster *cluster,
                    const struct ib_root_spec *root, const struct ib_node_spec *node)
{
    struct scope s = {.cluster = cluster, .root = root, .node = node};
    struct ib_pairs *pairs = &ret->pairs;

    ret->has_node = node != NULL;
    pairs->items =
        ib_calloc(IB_ARRAY_SIZE(rows) + 2 * cluster->payloads.count, sizeof(*pairs->items));
    for (size_t i = 0; i < IB_ARRAY_SIZE(rows); i++)
        if (node || !is_node_name(rows[i].name))
            pairs->items[pairs->count++] =
                (struct ib_pair){.key = ib_strdup(rows[i].name), .value = rows[i].get(&s)};
    for (size_t i = 0; i < cluster->payloads.count; i++) {
        const struct ib_payload *p = &cluster->payloads.items[i];
        pairs->items[pairs->count++] = (struct ib_pair){
            .key = ib_asprintf("payload.%s.path", p->name), .value = ib_strdup(p->path)};
        pairs->items[pairs->count++] = (struct ib_pair){
            .key = ib_asprintf("payload.%s.version", p->name), .value = ib_strdup(p->version)};
    }
    qsort(pairs->items, pairs->count, sizeof(*pairs->items), compare_pairs);
}

void ib_values_clear(struct ib_values *values)
{
    for (size_t i = 0; i < values->pairs.count; i++) {
        free(values->pairs.items[i].key);
        free(values->pairs.items[i].value);
    }
    free(values->pairs.items);
}

const struct ib_values *ib_node_values(const struct ib_recipe *recipe,
                                       const struct ib_node_spec *node)
{
    return &recipe->priv->node_values[node - recipe->node_specs.items];
}

const struct ib_values *ib_root_values(const struct ib_recipe *recipe,
                                       const struct ib_root_spec *root)
{
    return &recipe->priv->root_values[root - recipe->root_specs.items];
}

/* A piece of a text: literal, or the name inside ${…}. */
struct piece {
    const char *text;
    size_t size;
    bool is_name, is_unclosed;
    size_t at; /* offset of the piece in the whole */
};

/* The next piece at *offset, which moves behind it; false at the end. */
static bool next_piece(const char *text, size_t size, size_t *offset, struct piece *ret)
{
    size_t i = *offset;

    if (i >= size)
        return false;
    *ret = (struct piece){.text = text + i, .at = i};
    if (size - i >= 3 && memcmp(text + i, "$${", 3) == 0) {
        ret->text++;
        ret->size = 2;
        *offset = i + 3;
        return true;
    }
    if (size - i >= 2 && memcmp(text + i, "${", 2) == 0) {
        size_t n = i + 2;
        while (n < size && text[n] != '}' && text[n] != '\n')
            n++;
        ret->is_name = true;
        ret->is_unclosed = n == size || text[n] == '\n';
        ret->text += 2;
        ret->size = n - i - 2;
        *offset = ret->is_unclosed ? n : n + 1;
        return true;
    }
    /* literal up to the next '$' that opens something */
    size_t n = i + 1;
    while (n < size && text[n] != '$')
        n++;
    ret->size = n - i;
    *offset = n;
    return true;
}

static struct ib_origin place_in(const char *text, size_t offset, struct ib_origin begin)
{
    for (size_t i = 0; i < offset; i++) {
        begin.column++;
        if (text[i] == '\n') {
            begin.line++;
            begin.column = 1;
        }
    }
    return begin;
}

static void report_unknown(struct ib_diags *diags, struct ib_origin at, const char *name,
                           const char *const *names, size_t count, bool has_node)
{
    ib_diag(diags, at, "unknown value '${%.60s}'", name);
    if (!has_node && is_node_name(name)) {
        ib_diag_expect(diags, "nodes of one role share this file: put it into the node's recipe");
        return;
    }
    ib_diag_expect(diags, "see 'imgbuild schema --values'; \"$${\" stands for \"${\" itself");
    ib_diag_nearest(diags, name, names, count);
}

static const char *value_of(const struct ib_values *values, const char *name)
{
    struct ib_pair key = {.key = (char *)(uintptr_t)name};
    const struct ib_pair *found = bsearch(&key, values->pairs.items, values->pairs.count,
                                          sizeof(struct ib_pair), compare_pairs);

    return found ? found->value : NULL;
}

static void report_piece(struct ib_diags *diags, const struct piece *piece, struct ib_origin at,
                         const struct ib_values *values)
{
    if (piece->is_unclosed) {
        ib_diag(diags, at, "'${' is not closed");
        ib_diag_expect(diags, "expected '}' on the same line; \"$${\" stands for \"${\" itself");
        return;
    }
    _cleanup_(ib_freep) char *name = ib_strndup(piece->text, piece->size);
    const char **names = ib_calloc(values->pairs.count, sizeof(*names));
    for (size_t i = 0; i < values->pairs.count; i++)
        names[i] = values->pairs.items[i].key;
    report_unknown(diags, at, name, names, values->pairs.count, values->has_node);
    free(names);
}

int ib_recipe_expand(const struct ib_values *values, const char *text, size_t size,
                     const char *file, uint32_t first_line, struct ib_buf *ret,
                     struct ib_diags *diags)
{
    struct ib_origin begin = {.file = file, .line = first_line, .column = 1};
    struct piece piece;
    bool ok = true;

    for (size_t offset = 0; next_piece(text, size, &offset, &piece);) {
        if (!piece.is_name) {
            ib_buf_append(ret, piece.text, piece.size);
            continue;
        }
        _cleanup_(ib_freep) char *name = ib_strndup(piece.text, piece.size);
        const char *value = piece.is_unclosed ? NULL : value_of(values, name);
        if (value) {
            ib_buf_append_str(ret, value);
        } else {
            report_piece(diags, &piece, place_in(text, piece.at, begin), values);
            ok = false;
        }
    }
    return ok ? 0 : -1;
}

char *ib_values_expand(const struct ib_values *values, const char *text)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    struct ib_buf buf = {0};
    int r = ib_recipe_expand(values, text, strlen(text), NULL, 0, &buf, diags);

    assert(r == 0); /* ib_values_check let it pass */
    (void)r;
    return ib_buf_steal_string(&buf);
}

/* All names of a scope: those of the table, and two for each payload. */
static void list_names(const struct ib_recipe *recipe, bool has_node, struct ib_strv *ret)
{
    const struct ib_strv *payloads = &recipe->priv->payload_names;

    for (size_t i = 0; i < IB_ARRAY_SIZE(rows); i++)
        if (has_node || !is_node_name(rows[i].name))
            ib_strv_add(ret, rows[i].name);
    for (size_t i = 0; i < payloads->count; i++) {
        ib_strv_addf(ret, "payload.%s.path", payloads->items[i]);
        ib_strv_addf(ret, "payload.%s.version", payloads->items[i]);
    }
}

void ib_values_check(const struct checker *c, const char *text, struct ib_origin at, bool has_node)
{
    size_t size = strlen(text);
    struct piece piece;
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (!strstr(text, "${"))
        return;
    if (strchr(text, '\n')) { /* a block: its text begins on the line below "|" */
        at.line++;
        at.column = 1;
    }
    list_names(c->recipe, has_node, &names);
    for (size_t offset = 0; next_piece(text, size, &offset, &piece);) {
        if (!piece.is_name)
            continue;
        _cleanup_(ib_freep) char *name = ib_strndup(piece.text, piece.size);
        struct ib_origin here = place_in(text, piece.at, at);
        if (piece.is_unclosed)
            report_piece(c->diags, &piece, here, &(struct ib_values){0});
        else if (!ib_strv_contains(&names, name))
            report_unknown(c->diags, here, name, (const char *const *)names.items, names.count,
                           has_node);
    }
}

char *ib_values_markdown(void)
{
    struct ib_buf buf = {0};

    ib_buf_append_str(&buf, "| value | meaning |\n|---|---|\n");
    for (size_t i = 0; i < IB_ARRAY_SIZE(rows); i++)
        ib_buf_printf(&buf, "| `${%s}` | %s |\n", rows[i].name, rows[i].doc);
    ib_buf_append_str(&buf, "| `${payload.NAME.path}` | Where a payload is put. |\n"
                            "| `${payload.NAME.version}` | Its version. |\n");
    return ib_buf_steal_string(&buf);
}
