/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/identity.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "model/yaml_write.h"
#include "ops/overlay.h"
#include "ops/template.h"

#define ETC "imgbuild/identity/etc/"

enum { MAX_FILE_SIZE = 4 * 1024 * 1024 };

static int add_text(struct ib_tree *tree, const char *path, uint32_t mode, struct ib_buf *text,
                    struct ib_error **err)
{
    bool ok = ib_tree_add_file(tree, path, mode, text->data, text->size, IB_LAYER_OVERLAYS, err);

    ib_buf_clear(text);
    return ok ? 0 : -1;
}

static int add_hostname(struct ib_tree *tree, const struct ib_node_spec *n, struct ib_error **err)
{
    struct ib_buf text = {0};
    char address[IB_IPV4_TEXT_SIZE];

    ib_buf_printf(&text, "%s\n", n->name);
    if (add_text(tree, ETC "hostname", 0644, &text, err) < 0)
        return -1;
    ib_buf_printf(&text, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n%s ",
                  ib_ipv4_format(n->address, address));
    if (!ib_streq(n->hostname, n->name))
        ib_buf_printf(&text, "%s ", n->hostname);
    ib_buf_printf(&text, "%s\n", n->name);
    return add_text(tree, ETC "hosts", 0644, &text, err);
}

static void append_match(struct ib_buf *text, const struct ib_node_spec *n)
{
    char mac[IB_MAC_TEXT_SIZE];

    ib_buf_printf(text, "[Match]\nPermanentMACAddress=%s\n", ib_mac_format(&n->mac, mac));
    if (n->interface_name)
        ib_buf_printf(text, "Name=%s\n", n->interface_name);
    if (n->interface_drivers.count) {
        _cleanup_(ib_freep) char *drivers = ib_strv_join(&n->interface_drivers, " ");
        ib_buf_printf(text, "Driver=%s\n", drivers);
    }
}

/* systemd.network(5): the recipe's static address, and nothing that the network could change. */
static int add_network(struct ib_tree *tree, const struct ib_node_spec *n, struct ib_error **err)
{
    struct ib_buf text = {0}, resolv = {0};
    char a[IB_IPV4_TEXT_SIZE];

    append_match(&text, n);
    ib_buf_append_str(&text, "\n[Link]\nRequiredForOnline=routable\n\n[Network]\n");
    ib_buf_printf(&text, "Address=%s/%u\n", ib_ipv4_format(n->address, a), n->subnet.prefix);
    ib_buf_printf(&text, "Gateway=%s\n", ib_ipv4_format(n->gateway, a));
    for (size_t i = 0; i < n->dns.count; i++) {
        ib_ipv4_format(n->dns.items[i], a);
        ib_buf_printf(&text, "DNS=%s\n", a);
        ib_buf_printf(&resolv, "nameserver %s\n", a);
    }
    const char *dot = strchr(n->hostname, '.');
    if (dot) {
        ib_buf_printf(&text, "Domains=%s\n", dot + 1);
        ib_buf_printf(&resolv, "search %s\n", dot + 1);
    }
    ib_buf_append_str(&text, "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\nLLDP=no\n");
    if (add_text(tree, ETC "systemd/network/10-imgbuild.network", 0644, &text, err) < 0)
        return -1;
    return add_text(tree, ETC "resolv.conf", 0644, &resolv, err);
}

static int add_authorized_keys(struct ib_tree *tree, const struct ib_node_spec *n,
                               struct ib_error **err)
{
    struct ib_buf text = {0};

    if (!n->authorized_keys.count)
        return 0;
    for (size_t i = 0; i < n->authorized_keys.count; i++)
        ib_buf_printf(&text, "%s\n", n->authorized_keys.items[i]);
    return add_text(tree, ETC "ssh/authorized_keys.d/root", 0644, &text, err);
}

static int add_k3s_config(struct ib_tree *tree, const struct ib_node_spec *n, struct ib_error **err)
{
    struct ib_buf text = {0};

    if (!n->k3s_config)
        return 0;
    ib_yaml_write(n->k3s_config, &text);
    return add_text(tree, ETC "rancher/k3s/config.yaml", 0600, &text, err);
}

/* One file of systemd-repart; sizes in bytes. */
static int add_repart(struct ib_tree *tree, const char *name, struct ib_buf *text,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("imgbuild/repart.d/%s.conf", name);

    return add_text(tree, path, 0644, text, err);
}

static int add_slot(struct ib_tree *tree, const char *name, const char *type, bool is_free,
                    uint64_t size_bytes, struct ib_error **err)
{
    struct ib_buf text = {0};

    ib_buf_printf(&text, "[Partition]\nType=%s\nReadOnly=yes\nWeight=0\n", type);
    if (is_free)
        ib_buf_printf(&text, "Label=_empty\nSizeMinBytes=%llu\nSizeMaxBytes=%llu\n",
                      (unsigned long long)size_bytes, (unsigned long long)size_bytes);
    return add_repart(tree, name, &text, err);
}

/* repart.d(5). Partitions are matched by type in the order of the files, so that those on the disk
 * already (ESP and slot A, or all of them after the first boot) are taken as they are. */
static int add_partitions(struct ib_tree *tree, const struct ib_identity_input *input,
                          struct ib_error **err)
{
    const struct ib_node_spec *n = input->node;
    const struct ib_storage *s = &n->storage;
    struct ib_buf text = {0};

