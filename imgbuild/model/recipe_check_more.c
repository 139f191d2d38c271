/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of addresses, of bases by their kind, and of what only shows when all is merged. */
#include <string.h>

#include "recipe_private.h"

/* Addresses */

static void check_inside(const struct checker *c, const char *what, const uint32_t *address)
{
    const struct ib_ipv4_network *subnet = &c->recipe->cluster.network.subnet;
    char text[IB_IPV4_TEXT_SIZE], network[IB_NETWORK_TEXT_SIZE];

    if (*address == 0 || subnet->prefix == 0)
        return;
    ib_ipv4_format(*address, text);
    ib_network_format(subnet, network);
    if (!ib_network_contains(subnet, *address)) {
        ib_diag(c->diags, origin_of(c, address), "%s %s is outside the cluster's network", what,
                text);
        ib_diag_expect(c->diags, "expected an address in %s", network);
    } else if (*address == subnet->address || *address == ib_network_broadcast(subnet)) {
        ib_diag(c->diags, origin_of(c, address), "%s %s is the %s address of the network", what,
                text, *address == subnet->address ? "first" : "broadcast");
        ib_diag_expect(c->diags, "expected an address inside %s", network);
    }
}

/* A reserved address that a node or the VIP must not have. */
static void check_differs(const struct checker *c, const char *what, const uint32_t *address,
                          const char *other, uint32_t other_address)
{
    char text[IB_IPV4_TEXT_SIZE];

    if (*address == 0 || *address != other_address)
        return;
    ib_diag(c->diags, origin_of(c, address), "%s %s is the %s", what,
            ib_ipv4_format(*address, text), other);
    ib_diag_expect(c->diags, "expected a free address");
}

static void check_not_in_pool(const struct checker *c, const char *what, const uint32_t *address)
{
    const struct ib_ipv4_range *pool = &c->recipe->cluster.network.load_balancer_pool;
    char text[IB_IPV4_TEXT_SIZE], range[IB_RANGE_TEXT_SIZE];

    if (*address == 0 || !ib_range_contains(pool, *address))
        return;
    ib_diag(c->diags, origin_of(c, address), "%s %s is in the load balancer's pool", what,
            ib_ipv4_format(*address, text));
    ib_diag_expect(c->diags, "expected an address outside %s", ib_range_format(pool, range));
}

static void check_pool(const struct checker *c)
{
    const struct ib_cluster *cluster = &c->recipe->cluster;
    const struct ib_ipv4_range *pool = &cluster->network.load_balancer_pool;
    char network[IB_NETWORK_TEXT_SIZE];

    if (!pool->last || !cluster->network.subnet.prefix)
        return;
    if (ib_network_contains(&cluster->network.subnet, pool->first) &&
        ib_network_contains(&cluster->network.subnet, pool->last))
        return;
    ib_diag(c->diags, origin_of(c, pool), "'load_balancer_pool' is outside the cluster's network");
    ib_diag_expect(c->diags, "expected addresses in %s",
                   ib_network_format(&cluster->network.subnet, network));
}

static void check_node_address(const struct checker *c, const struct ib_recipe_node *node)
{
    const struct ib_cluster *cluster = &c->recipe->cluster;

    check_inside(c, "address", &node->address);
    check_not_in_pool(c, "address", &node->address);
    check_differs(c, "address", &node->address, "gateway", cluster->network.gateway);
    check_differs(c, "address", &node->address, "control plane's VIP", cluster->network.vip);
}

/* Two nodes with one address or one MAC: reported at the second, with the place of the first. */
static void check_repeats(const struct checker *c, size_t index)
{
    const struct ib_recipe_node *node = &c->recipe->nodes.items[index];
    char text[IB_MAC_TEXT_SIZE];

    for (size_t i = 0; i < index; i++) {
        const struct ib_recipe_node *other = &c->recipe->nodes.items[i];
        if (node->address && node->address == other->address) {
            ib_diag(c->diags, origin_of(c, &node->address), "address %s belongs to '%s' already",
                    ib_ipv4_format(node->address, text), other->name);
            ib_diag_expect(c->diags, "see %s:%u", origin_of(c, &other->address).file,
                           origin_of(c, &other->address).line);
        }
        if (ib_mac_is_unicast(&node->mac) && ib_mac_equal(&node->mac, &other->mac)) {
            ib_diag(c->diags, origin_of(c, &node->mac), "MAC address %s belongs to '%s' already",
                    ib_mac_format(&node->mac, text), other->name);
            ib_diag_expect(c->diags, "see %s:%u", origin_of(c, &other->mac).file,
                           origin_of(c, &other->mac).line);
        }
    }
}

