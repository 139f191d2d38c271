/* SPDX-License-Identifier: Apache-2.0 */
/* From checked recipes to what a build wants: merged, with every ${…} value put in. */
#include <assert.h>
#include <jansson.h>
#include <string.h>

#include "recipe_private.h"
#include "schema_private.h"

static struct ib_origins *origins_of(const struct ib_recipe *recipe)
{
    return recipe->priv->origins;
}

/* Adds what is not there yet; places go along. */
static void add_all(const struct ib_recipe *recipe, struct ib_strv *ret, const struct ib_strv *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (ib_strv_contains(ret, list->items[i]))
            continue;
        ib_strv_add(ret, list->items[i]);
        ib_origins_copy(origins_of(recipe), ret->items[ret->count - 1], list->items[i]);
    }
}

static void add_by_family(const struct ib_recipe *recipe, struct ib_strv *ret,
                          const struct ib_by_family *lists, enum ib_family family)
{
    add_all(recipe, ret, &lists->all);
    add_all(recipe, ret, family == IB_FAMILY_DEBIAN ? &lists->debian : &lists->fedora);
}

static char *copy_text(const struct ib_recipe *recipe, char *const *text, char *const *key)
{
    ib_origins_copy(origins_of(recipe), key, text);
    return ib_strdup(*text);
}

/* Copies a list of structs by their schema. The lists have the layout of struct any_list. */
static void copy_structs(const struct ib_recipe *recipe, const struct ib_schema *schema, void *ret,
                         const void *list)
{
    const struct any_list *from = list;
    struct any_list *to = ret;

    to->items = ib_calloc(from->count, schema->size);
    for (; to->count < from->count; to->count++) {
        size_t offset = to->count * schema->size;
        ib_schema_copy(schema, (char *)to->items + offset, (const char *)from->items + offset,
                       origins_of(recipe));
    }
}

static int compare_pairs(const void *a, const void *b)
{
    return strcmp(((const struct ib_pair *)a)->key, ((const struct ib_pair *)b)->key);
}

/* Origins are kept by address, so sorting happens before they are copied. */
static void copy_sorted_pairs(const struct ib_recipe *recipe, struct ib_pairs *ret,
                              const struct ib_pairs *pairs)
{
    const struct ib_pair **order = ib_calloc(pairs->count, sizeof(*order));

    for (size_t i = 0; i < pairs->count; i++) {
        size_t k = i;
        for (; k > 0 && compare_pairs(order[k - 1], &pairs->items[i]) > 0; k--)
            order[k] = order[k - 1];
        order[k] = &pairs->items[i];
    }
    ret->items = ib_calloc(pairs->count, sizeof(*ret->items));
    for (; ret->count < pairs->count; ret->count++) {
        struct ib_pair *to = &ret->items[ret->count];
        *to = (struct ib_pair){.key = ib_strdup(order[ret->count]->key),
                               .value = ib_strdup(order[ret->count]->value)};
        ib_origins_copy(origins_of(recipe), to, order[ret->count]);
    }
    free(order);
}

/* Files: templates written in the recipe get their values now, those from files when read. */
static void expand_files(struct ib_file *files, size_t count, const struct ib_values *values)
{
    for (size_t i = 0; i < count; i++) {
        if (!files[i].is_template || !files[i].content)
            continue;
        char *content = ib_values_expand(values, files[i].content);
        free(files[i].content);
        files[i].content = content;
    }
}

/* Roots */

static const char *default_base(const struct ib_recipe *recipe)
{
    return recipe->priv->base ? recipe->priv->base : recipe->cluster.base;
}

static const char *base_name(const struct ib_recipe *recipe, const struct ib_recipe_node *node)
{
    return node->base && !recipe->priv->base ? node->base : default_base(recipe);
}

static bool is_of_root(const struct ib_recipe *recipe, const struct ib_root_spec *root,
                       const struct ib_recipe_node *node)
{
    return ib_streq(root->role->name, node->role) &&
           ib_streq(root->base->name, base_name(recipe, node));
}

