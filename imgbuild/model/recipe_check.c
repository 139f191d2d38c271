/* SPDX-License-Identifier: Apache-2.0 */
/* What the tables cannot say: references, repeats, and what does not go together. */
#include <jansson.h>
#include <string.h>

#include "recipe_private.h"

/* References */

static void report_dangling(const struct checker *c, const char *what, const char *name,
                            struct ib_origin at, const struct ib_strv *names, const char *where)
{
    const char *const *items = (const char *const *)names->items;

    ib_diag(c->diags, at, "there is no %s '%s'", what, name);
    ib_diag_expect_names(c->diags, items, names->count, where);
    ib_diag_nearest(c->diags, name, items, names->count);
}

static void check_name(const struct checker *c, const char *what, char *const *name,
                       const struct ib_strv *names, const char *directory)
{
    if (*name && !ib_strv_contains(names, *name))
        report_dangling(c, what, *name, origin_of(c, name), names, directory);
}

static void check_names(const struct checker *c, const char *what, const struct ib_strv *list,
                        const struct ib_strv *names, const char *where)
{
    for (size_t i = 0; i < list->count; i++)
        if (!ib_strv_contains(names, list->items[i]))
            report_dangling(c, what, list->items[i], origin_of(c, list->items[i]), names, where);
}

static void check_overlays(const struct checker *c, const struct ib_strv *overlays)
{
    if (c->recipe->priv->check_paths)
        check_names(c, "overlay", overlays, &c->recipe->priv->overlays, "overlays/");
}

static void check_project_path(const struct checker *c, char *const *path)
{
    const struct ib_strv *paths = &c->recipe->priv->paths;

    if (!*path || !c->recipe->priv->check_paths || ib_strv_contains(paths, *path))
        return;
    ib_diag(c->diags, origin_of(c, path), "there is no file '%s'", *path);
    ib_diag_expect(c->diags, "expected a file below recipes/, firmware/ or files/");
    ib_diag_nearest(c->diags, *path, (const char *const *)paths->items, paths->count);
}

/* Paths */

static bool is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);

    return strncmp(path, directory, n) == 0 && (path[n] == '/' || path[n] == 0);
}

/* What the root cannot carry: it is empty there, or another file system is mounted over it. */
static const char *hidden_directory(const char *path)
{
    static const char *const hidden[] = {"/var", "/run",   "/proc", "/sys", "/dev",
                                         "/tmp", "/home",  "/root", "/opt", "/srv",
                                         "/mnt", "/media", "/boot", "/efi"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(hidden); i++)
        if (is_below(path, hidden[i]))
            return hidden[i];
    return NULL;
}

static void check_in_root(const struct checker *c, char *const *path, const char *cure)
{
    const char *hidden = *path ? hidden_directory(*path) : NULL;

    if (!hidden)
        return;
    ib_diag(c->diags, origin_of(c, path), "'%s' cannot be in the root: %s is not part of it", *path,
            hidden);
    ib_diag_expect(c->diags, "%s", cure);
}

static void check_file_content(const struct checker *c, const struct ib_file *file, bool has_node)
{
    bool has_content = origin_of(c, &file->content).file;
    bool has_source = origin_of(c, &file->source).file;

    if (has_content == has_source) {
        ib_diag(c->diags, origin_of(c, &file->path), "file '%s' has %s",
                file->path ? file->path : "?",
                has_content ? "both 'content' and 'source'" : "neither 'content' nor 'source'");
        ib_diag_expect(c->diags, "expected one of them");
    }
    check_project_path(c, &file->source);
    if (file->content && file->is_template)
        ib_values_check(c, file->content, origin_of(c, &file->content), has_node);
}

static void check_repeated_files(const struct checker *c, const struct ib_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!files[i].path || !ib_streq(files[i].path, files[k].path))
                continue;
            ib_diag(c->diags, origin_of(c, &files[i].path), "file '%s' is given twice",
                    files[i].path);
            ib_diag_expect(c->diags, "the first is on line %u", origin_of(c, &files[k].path).line);
            break;
        }
    }
}

static void check_persist(const struct checker *c, const struct ib_strv *persist)
{
    for (size_t i = 0; i < persist->count; i++) {
        const char *path = persist->items[i];
        const char *hidden = hidden_directory(path);
        if (!hidden)
            continue;
        ib_diag(c->diags, origin_of(c, path), "'%s' cannot be listed in 'persist'", path);
        ib_diag_expect(c->diags,
                       is_below("/var", hidden) || ib_streq(hidden, "/home") ||
                               ib_streq(hidden, "/root") || ib_streq(hidden, "/opt") ||
                               ib_streq(hidden, "/srv") || ib_streq(hidden, "/mnt")
                           ? "%s persists by itself"
                           : "%s never persists",
                       hidden);
    }
}

