/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of what is resolved: they give `show`, cache keys, and the release of memory. */
#include <jansson.h>

#include "recipe_private.h"

#define FIELD(type_, member, key_, kind, flags_, ...)             \
    {                                                             \
        .key = (key_), .type = IB_TYPE_##kind, .flags = (flags_), \
        .offset = offsetof(type_, member), __VA_ARGS__            \
    }

static const char *const k3s_modes[] = {"none", "server", "agent", NULL};

#define ROOT(...) FIELD(struct ib_root_spec, __VA_ARGS__)
static const struct ib_field root_fields[] = {
    ROOT(name, "name", NAME, 0),
    ROOT(timezone, "timezone", TIMEZONE, 0),
    ROOT(locale, "locale", WORD, 0),
    ROOT(keymap, "keymap", WORD, 0),
    ROOT(compression_level, "compression_level", INT, 0, .min = 1),
    ROOT(packages, "packages", PACKAGE, IB_LIST),
    ROOT(remove_packages, "remove_packages", PACKAGE, IB_LIST),
    ROOT(enable, "services.enable", UNIT, IB_LIST),
    ROOT(disable, "services.disable", UNIT, IB_LIST),
    ROOT(mask, "services.mask", UNIT, IB_LIST),
    ROOT(sysctls, "sysctls", PAIRS, 0, .key_type = IB_TYPE_SYSCTL),
    ROOT(modules, "modules", MODULE, IB_LIST),
    ROOT(users, "users", STRUCT, IB_LIST, .schema = &ib_schema_user),
    ROOT(groups, "groups", STRUCT, IB_LIST, .schema = &ib_schema_group),
    ROOT(files, "files", STRUCT, IB_LIST, .schema = &ib_schema_file),
    ROOT(overlays, "overlays", NAME, IB_LIST),
    ROOT(rules, "rules", STRUCT, IB_LIST, .schema = &ib_schema_rule),
    ROOT(payloads, "payloads", STRUCT, IB_LIST, .schema = &ib_schema_payload),
    ROOT(k3s_mode, "k3s.mode", ENUM, 0, .names = k3s_modes),
    ROOT(persist, "persist", PERSIST, IB_LIST),
};
const struct ib_schema ib_schema_root_spec = {
    .title = "root",
    .size = sizeof(struct ib_root_spec),
    .fields = root_fields,
    .count = IB_ARRAY_SIZE(root_fields),
};

#define NODE(...) FIELD(struct ib_node_spec, __VA_ARGS__)
static const struct ib_field node_fields[] = {
    NODE(name, "name", NAME, 0),
    NODE(hostname, "hostname", DOMAIN, 0),
    NODE(mac, "mac", MAC, 0),
    NODE(address, "address", IPV4, 0),
    NODE(subnet, "network.subnet", NETWORK, 0),
    NODE(gateway, "network.gateway", IPV4, 0),
    NODE(dns, "network.dns", IPV4, IB_LIST),
    NODE(interface_name, "interface.name", PATTERN, 0),
    NODE(interface_drivers, "interface.drivers", MODULE, IB_LIST),
    NODE(authorized_keys, "ssh.authorized_keys", SSH_KEY, IB_LIST),
    NODE(install_disk, "install_disk", STRUCT, 0, .schema = &ib_schema_disk_rule),
    NODE(data_disks, "data_disks", STRUCT, IB_LIST, .schema = &ib_schema_data_disks),
    NODE(esp_size, "image.esp_size", SIZE, 0),
    NODE(slot_size, "image.slot_size", SIZE, 0),
    NODE(storage, "storage", STRUCT, 0, .schema = &ib_schema_storage),
    NODE(kernel_arguments, "kernel_arguments", KERNEL_ARGUMENT, IB_LIST),
    NODE(drivers, "drivers", MODULE, IB_LIST),
    NODE(overlays, "overlays", NAME, IB_LIST),
    NODE(files, "files", STRUCT, IB_LIST, .schema = &ib_schema_file),
    NODE(persist, "persist", PERSIST, IB_LIST),
    NODE(founder, "founder", BOOL, 0),
    NODE(k3s_mode, "k3s.mode", ENUM, 0, .names = k3s_modes),
    NODE(k3s_config, "k3s.config", ANY, 0),
};
const struct ib_schema ib_schema_node_spec = {
    .title = "node",
    .size = sizeof(struct ib_node_spec),
    .fields = node_fields,
    .count = IB_ARRAY_SIZE(node_fields),
};

static char *canonical(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);

    if (!text)
        abort(); /* memory */
    json_decref(object);
    return text;
}

char *ib_root_spec_canonical(const struct ib_root_spec *root)
{
    json_t *object = ib_schema_to_json(&ib_schema_root_spec, root);

    if (json_object_set_new(object, "base", ib_schema_to_json(&ib_schema_base, root->base)) < 0)
        abort();
    return canonical(object);
}

char *ib_node_spec_canonical(const struct ib_node_spec *node)
{
    return canonical(ib_schema_to_json(&ib_schema_node_spec, node));
}