static void merge_packages(const struct ib_recipe *recipe, struct ib_root_spec *root)
{
    enum ib_family family = root->base->family;

    add_all(recipe, &root->packages, &root->base->packages);
    add_by_family(recipe, &root->packages, &root->role->packages, family);
    for (size_t i = 0; i < recipe->nodes.count; i++) {
        const struct ib_recipe_node *node = &recipe->nodes.items[i];
        if (is_of_root(recipe, root, node))
            add_by_family(recipe, &root->packages,
                          &ib_recipe_hardware(recipe, node->hardware)->firmware, family);
    }
    add_all(recipe, &root->remove_packages, &root->base->remove_packages);
    add_by_family(recipe, &root->remove_packages, &root->role->remove_packages, family);
    ib_strv_sort(&root->packages);
    ib_strv_sort(&root->remove_packages);
}

static void merge_services(const struct ib_recipe *recipe, struct ib_root_spec *root)
{
    enum ib_family family = root->base->family;

    add_all(recipe, &root->enable, &root->base->services.enable);
    add_by_family(recipe, &root->enable, &root->role->services.enable, family);
    add_all(recipe, &root->disable, &root->base->services.disable);
    add_by_family(recipe, &root->disable, &root->role->services.disable, family);
    add_all(recipe, &root->mask, &root->base->services.mask);
    add_by_family(recipe, &root->mask, &root->role->services.mask, family);
    ib_strv_sort(&root->enable);
    ib_strv_sort(&root->disable);
    ib_strv_sort(&root->mask);
}

static void copy_payloads(const struct ib_recipe *recipe, struct ib_root_spec *root)
{
    const struct ib_strv *names = &root->role->payloads;

    root->payloads.items = ib_calloc(names->count, sizeof(*root->payloads.items));
    for (; root->payloads.count < names->count; root->payloads.count++)
        ib_schema_copy(&ib_schema_payload, &root->payloads.items[root->payloads.count],
                       ib_recipe_payload(recipe, names->items[root->payloads.count]),
                       origins_of(recipe));
}

static void fill_homes(struct ib_root_spec *root)
{
    for (size_t i = 0; i < root->users.count; i++) {
        struct ib_user *user = &root->users.items[i];
        if (!user->home)
            user->home = ib_asprintf("/home/%s", user->name);
    }
}

static void resolve_root(const struct ib_recipe *recipe, struct ib_root_spec *root,
                         struct ib_values *values)
{
    const struct ib_cluster *cluster = &recipe->cluster;
    const struct ib_role *role = root->role;

    root->name = ib_streq(root->base->name, default_base(recipe))
                     ? ib_strdup(role->name)
                     : ib_asprintf("%s.%s", role->name, root->base->name);
    ib_origins_copy(origins_of(recipe), &root->name, &role->name);
    merge_packages(recipe, root);
    merge_services(recipe, root);
    copy_sorted_pairs(recipe, &root->sysctls, &role->sysctls);
    add_all(recipe, &root->modules, &role->modules);
    copy_structs(recipe, &ib_schema_user, &root->users, &role->users);
    fill_homes(root);
    copy_structs(recipe, &ib_schema_group, &root->groups, &role->groups);
    copy_structs(recipe, &ib_schema_file, &root->files, &role->files);
    copy_structs(recipe, &ib_schema_rule, &root->rules, &role->rules);
    add_all(recipe, &root->overlays, &cluster->overlays);
    add_all(recipe, &root->overlays, &role->overlays);
    copy_payloads(recipe, root);
    root->k3s_mode = role->k3s.mode;
    ib_origins_copy(origins_of(recipe), &root->k3s_mode, &role->k3s.mode);
    add_all(recipe, &root->persist, &cluster->persist);
    add_all(recipe, &root->persist, &role->persist);
    root->timezone = copy_text(recipe, &cluster->timezone, &root->timezone);
    root->locale = copy_text(recipe, &cluster->locale, &root->locale);
    root->keymap = copy_text(recipe, &cluster->keymap, &root->keymap);
    root->compression_level = cluster->image.compression_level;
    ib_origins_copy(origins_of(recipe), &root->compression_level,
                    &cluster->image.compression_level);
    ib_values_make(values, cluster, root, NULL);
    expand_files(root->files.items, root->files.count, values);
}

static struct ib_root_spec *find_root(struct ib_recipe *recipe, const struct ib_recipe_node *node)
{
    for (size_t i = 0; i < recipe->root_specs.count; i++)
        if (is_of_root(recipe, &recipe->root_specs.items[i], node))
            return &recipe->root_specs.items[i];
    return NULL;
}