/* Kernel arguments */

static void check_kernel_arguments(const struct checker *c, const struct ib_strv *list)
{
    static const struct {
        const char *name, *cure;
    } reserved[] = {
        {"roothash=", "the build computes it"},
        {"root=", "the root is found by its hash"},
        {"rootfstype=", "the build sets it"},
        {"rd.systemd.verity=", "the root is always verified"},
        {"systemd.verity=", "the root is always verified"},
        {"console=", "expected it under 'consoles' in the hardware profile"},
    };

    for (size_t i = 0; i < list->count; i++) {
        const char *argument = list->items[i];
        ib_values_check(c, argument, origin_of(c, argument), true);
        for (size_t k = 0; k < IB_ARRAY_SIZE(reserved); k++) {
            if (!ib_startswith(argument, reserved[k].name))
                continue;
            ib_diag(c->diags, origin_of(c, argument), "kernel argument '%s' cannot be given",
                    argument);
            ib_diag_expect(c->diags, "%s", reserved[k].cure);
        }
    }
}

/* k3s */

static void check_config_strings(const struct checker *c, json_t *value, struct ib_origin at)
{
    size_t index;
    json_t *item;

    if (json_is_string(value)) {
        ib_values_check(c, json_string_value(value), at, true);
    } else if (json_is_array(value)) {
        json_array_foreach (value, index, item)
            check_config_strings(c, item, at);
    } else if (json_is_object(value)) {
        for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i))
            check_config_strings(c, json_object_iter_value(i),
                                 origin_of(c, json_object_iter_key(i)));
    }
}

static void check_config(const struct checker *c, json_t *config)
{
    static const struct {
        const char *key, *cure;
    } reserved[] = {
        {"token", "a secret in a recipe ends up in the image; use 'token-file'"},
        {"agent-token", "a secret in a recipe ends up in the image; use 'agent-token-file'"},
        {"server", "the build sets it from 'network.vip' and 'founder'"},
        {"cluster-init", "the founder decides it when it boots"},
    };

    for (void *i = config ? json_object_iter(config) : NULL; i;
         i = json_object_iter_next(config, i)) {
        const char *key = json_object_iter_key(i);
        struct ib_origin at = origin_of(c, key);
        if (ib_streq(key, "+"))
            ib_diag(c->diags, at, "'+' is no key of a k3s configuration");
        for (size_t k = 0; k < IB_ARRAY_SIZE(reserved); k++) {
            size_t n = strlen(reserved[k].key);
            if (strncmp(key, reserved[k].key, n) != 0 || (key[n] && !ib_streq(key + n, "+")))
                continue;
            ib_diag(c->diags, at, "k3s option '%s' cannot be given", key);
            ib_diag_expect(c->diags, "%s", reserved[k].cure);
        }
        check_config_strings(c, json_object_iter_value(i), at);
    }
}

/* Roles */

static void check_accounts(const struct checker *c, const struct ib_role *role)
{
    for (size_t i = 0; i < role->users.count; i++) {
        const struct ib_user *u = &role->users.items[i];
        if (ib_streq(u->name, "root"))
            ib_diag(c->diags, origin_of(c, &u->name), "'root' is there already");
        for (size_t k = 0; k < i; k++) {
            const struct ib_user *other = &role->users.items[k];
            if (u->name && ib_streq(u->name, other->name))
                ib_diag(c->diags, origin_of(c, &u->name), "user '%s' is given twice", u->name);
            else if (u->uid && u->uid == other->uid)
                ib_diag(c->diags, origin_of(c, &u->uid), "users '%s' and '%s' have the same uid %d",
                        other->name ? other->name : "?", u->name ? u->name : "?", (int)u->uid);
        }
    }
    for (size_t i = 0; i < role->groups.count; i++) {
        const struct ib_group *g = &role->groups.items[i];
        for (size_t k = 0; k < i; k++) {
            const struct ib_group *other = &role->groups.items[k];
            if (g->name && ib_streq(g->name, other->name))
                ib_diag(c->diags, origin_of(c, &g->name), "group '%s' is given twice", g->name);
            else if (g->gid && g->gid == other->gid)
                ib_diag(c->diags, origin_of(c, &g->gid),
                        "groups '%s' and '%s' have the same gid %d",
                        other->name ? other->name : "?", g->name ? g->name : "?", (int)g->gid);
        }
    }
}