    ib_buf_append_str(&text, "[Partition]\nType=esp\nWeight=0\n");
    if (add_repart(tree, "00-esp", &text, err) < 0 ||
        add_slot(tree, "10-root-a", "root", false, 0, err) < 0 ||
        add_slot(tree, "11-verity-a", "root-verity", false, 0, err) < 0 ||
        add_slot(tree, "20-root-b", "root", true, n->slot_size, err) < 0 ||
        add_slot(tree, "21-verity-b", "root-verity", true, input->verity_size_bytes, err) < 0)
        return -1;
    ib_buf_printf(&text,
                  "[Partition]\nType=var\nLabel=var\nFormat=ext4\nCopyFiles=/var:/\n"
                  "SizeMinBytes=%llu\n",
                  (unsigned long long)IB_MAX(s->var_min_size, IB_GIB));
    if (s->var_max_size)
        ib_buf_printf(&text, "SizeMaxBytes=%llu\n", (unsigned long long)s->var_max_size);
    ib_buf_append_str(&text, "Weight=1000\n");
    if (add_repart(tree, "30-var", &text, err) < 0 || !s->ceph)
        return s->ceph ? -1 : 0;
    /* a type of our own would not be found by Ceph's tools, which go by the label */
    ib_buf_append_str(&text, "[Partition]\nType=linux-generic\nLabel=ceph\nWeight=1000\n"
                             "SizeMinBytes=1G\n");
    if (s->ceph_size)
        ib_buf_printf(&text, "SizeMaxBytes=%llu\n", (unsigned long long)s->ceph_size);
    return add_repart(tree, "40-ceph", &text, err);
}

/* Lines, not JSON: the agent is a static program, and few distributions ship a static jansson. */
static int add_persist_list(struct ib_tree *tree, const struct ib_node_spec *n,
                            struct ib_error **err)
{
    struct ib_buf text = {0};

    ib_buf_append_str(&text, "# what survives a reboot besides /var, one path a line\n");
    for (size_t i = 0; i < n->persist.count; i++)
        ib_buf_printf(&text, "%s\n", n->persist.items[i]);
    return add_text(tree, "imgbuild/persist", 0644, &text, err);
}

static int add_node_json(struct ib_tree *tree, const struct ib_identity_input *input,
                         struct ib_error **err)
{
    const struct ib_node_spec *n = input->node;
    json_t *o = json_pack("{s:i, s:s, s:s, s:s, s:b}", "format", 1, "name", n->name, "role",
                          n->node->role, "version", input->version, "founder", n->founder);
    char *text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
    struct ib_buf line = {0};

    ib_buf_printf(&line, "%s\n", text);
    free(text);
    json_decref(o);
    return add_text(tree, "imgbuild/node.json", 0644, &line, err);
}

char *ib_identity_os_release(const struct ib_identity_input *input)
{
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    struct ib_buf text = {0};

    ib_strv_split(&lines, input->os_release, "\n");
    for (size_t i = 0; i < lines.count; i++)
        if (!ib_startswith(lines.items[i], "IMAGE_ID=") &&
            !ib_startswith(lines.items[i], "IMAGE_VERSION="))
            ib_buf_printf(&text, "%s\n", lines.items[i]);
    ib_buf_printf(&text, "IMAGE_ID=%s\nIMAGE_VERSION=%s\n", input->node->name, input->version);
    return ib_buf_steal_string(&text);
}

static int add_os_release(struct ib_tree *tree, const struct ib_identity_input *input,
                          struct ib_error **err)
{
    struct ib_buf text = {0};
    _cleanup_(ib_freep) char *content = ib_identity_os_release(input);

    ib_buf_append_str(&text, content);
    return add_text(tree, ETC "os-release", 0644, &text, err);
}

/* Moves what the recipe wrote for "/etc/…" below the identity. */
static int add_file(struct ib_tree *tree, const struct ib_identity_input *input,
                    const struct ib_file *file, struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("imgbuild/identity%s", file->path);
    struct ib_buf text = {0};

    int r = 0;
    if (file->content) {
        ib_buf_append_str(&text, file->content);
    } else if (file->is_template) {
        r = ib_template_read(input->project_dir, file->source,
                             ib_node_values(input->recipe, input->node), &text, diags, err);
    } else {
        _cleanup_(ib_freep) char *host = ib_path_join(input->project_dir, file->source);
        r = ib_read_file(host, MAX_FILE_SIZE, &text, err);
    }
    if (r < 0) {
        ib_buf_clear(&text);
        return -1;
    }
    return add_text(tree, path, file->mode, &text, err);
}

static int add_recipe_files(struct ib_tree *tree, const struct ib_identity_input *input,
                            struct ib_diags *diags, struct ib_error **err)
{
    const struct ib_node_spec *n = input->node;

    for (size_t i = 0; i < n->overlays.count; i++) {
        _cleanup_(ib_overlay_freep) struct ib_overlay *overlay =
            ib_overlay_read(input->project_dir, n->overlays.items[i], err);
        if (!overlay || ib_overlay_apply(overlay, tree, "imgbuild/identity", NULL, 0,
                                         ib_node_values(input->recipe, n), diags, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < n->files.count; i++)
        if (add_file(tree, input, &n->files.items[i], diags, err) < 0)
            return ib_wrap(err, n->files.items[i].path, "add file");
    return 0;
}

struct ib_tree *ib_identity_make(const struct ib_identity_input *input, struct ib_diags *diags,
                                 struct ib_error **err)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    const struct ib_node_spec *n = input->node;

    if (add_hostname(tree, n, err) < 0 || add_network(tree, n, err) < 0 ||
        add_authorized_keys(tree, n, err) < 0 || add_k3s_config(tree, n, err) < 0 ||
        add_os_release(tree, input, err) < 0 || add_partitions(tree, input, err) < 0 ||
        add_node_json(tree, input, err) < 0 || add_persist_list(tree, n, err) < 0 ||
        add_recipe_files(tree, input, diags, err) < 0) {
        ib_wrap(err, n->name, "make the identity of");
        return NULL;
    }
    return ib_steal(&tree);
}