static int compare_roots(const void *a, const void *b)
{
    const struct ib_root_spec *x = a, *y = b;
    int r = strcmp(x->role->name, y->role->name);

    return r ? r : strcmp(x->base->name, y->base->name);
}

static void resolve_roots(struct ib_recipe *recipe)
{
    recipe->root_specs.items = ib_calloc(recipe->nodes.count, sizeof(struct ib_root_spec));
    for (size_t i = 0; i < recipe->nodes.count; i++) {
        const struct ib_recipe_node *node = &recipe->nodes.items[i];
        if (!find_root(recipe, node))
            recipe->root_specs.items[recipe->root_specs.count++] = (struct ib_root_spec){
                .role = ib_recipe_role(recipe, node->role),
                .base = ib_recipe_base(recipe, base_name(recipe, node)),
            };
    }
    if (recipe->root_specs.count)
        qsort(recipe->root_specs.items, recipe->root_specs.count, sizeof(struct ib_root_spec),
              compare_roots);
    recipe->priv->root_values = ib_calloc(recipe->root_specs.count, sizeof(struct ib_values));
    for (size_t i = 0; i < recipe->root_specs.count; i++)
        resolve_root(recipe, &recipe->root_specs.items[i], &recipe->priv->root_values[i]);
}

/* k3s configuration */

static void *key_address(json_t *object, const char *key)
{
    const void *address = json_object_iter_key(json_object_iter_at(object, key));

    return (void *)(uintptr_t)address;
}

static void set_key(json_t *object, const char *key, json_t *value)
{
    if (!value || json_object_set_new(object, key, value) < 0)
        abort(); /* memory */
}

static void append_value(json_t *array, const json_t *value, struct ib_origins *origins)
{
    if (!json_is_array(value)) {
        if (json_array_append_new(array, ib_any_copy(value, origins)) < 0)
            abort();
        return;
    }
    for (size_t i = 0; i < json_array_size(value); i++)
        if (json_array_append_new(array, ib_any_copy(json_array_get(value, i), origins)) < 0)
            abort();
}

/* "key+" in an overlay of the configuration: appends to what `key` has, as k3s itself does. */
static void append_key(json_t *config, const char *key, const json_t *value,
                       struct ib_origins *origins)
{
    json_t *array = json_array(), *old = json_object_get(config, key);

    if (old)
        append_value(array, old, origins);
    append_value(array, value, origins);
    set_key(config, key, array);
}

static void merge_config(json_t *config, json_t *over, struct ib_origins *origins)
{
    for (void *i = over ? json_object_iter(over) : NULL; i; i = json_object_iter_next(over, i)) {
        const char *key = json_object_iter_key(i);
        size_t n = strlen(key);
        _cleanup_(ib_freep) char *name = ib_strndup(key, key[n - 1] == '+' ? n - 1 : n);
        if (key[n - 1] == '+')
            append_key(config, name, json_object_iter_value(i), origins);
        else
            set_key(config, name, ib_any_copy(json_object_iter_value(i), origins));
        ib_origins_copy(origins, key_address(config, name), key);
    }
}

/* A new value with every string expanded. */
static json_t *expand_any(const json_t *value, const struct ib_values *values)
{
    if (json_is_string(value)) {
        _cleanup_(ib_freep) char *text = ib_values_expand(values, json_string_value(value));
        return json_string(text);
    }
    return NULL;
}

static void expand_inside(json_t *value, const struct ib_values *values)
{
    size_t index;
    json_t *item;

    if (json_is_array(value)) {
        json_array_foreach (value, index, item) {
            json_t *expanded = expand_any(item, values);
            if (expanded)
                json_array_set_new(value, index, expanded);
            else
                expand_inside(item, values);
        }
    } else if (json_is_object(value)) {
        for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i)) {
            json_t *expanded = expand_any(json_object_iter_value(i), values);
            if (expanded)
                json_object_iter_set_new(value, i, expanded);
            else
                expand_inside(json_object_iter_value(i), values);
        }
    }
}

static void add_labels(json_t *config, const struct ib_recipe_node *node,
                       struct ib_origins *origins)
{
    json_t *labels = json_array(), *taints = json_array();