static void check_role(const struct checker *c, const struct ib_role *role)
{
    for (size_t i = 0; i < role->files.count; i++) {
        check_file_content(c, &role->files.items[i], false);
        check_in_root(c, &role->files.items[i].path,
                      "expected a path in /usr or /etc; systemd-tmpfiles makes others at boot");
    }
    check_repeated_files(c, role->files.items, role->files.count);
    check_overlays(c, &role->overlays);
    if (c->recipe->priv->has_cluster)
        check_names(c, "payload", &role->payloads, &c->recipe->priv->payload_names,
                    "recipes/cluster.yaml");
    check_persist(c, &role->persist);
    check_kernel_arguments(c, &role->kernel_arguments);
    check_accounts(c, role);
    check_config(c, role->k3s.config);
    if (role->k3s.mode == IB_K3S_NONE && role->k3s.config) {
        ib_diag(c->diags, origin_of(c, &role->k3s.config),
                "a k3s configuration where the mode is 'none'");
        ib_diag_expect(c->diags, "expected mode 'server' or 'agent', or no 'config'");
    }
}

/* Nodes */

/* A rule that matches every disk would erase the wrong one. */
static void check_disk_rule(const struct checker *c, const struct ib_disk_rule *rule,
                            struct ib_origin at)
{
    if (rule->type == IB_DISK_ANY && !rule->by_id && !rule->model && !rule->serial &&
        !rule->transport && !rule->min_size && !rule->max_size && at.file &&
        !ib_diags_has(c->diags, at)) {
        ib_diag(c->diags, at, "this disk rule matches every disk");
        ib_diag_expect(c->diags, "expected a type ('nvme', 'ssd', 'hdd') or a condition");
    }
    if (rule->max_size && rule->min_size > rule->max_size)
        ib_diag(c->diags, origin_of(c, &rule->max_size), "'max_size' is less than 'min_size'");
}

static void check_node_disks(const struct checker *c, const struct ib_recipe_node *node)
{
    /* without a place no type is given: then there is a condition, or it was reported */
    check_disk_rule(c, &node->install_disk, origin_of(c, &node->install_disk.type));
    for (size_t i = 0; i < node->data_disks.count; i++)
        check_disk_rule(c, &node->data_disks.items[i].match,
                        origin_of(c, &node->data_disks.items[i]));
}

static void check_node_files(const struct checker *c, const struct ib_recipe_node *node)
{
    for (size_t i = 0; i < node->files.count; i++) {
        const struct ib_file *file = &node->files.items[i];
        check_file_content(c, file, true);
        if (!file->path || is_below(file->path, "/etc"))
            continue;
        ib_diag(c->diags, origin_of(c, &file->path), "'%s' cannot be a node's own file",
                file->path);
        ib_diag_expect(c->diags, "expected a path below /etc: the rest is the role's");
    }
    check_repeated_files(c, node->files.items, node->files.count);
}

static void check_node_k3s(const struct checker *c, const struct ib_recipe_node *node)
{
    const struct ib_role *role = ib_recipe_role(c->recipe, node->role);
    const void *given = node->k3s.config          ? (const void *)&node->k3s.config
                        : node->labels.count != 0 ? (const void *)&node->labels
                        : node->taints.count != 0 ? (const void *)&node->taints
                                                  : NULL;

    check_config(c, node->k3s.config);
    if (role && role->k3s.mode == IB_K3S_NONE && given) {
        ib_diag(c->diags, origin_of(c, given), "k3s settings on a node whose role runs no k3s");
        ib_diag_expect(c->diags, "expected 'k3s' in recipes/roles/%s.yaml", role->name);
    }
}

static void check_node(const struct checker *c, const struct ib_recipe_node *node)
{
    const struct ib_recipe_private *priv = c->recipe->priv;

    check_name(c, "role", &node->role, &priv->role_names, "recipes/roles/");
    check_name(c, "hardware profile", &node->hardware, &priv->hardware_names, "firmware/");
    check_name(c, "base", &node->base, &priv->base_names, "recipes/bases/");
    check_node_disks(c, node);
    check_node_files(c, node);
    check_node_k3s(c, node);
    check_overlays(c, &node->overlays);
    check_persist(c, &node->persist);
    check_kernel_arguments(c, &node->kernel_arguments);
}