void ib_recipe_check_network(const struct checker *c)
{
    const struct ib_cluster *cluster = &c->recipe->cluster;
    const struct ib_ipv4_network *subnet = &cluster->network.subnet;

    if (subnet->address && (subnet->prefix < 8 || subnet->prefix > 30)) {
        ib_diag(c->diags, origin_of(c, subnet), "a network of length %u does not fit a cluster",
                subnet->prefix);
        ib_diag_expect(c->diags, "expected a length from 8 to 30");
    }
    check_inside(c, "gateway", &cluster->network.gateway);
    check_inside(c, "VIP", &cluster->network.vip);
    check_differs(c, "VIP", &cluster->network.vip, "gateway", cluster->network.gateway);
    check_not_in_pool(c, "VIP", &cluster->network.vip);
    check_not_in_pool(c, "gateway", &cluster->network.gateway);
    check_pool(c);
    for (size_t i = 0; i < c->recipe->nodes.count; i++) {
        check_node_address(c, &c->recipe->nodes.items[i]);
        check_repeats(c, i);
    }
}

/* Bases */

/* A key that is required of some kinds of bases and does not belong to others. */
static void check_kind_key(const struct checker *c, const struct ib_base *base, const char *key,
                           bool is_there, const void *value, bool is_wanted, bool is_required)
{
    if (is_there && !is_wanted) {
        ib_diag(c->diags, origin_of(c, value), "'%s' does not belong to a base of kind '%s'", key,
                ib_base_kind_name(base->kind));
    } else if (!is_there && is_required) {
        ib_diag(c->diags, origin_of(c, &base->name), "key '%s' is missing", key);
        ib_diag_expect(c->diags, "a base of kind '%s' needs it", ib_base_kind_name(base->kind));
    }
}

static void check_repository(const struct checker *c, const struct ib_repository *repository)
{
    if (!repository->url == !repository->metalink) {
        ib_diag(c->diags, origin_of(c, &repository->name), "repository '%s' has %s",
                repository->name ? repository->name : "?",
                repository->url ? "both 'url' and 'metalink'" : "neither 'url' nor 'metalink'");
        ib_diag_expect(c->diags, "expected one of them");
    }
}

static void check_signature(const struct checker *c, const struct ib_base *base)
{
    if (base->signing_key && !base->signing_fingerprint) {
        ib_diag(c->diags, origin_of(c, &base->signing_key),
                "'signing_key' without 'signing_fingerprint'");
        ib_diag_expect(c->diags, "expected the fingerprint too: it pins the key");
    }
    if (base->signing_fingerprint && !base->signing_key) {
        ib_diag(c->diags, origin_of(c, &base->signing_fingerprint),
                "'signing_fingerprint' without 'signing_key'");
        ib_diag_expect(c->diags, "expected a file with the key, such as recipes/keys/NAME.asc");
    }
    if (base->signing_key && !base->checksums) {
        ib_diag(c->diags, origin_of(c, &base->signing_key), "'signing_key' without 'checksums'");
        ib_diag_expect(c->diags, "expected the URL of the signed checksum file");
    }
}