    for (size_t i = 0; i < node->labels.count; i++) {
        const struct ib_pair *pair = &node->labels.items[i];
        if (json_array_append_new(labels, json_sprintf("%s=%s", pair->key, pair->value)) < 0)
            abort();
    }
    for (size_t i = 0; i < node->taints.count; i++)
        if (json_array_append_new(taints, json_string(node->taints.items[i])) < 0)
            abort();
    if (json_array_size(labels)) {
        append_key(config, "node-label", labels, NULL);
        ib_origins_copy(origins, key_address(config, "node-label"), &node->labels);
    }
    if (json_array_size(taints)) {
        append_key(config, "node-taint", taints, NULL);
        ib_origins_copy(origins, key_address(config, "node-taint"), &node->taints);
    }
    json_decref(labels);
    json_decref(taints);
}

static json_t *resolve_k3s(const struct ib_recipe *recipe, const struct ib_node_spec *spec,
                           const struct ib_values *values)
{
    struct ib_origins *origins = origins_of(recipe);
    const struct ib_role *role = spec->root->role;
    json_t *config = json_object();
    char vip[IB_IPV4_TEXT_SIZE];

    merge_config(config, recipe->cluster.k3s.config, origins);
    merge_config(config, role->k3s.config, origins);
    merge_config(config, spec->node->k3s.config, origins);
    add_labels(config, spec->node, origins);
    expand_inside(config, values);
    if (!spec->founder) {
        set_key(config, "server",
                json_sprintf("https://%s:6443", ib_ipv4_format(recipe->cluster.network.vip, vip)));
        ib_origins_copy(origins, key_address(config, "server"), &recipe->cluster.network.vip);
    }
    return config;
}

/* Nodes */

static void merge_kernel_arguments(const struct ib_recipe *recipe, struct ib_node_spec *spec,
                                   const struct ib_values *values)
{
    const struct ib_strv *lists[] = {
        &recipe->cluster.kernel_arguments, &spec->hardware->kernel_arguments,
        &spec->root->role->kernel_arguments, &spec->node->kernel_arguments};
    struct ib_strv *ret = &spec->kernel_arguments;

    for (size_t i = 0; i < spec->hardware->consoles.count; i++) {
        ib_strv_addf(ret, "console=%s", spec->hardware->consoles.items[i]);
        ib_origins_copy(origins_of(recipe), ret->items[ret->count - 1],
                        spec->hardware->consoles.items[i]);
    }
    for (size_t i = 0; i < IB_ARRAY_SIZE(lists); i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            char *text = ib_values_expand(values, lists[i]->items[k]);
            if (ib_strv_contains(ret, text)) {
                free(text);
                continue;
            }
            ib_strv_take(ret, text);
            ib_origins_copy(origins_of(recipe), text, lists[i]->items[k]);
        }
    }
}

static void merge_storage(const struct ib_recipe *recipe, struct ib_storage *ret,
                          const struct ib_storage *over)
{
    struct ib_origins *origins = origins_of(recipe);

    if (over->var_min_size) {
        ret->var_min_size = over->var_min_size;
        ib_origins_copy(origins, &ret->var_min_size, &over->var_min_size);
    }
    if (over->var_max_size) {
        ret->var_max_size = over->var_max_size;
        ib_origins_copy(origins, &ret->var_max_size, &over->var_max_size);
    }
    if (ib_origins_get(origins, &over->ceph).file) { /* `false` takes it back */
        ret->ceph = over->ceph;
        ret->ceph_size = over->ceph_size;
        ib_origins_copy(origins, &ret->ceph, &over->ceph);
    }
}