/* Exactly one control node may found the cluster, or two clusters could come to be. */
static void check_founders(const struct checker *c)
{
    const struct ib_recipe_node *first = NULL;
    bool has_server = false;
    bool is_known = c->recipe->nodes.count == c->recipe->priv->node_names.count;

    for (size_t i = 0; i < c->recipe->nodes.count; i++) {
        const struct ib_recipe_node *node = &c->recipe->nodes.items[i];
        const struct ib_role *role = ib_recipe_role(c->recipe, node->role);
        bool is_server = role && role->k3s.mode == IB_K3S_SERVER;
        is_known = is_known && role && !ib_diags_has(c->diags, origin_of(c, &node->founder));
        has_server = has_server || is_server;
        if (!node->founder)
            continue;
        if (role && !is_server) {
            ib_diag(c->diags, origin_of(c, &node->founder),
                    "'%s' cannot be the founder: its role '%s' is no k3s server", node->name,
                    role->name);
            ib_diag_expect(c->diags, "expected it on a node whose role has mode 'server'");
        }
        if (first) {
            ib_diag(c->diags, origin_of(c, &node->founder), "'%s' is a second founder", node->name);
            ib_diag_expect(c->diags, "'%s' is the founder already: two would found two clusters",
                           first->name);
        }
        first = first ? first : node;
    }
    if (has_server && is_known && !first) {
        ib_diag(c->diags, (struct ib_origin){.file = "recipes/cluster.yaml"},
                "no node is the founder");
        ib_diag_expect(c->diags, "expected 'founder: true' on one node that is a k3s server");
    }
}

/* Cluster and hardware */

static void check_payload(const struct checker *c, const struct ib_payload *payload)
{
    check_in_root(c, &payload->path, "expected a path in /usr, and a 'link' to it below /var");
    if (payload->link && !is_below(payload->link, "/var")) {
        ib_diag(c->diags, origin_of(c, &payload->link), "'%s' is not below /var", payload->link);
        ib_diag_expect(c->diags, "expected a path below /var; 'path' is where the file is");
    }
}

static void check_cluster(const struct checker *c)
{
    const struct ib_cluster *cluster = &c->recipe->cluster;

    check_name(c, "base", &cluster->base, &c->recipe->priv->base_names, "recipes/bases/");
    check_name(c, "base", &c->recipe->priv->base, &c->recipe->priv->base_names, "recipes/bases/");
    for (size_t i = 0; i < cluster->payloads.count; i++)
        check_payload(c, &cluster->payloads.items[i]);
    check_overlays(c, &cluster->overlays);
    check_persist(c, &cluster->persist);
    check_kernel_arguments(c, &cluster->kernel_arguments);
    check_config(c, cluster->k3s.config);
    if (cluster->image.esp_size && cluster->image.esp_size < 64 * IB_MIB) {
        ib_diag(c->diags, origin_of(c, &cluster->image.esp_size), "'esp_size' is too small");
        ib_diag_expect(c->diags, "expected at least 64M: two UKIs must fit");
    }
    if (cluster->image.slot_size && cluster->image.slot_size < 64 * IB_MIB) {
        ib_diag(c->diags, origin_of(c, &cluster->image.slot_size), "'slot_size' is too small");
        ib_diag_expect(c->diags, "expected at least 64M");
    }
}

void ib_recipe_check(const struct ib_recipe *recipe, struct ib_diags *diags)
{
    struct checker c = {.recipe = recipe, .diags = diags};

    check_cluster(&c);
    ib_recipe_check_network(&c);
    for (size_t i = 0; i < recipe->bases.count; i++) {
        const struct ib_base *base = &recipe->bases.items[i];
        ib_recipe_check_base(&c, base);
        check_project_path(&c, &base->signing_key);
        for (size_t k = 0; k < base->repositories.count; k++)
            check_project_path(&c, &base->repositories.items[k].key);
    }
    for (size_t i = 0; i < recipe->roles.count; i++)
        check_role(&c, &recipe->roles.items[i]);
    for (size_t i = 0; i < recipe->hardware.count; i++) {
        check_overlays(&c, &recipe->hardware.items[i].overlays);
        check_kernel_arguments(&c, &recipe->hardware.items[i].kernel_arguments);
    }
    for (size_t i = 0; i < recipe->nodes.count; i++)
        check_node(&c, &recipe->nodes.items[i]);
    check_founders(&c);
}
