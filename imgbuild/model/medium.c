/* SPDX-License-Identifier: Apache-2.0 */
#include "model/medium.h"

#include <jansson.h>
#include <string.h>

void ib_medium_node_clear(struct ib_medium_node *node)
{
    free(node->name);
    free(node->role);
    free(node->version);
    free(node->artifact);
    ib_disk_rule_clear(&node->install_disk);
    free(node->pieces);
    *node = (struct ib_medium_node){0};
}

void ib_medium_clear(struct ib_medium *medium)
{
    for (size_t i = 0; i < medium->count; i++)
        ib_medium_node_clear(&medium->nodes[i]);
    free(medium->nodes);
    *medium = (struct ib_medium){0};
}

const struct ib_medium_node *ib_medium_find(const struct ib_medium *medium, const char *name)
{
    for (size_t i = 0; i < medium->count; i++)
        if (ib_streq(medium->nodes[i].name, name))
            return &medium->nodes[i];
    return NULL;
}

static json_t *format_node(const struct ib_medium_node *n)
{
    _cleanup_(ib_freep) char *rule = ib_disk_rule_text(&n->install_disk);
    char mac[IB_MAC_TEXT_SIZE], hex[IB_SHA256_HEX_SIZE];
    json_t *pieces = json_array();

    for (size_t i = 0; i < n->piece_count; i++)
        json_array_append_new(pieces, json_pack("[I, I]", (json_int_t)n->pieces[i].offset,
                                                (json_int_t)n->pieces[i].size));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "name", n->name, "role", n->role,
                     "version", n->version, "mac", ib_mac_format(&n->mac, mac), "install_disk",
                     rule, "artifact", n->artifact, "manifest", ib_sha256_hex(&n->manifest, hex),
                     "pieces", pieces);
}

void ib_medium_format(const struct ib_medium *medium, struct ib_buf *ret)
{
    json_t *nodes = json_array();

    for (size_t i = 0; i < medium->count; i++)
        json_array_append_new(nodes, format_node(&medium->nodes[i]));
    json_t *root = json_pack("{s:i, s:o}", "format", IB_MEDIUM_FORMAT, "nodes", nodes);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    if (!text) /* jansson fails for want of memory only: all text was checked as UTF-8 */
        abort();
    ib_buf_append_str(ret, text);
    free(text);
    json_decref(root);
}

static int parse_pieces(const json_t *list, struct ib_medium_node *n)
{
    n->piece_count = json_array_size(list);
    n->pieces = ib_calloc(n->piece_count + 1, sizeof(*n->pieces));
    for (size_t i = 0; i < n->piece_count; i++) {
        json_int_t offset, size;
        if (json_unpack(json_array_get(list, i), "[I, I!]", &offset, &size) < 0 || offset < 0 ||
            size <= 0)
            return -1;
        n->pieces[i] = (struct ib_source_range){(uint64_t)offset, (uint64_t)size};
    }
    return n->piece_count > 0 ? 0 : -1;
}

/* It is printed; a file's name is never used as a path. */
static bool valid_text(const char *s)
{
    for (const char *c = s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return strlen(s) <= 255;
}

static int parse_node(json_t *object, struct ib_medium_node *n, const char **ret_what,
                      struct ib_error **err)
{
    const char *name, *role, *version, *mac, *rule, *artifact, *manifest;
    json_t *pieces;
    json_error_t error;

    *ret_what = "keys";
    if (json_unpack_ex(object, &error, JSON_STRICT, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o}",
                       "name", &name, "role", &role, "version", &version, "mac", &mac,
                       "install_disk", &rule, "artifact", &artifact, "manifest", &manifest,
                       "pieces", &pieces) < 0)
        return -1;
    n->name = ib_strdup(name);
    n->role = ib_strdup(role);
    n->version = ib_strdup(version);
    n->artifact = ib_strdup(artifact);
    *ret_what = "name";
    if (!*name || !valid_text(name) || !valid_text(role) || !valid_text(version) ||
        !valid_text(artifact))
        return -1;
    *ret_what = "mac";
    if (!ib_mac_parse(mac, &n->mac))
        return -1;
    *ret_what = "manifest";
    if (!ib_sha256_parse(manifest, &n->manifest))
        return -1;
    *ret_what = "install_disk";
    if (ib_disk_rule_parse(rule, &n->install_disk, err) < 0)
        return -1;
    *ret_what = "pieces";
    return json_is_array(pieces) ? parse_pieces(pieces, n) : -1;
}

static int parse_nodes(const json_t *list, const char *name, struct ib_medium *medium,
                       struct ib_error **err)
{
    size_t count = json_array_size(list);

    if (count == 0 || count > IB_MEDIUM_NODES_MAX)
        return ib_failf(err, IB_E_INVALID, "the index of '%s' has %zu nodes", name, count);
    medium->nodes = ib_calloc(count, sizeof(*medium->nodes));
    for (size_t i = 0; i < count; i++) {
        struct ib_medium_node *n = &medium->nodes[medium->count++];
        const char *what;
        struct ib_error *error = NULL;
        if (parse_node(json_array_get(list, i), n, &what, &error) < 0) {
            ib_error_free(error);
            return ib_failf(err, IB_E_INVALID, "the index of '%s' is wrong in node %zu: %s", name,
                            i + 1, what);
        }
        if (ib_medium_find(medium, n->name) != n)
            return ib_failf(err, IB_E_INVALID, "the index of '%s' has two nodes '%s'", name,
                            n->name);
    }
    return 0;
}

int ib_medium_parse(const void *data, size_t size, const char *name, struct ib_medium *ret,
                    struct ib_error **err)
{
    _cleanup_(ib_medium_clear) struct ib_medium medium = {0};
    json_error_t error;
    json_t *root = json_loadb(data, size, JSON_REJECT_DUPLICATES, &error), *nodes;
    int format = 0, r = -1;

    if (!root)
        return ib_failf(err, IB_E_INVALID, "the index of '%s' is not JSON: %s", name, error.text);
    if (json_unpack(root, "{s:i}", "format", &format) == 0 && format != IB_MEDIUM_FORMAT)
        ib_failf(err, IB_E_UNSUPPORTED, "the index of '%s' has format %d, not %d", name, format,
                 IB_MEDIUM_FORMAT);
    else if (json_unpack_ex(root, &error, JSON_STRICT, "{s:i, s:o}", "format", &format, "nodes",
                            &nodes) < 0 ||
             !json_is_array(nodes))
        ib_failf(err, IB_E_INVALID, "the index of '%s' is wrong: %s", name, error.text);
    else
        r = parse_nodes(nodes, name, &medium, err);
    json_decref(root);
    if (r < 0)
        return -1;
    *ret = medium;
    medium = (struct ib_medium){0};
    return 0;
}