void ib_recipe_check_base(const struct checker *c, const struct ib_base *base)
{
    bool is_suite = base->kind == IB_BASE_DEBIAN_SUITE;
    bool is_fedora = base->family == IB_FAMILY_FEDORA;

    if (!origin_of(c, &base->kind).file || ib_diags_has(c->diags, origin_of(c, &base->kind)))
        return; /* what belongs to it is not known */
    check_kind_key(c, base, "suite", base->suite, &base->suite, is_suite, is_suite);
    check_kind_key(c, base, "mirrors", base->mirrors.count, &base->mirrors, is_suite, is_suite);
    check_kind_key(c, base, "components", base->components.count, &base->components, is_suite,
                   false);
    check_kind_key(c, base, "snapshot", base->snapshot, &base->snapshot, is_suite, false);
    check_kind_key(c, base, "urls", base->urls.count, &base->urls, !is_suite, !is_suite);
    check_kind_key(c, base, "version", base->version, &base->version, !is_suite, !is_suite);
    check_kind_key(c, base, "checksums", base->checksums, &base->checksums, !is_suite, false);
    check_kind_key(c, base, "signing_fingerprint", base->signing_fingerprint,
                   &base->signing_fingerprint, !is_suite, false);
    if (is_suite && is_fedora) {
        ib_diag(c->diags, origin_of(c, &base->family),
                "a base of kind 'debian-suite' is not of the family 'fedora'");
        ib_diag_expect(c->diags, "expected 'debian'");
    }
    if (base->repositories.count && !is_fedora) {
        ib_diag(c->diags, origin_of(c, &base->repositories),
                "'repositories' does not belong to a base of the family 'debian'");
        ib_diag_expect(c->diags, "expected 'mirrors'");
    }
    for (size_t i = 0; i < base->repositories.count; i++)
        check_repository(c, &base->repositories.items[i]);
    if (!is_suite) /* whose key file is a whole keyring, and signs the suite's index */
        check_signature(c, base);
}

/* Resolved */

static void check_contradictions(const struct checker *c, const char *wanted,
                                 const struct ib_strv *some, const char *unwanted,
                                 const struct ib_strv *others)
{
    for (size_t i = 0; i < others->count; i++) {
        const char *name = others->items[i];
        for (size_t k = 0; k < some->count; k++) {
            if (!ib_streq(some->items[k], name))
                continue;
            struct ib_origin at = origin_of(c, some->items[k]);
            ib_diag(c->diags, origin_of(c, name), "'%s' is both %s and %s", name, wanted, unwanted);
            ib_diag_expect(c->diags, "see %s:%u", at.file, at.line);
        }
    }
}

static void check_root_spec(const struct checker *c, const struct ib_root_spec *root)
{
    check_contradictions(c, "installed", &root->packages, "removed", &root->remove_packages);
    check_contradictions(c, "enabled", &root->enable, "disabled", &root->disable);
    check_contradictions(c, "enabled", &root->enable, "masked", &root->mask);
    for (size_t i = 0; i < root->payloads.count; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct ib_payload *a = &root->payloads.items[k], *b = &root->payloads.items[i];
            if (ib_streq(a->path, b->path))
                ib_diag(c->diags, origin_of(c, &b->path), "payloads '%s' and '%s' have one path",
                        a->name, b->name);
        }
    }
}

static void check_storage(const struct checker *c, const struct ib_node_spec *spec)
{
    const struct ib_storage *s = &spec->storage;

    if (s->var_max_size && s->var_min_size > s->var_max_size) {
        struct ib_origin at = origin_of(c, &s->var_min_size);
        ib_diag(c->diags, origin_of(c, &s->var_max_size),
                "storage.var of '%s': 'max' is less than 'min'", spec->name);
        ib_diag_expect(c->diags, "'min' is set in %s:%u", at.file, at.line);
    }
    if (s->ceph && !s->ceph_size && !s->var_max_size) {
        ib_diag(c->diags, origin_of(c, &s->ceph),
                "/var and Ceph of '%s' would both take all that is left", spec->name);
        ib_diag_expect(c->diags, "expected a size for one: 'ceph: 200G', or 'max' under 'var'");
    }
}

void ib_recipe_check_resolved(const struct ib_recipe *recipe, struct ib_diags *diags)
{
    struct checker c = {.recipe = recipe, .diags = diags};

    for (size_t i = 0; i < recipe->root_specs.count; i++)
        check_root_spec(&c, &recipe->root_specs.items[i]);
    for (size_t i = 0; i < recipe->node_specs.count; i++)
        check_storage(&c, &recipe->node_specs.items[i]);
}