static void resolve_network(const struct ib_recipe *recipe, struct ib_node_spec *spec)
{
    struct ib_origins *origins = origins_of(recipe);
    const struct ib_cluster *cluster = &recipe->cluster;

    spec->mac = spec->node->mac;
    ib_origins_copy(origins, &spec->mac, &spec->node->mac);
    spec->address = spec->node->address;
    ib_origins_copy(origins, &spec->address, &spec->node->address);
    spec->subnet = cluster->network.subnet;
    ib_origins_copy(origins, &spec->subnet, &cluster->network.subnet);
    spec->gateway = cluster->network.gateway;
    ib_origins_copy(origins, &spec->gateway, &cluster->network.gateway);
    spec->dns.count = cluster->network.dns.count;
    spec->dns.items =
        ib_memdup(cluster->network.dns.items, spec->dns.count * sizeof(*spec->dns.items));
    for (size_t i = 0; i < spec->dns.count; i++)
        ib_origins_copy(origins, &spec->dns.items[i], &cluster->network.dns.items[i]);
    spec->interface_name =
        copy_text(recipe, &spec->hardware->interface.name, &spec->interface_name);
    add_all(recipe, &spec->interface_drivers, &spec->hardware->interface.drivers);
}

static void resolve_disks(const struct ib_recipe *recipe, struct ib_node_spec *spec)
{
    struct ib_origins *origins = origins_of(recipe);
    const struct ib_recipe_node *node = spec->node;

    ib_schema_copy(&ib_schema_disk_rule, &spec->install_disk, &node->install_disk, origins);
    copy_structs(recipe, &ib_schema_data_disks, &spec->data_disks, &node->data_disks);
    spec->esp_size = recipe->cluster.image.esp_size;
    ib_origins_copy(origins, &spec->esp_size, &recipe->cluster.image.esp_size);
    spec->slot_size = recipe->cluster.image.slot_size;
    ib_origins_copy(origins, &spec->slot_size, &recipe->cluster.image.slot_size);
    merge_storage(recipe, &spec->storage, &recipe->cluster.storage);
    merge_storage(recipe, &spec->storage, &spec->root->role->storage);
    merge_storage(recipe, &spec->storage, &node->storage);
}

static void resolve_node(const struct ib_recipe *recipe, struct ib_node_spec *spec,
                         struct ib_values *values)
{
    struct ib_origins *origins = origins_of(recipe);
    const struct ib_recipe_node *node = spec->node;

    spec->name = copy_text(recipe, &node->name, &spec->name);
    spec->hostname = ib_asprintf("%s.%s", node->name, recipe->cluster.domain);
    ib_origins_copy(origins, &spec->hostname, &recipe->cluster.domain);
    resolve_network(recipe, spec);
    resolve_disks(recipe, spec);
    ib_values_make(values, &recipe->cluster, spec->root, spec);
    add_all(recipe, &spec->authorized_keys, &recipe->cluster.ssh.authorized_keys);
    merge_kernel_arguments(recipe, spec, values);
    add_all(recipe, &spec->drivers, &spec->hardware->drivers);
    ib_strv_sort(&spec->drivers);
    add_all(recipe, &spec->overlays, &spec->hardware->overlays);
    add_all(recipe, &spec->overlays, &node->overlays);
    copy_structs(recipe, &ib_schema_file, &spec->files, &node->files);
    expand_files(spec->files.items, spec->files.count, values);
    add_all(recipe, &spec->persist, &spec->root->persist);
    add_all(recipe, &spec->persist, &node->persist);
    ib_strv_sort(&spec->persist);
    spec->k3s_mode = spec->root->k3s_mode;
    ib_origins_copy(origins, &spec->k3s_mode, &spec->root->k3s_mode);
    spec->founder = node->founder;
    ib_origins_copy(origins, &spec->founder, &node->founder);
    if (spec->k3s_mode != IB_K3S_NONE)
        spec->k3s_config = resolve_k3s(recipe, spec, values);
}

void ib_recipe_resolve(struct ib_recipe *recipe)
{
    resolve_roots(recipe);
    recipe->node_specs.items = ib_calloc(recipe->nodes.count, sizeof(struct ib_node_spec));
    recipe->priv->node_values = ib_calloc(recipe->nodes.count, sizeof(struct ib_values));
    for (size_t i = 0; i < recipe->nodes.count; i++) {
        const struct ib_recipe_node *node = &recipe->nodes.items[i];
        struct ib_node_spec *spec = &recipe->node_specs.items[i];
        *spec = (struct ib_node_spec){
            .node = node,
            .hardware = ib_recipe_hardware(recipe, node->hardware),
            .root = find_root(recipe, node),
        };
        recipe->node_specs.count = i + 1;
        resolve_node(recipe, spec, &recipe->priv->node_values[i]);
    }
}
