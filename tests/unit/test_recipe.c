/* SPDX-License-Identifier: Apache-2.0 */
/* Good recipes: what follows from them, where it came from, and what is made of the tables. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "model/net.h"
#include "model/recipe_schema.h"
#include "model/show.h"

#define GOOD IB_SOURCE_DIR "/tests/fixtures/recipes-good"

static struct ib_recipe *load(const char *dir, const char *base)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_error *err = NULL;
    struct ib_recipe *recipe = ib_recipe_load(dir, base, diags, &err);
    char *said = ib_diags_text(diags);

    cr_assert(recipe, "%s%s", said, err ? ib_error_text(err) : "");
    free(said);
    ib_diags_free(diags);
    return recipe;
}

static void expect_list(const struct ib_strv *list, const char *expected)
{
    char *joined = ib_strv_join(list, " ");

    cr_expect_str_eq(joined, expected, "%s", joined);
    free(joined);
}

static void expect_json(const json_t *value, const char *expected)
{
    char *text = json_dumps(value, JSON_SORT_KEYS | JSON_COMPACT);

    cr_expect_str_eq(text, expected, "%s", text);
    free(text);
}

static void expect_origin(const struct ib_recipe *recipe, const void *value, const char *file,
                          uint32_t line)
{
    struct ib_origin at = ib_recipe_origin(recipe, value);

    cr_expect_str_eq(at.file ? at.file : "", file);
    cr_expect_eq(at.line, line, "%s:%u", file, at.line);
}

Test(net, addresses)
{
    uint32_t a;
    struct ib_ipv4_network n;
    struct ib_ipv4_range r;
    struct ib_mac m;
    char buf[64];

    cr_assert(ib_ipv4_parse("10.10.10.1", &a) && a == 0x0a0a0a01);
    cr_assert_not(ib_ipv4_parse("10.10.10.01", &a));
    cr_assert_not(ib_ipv4_parse("10.10.10", &a));
    cr_assert_not(ib_ipv4_parse("10.10.10.1 ", &a));
    cr_assert_not(ib_ipv4_parse("10.10.10.256", &a));
    cr_assert_not(ib_ipv4_parse("", &a));
    cr_assert(ib_network_parse("10.10.10.0/24", &n));
    cr_assert(ib_network_contains(&n, 0x0a0a0aff) && !ib_network_contains(&n, 0x0a0a0b00));
    cr_assert_eq(ib_network_broadcast(&n), 0x0a0a0aff);
    cr_assert_str_eq(ib_network_format(&n, buf), "10.10.10.0/24");
    cr_assert(ib_network_parse("0.0.0.0/0", &n) && ib_network_contains(&n, UINT32_MAX));
    cr_assert_not(ib_network_parse("10.10.10.1/24", &n));
    cr_assert_not(ib_network_parse("10.10.10.0/33", &n));
    cr_assert_not(ib_network_parse("10.10.10.0/024", &n));
    cr_assert(ib_range_parse("10.0.0.1-10.0.0.9", &r) && ib_range_contains(&r, r.last));
    cr_assert_not(ib_range_parse("10.0.0.9-10.0.0.1", &r));
    cr_assert(ib_mac_parse("02-00-0A-00-00-ff", &m));
    cr_assert_str_eq(ib_mac_format(&m, buf), "02:00:0a:00:00:ff");
    cr_assert_not(ib_mac_parse("02:00-00:00:00:00", &m));
    cr_assert(ib_mac_parse("ff:ff:ff:ff:ff:ff", &m) && !ib_mac_is_unicast(&m));
}

Test(recipe, a_node_is_merged_from_its_files)
{
    struct ib_recipe *r = load(GOOD, NULL);
    const struct ib_node_spec *sif = ib_recipe_node_spec(r, "sif");

    cr_assert_str_eq(sif->hostname, "sif.lab.example.org");
    cr_assert_eq(sif->address, 0x0a0a0a16);
    cr_assert_eq(sif->subnet.prefix, 24);
    expect_list(&sif->kernel_arguments, "console=tty0 console=ttyS0,115200 quiet pci=nommconf");
    expect_list(&sif->drivers, "e1000e nvme");
    cr_assert_eq(sif->install_disk.type, IB_DISK_SSD);
    cr_assert_eq(sif->install_disk.min_size, 100 * IB_GIB);
    cr_assert_eq(sif->storage.var_min_size, 4 * IB_GIB);  /* the cluster's */
    cr_assert_eq(sif->storage.var_max_size, 64 * IB_GIB); /* its own */
    cr_assert(sif->storage.ceph && sif->storage.ceph_size == 0);
    cr_assert_eq(sif->files.count, 1);
    cr_assert_str_eq(sif->files.items[0].content, "sif 10.10.10.22");
    cr_assert_eq(sif->files.items[0].mode, 0644);
    expect_json(sif->k3s_config,
                "{\"node-ip\":\"10.10.10.22\",\"node-label\":[\"zone=a\",\"disk=large\"],"
                "\"node-taint\":[\"storage=only:NoSchedule\"],"
                "\"server\":\"https://10.10.10.100:6443\"}");
    ib_recipe_free(r);
}

Test(recipe, the_founder_is_not_told_where_to_join)
{
    struct ib_recipe *r = load(GOOD, NULL);

    cr_assert(ib_recipe_node_spec(r, "odin")->founder);
    expect_json(ib_recipe_node_spec(r, "odin")->k3s_config,
                "{\"node-ip\":\"10.10.10.10\",\"tls-san\":[\"10.10.10.100\"]}");
    expect_json(ib_recipe_node_spec(r, "freyja")->k3s_config,
                "{\"node-ip\":\"10.10.10.11\",\"server\":\"https://10.10.10.100:6443\","
                "\"tls-san\":[\"10.10.10.100\"]}");
    ib_recipe_free(r);
}

Test(recipe, a_root_is_a_role_on_a_base)
{
    struct ib_recipe *r = load(GOOD, NULL);
    const struct ib_root_spec *control = ib_recipe_root_spec(r, "control");
    const struct ib_root_spec *worker = ib_recipe_root_spec(r, "worker.fedora-44");

    cr_assert_eq(r->root_specs.count, 2);
    cr_assert_eq(ib_recipe_node_spec(r, "odin")->root, control);
    cr_assert_eq(ib_recipe_node_spec(r, "freyja")->root, control);
    cr_assert_eq(ib_recipe_node_spec(r, "sif")->root, worker);
    expect_list(&control->packages,
                "chrony dracut ethtool intel-microcode linux-image-amd64 systemd");
    expect_list(&worker->packages, "dracut ethtool kernel-core microcode_ctl systemd");
    expect_list(&control->overlays, "common k3s");
    expect_list(&control->enable, "k3s.service");
    cr_assert_str_eq(control->files.items[1].content, "name lab\nvip 10.10.10.100\n");
    cr_assert_str_eq(control->users.items[0].home, "/home/odd");
    cr_assert_eq(control->users.items[0].gid, -1);
    cr_assert_str_eq(control->payloads.items[0].urls.items[0],
                     "https://github.com/k3s-io/k3s/releases/download/v1.36.4%2Bk3s1/k3s");
    cr_assert_eq(control->payloads.items[0].mode, 0755);
    ib_recipe_free(r);
}

Test(recipe, one_base_for_all_when_asked)
{
    struct ib_recipe *r = load(GOOD, "fedora-44");
    struct ib_error *err = NULL;
    struct ib_diags *diags = ib_diags_new();

    cr_assert_eq(r->root_specs.count, 2);
    cr_assert_str_eq(ib_recipe_root_spec(r, "control")->base->name, "fedora-44");
    ib_recipe_free(r);
    cr_assert_null(ib_recipe_load(GOOD, "fedora-45", diags, &err));
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_assert_str_eq(ib_error_hint(err), "did you mean 'fedora-44'? Bases: debian-13, fedora-44");
    ib_error_free(err);
    ib_diags_free(diags);
}

Test(recipe, values_know_where_they_came_from)
{
    struct ib_recipe *r = load(GOOD, NULL);
    const struct ib_node_spec *sif = ib_recipe_node_spec(r, "sif");

    expect_origin(r, &sif->address, "recipes/nodes/sif.yaml", 5);
    expect_origin(r, &sif->gateway, "recipes/cluster.yaml", 6);
    expect_origin(r, sif->kernel_arguments.items[0], "firmware/m720q.yaml", 4);
    expect_origin(r, sif->kernel_arguments.items[2], "recipes/cluster.yaml", 12);
    expect_origin(r, &sif->storage.var_min_size, "recipes/cluster.yaml", 23);
    expect_origin(r, &sif->storage.var_max_size, "recipes/nodes/sif.yaml", 17);
    expect_origin(r, &sif->slot_size, "", 0); /* a default */
    expect_origin(r, sif->root->packages.items[3], "firmware/m720q.yaml", 7);
    ib_recipe_free(r);
}

static char *expand(const struct ib_values *values, const char *text, char **said)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_buf buf = {0};
    int r = ib_recipe_expand(values, text, strlen(text), "f", 7, &buf, diags);

    cr_assert_eq(r<0, ib_diags_count(diags)> 0);
    *said = ib_diags_text(diags);
    ib_diags_free(diags);
    return ib_buf_steal_string(&buf);
}

static void expect_expanded(const struct ib_values *values, const char *text, const char *expected,
                            const char *expected_said)
{
    char *said, *result = expand(values, text, &said);

    cr_expect_str_eq(result, expected);
    cr_expect_str_eq(said, expected_said, "%s", said);
    free(result);
    free(said);
}

Test(recipe, values_in_text)
{
    struct ib_recipe *r = load(GOOD, NULL);
    const struct ib_node_spec *odin = ib_recipe_node_spec(r, "odin");
    const struct ib_values *node = ib_node_values(r, odin), *root = ib_root_values(r, odin->root);

    expect_expanded(node,
                    "${node.name}.${cluster.domain} ${node.mac} $${x} $x $ ${payload.k3s.path}",
                    "odin.lab.example.org 02:00:00:00:00:10 ${x} $x $ /usr/bin/k3s", "");
    expect_expanded(node, "${cluster.network.subnet} ${cluster.network.netmask} ${role.name}",
                    "10.10.10.0/24 255.255.255.0 control", "");
    expect_expanded(node, "a\n b ${node.nam}", "a\n b ",
                    "f:8:4: unknown value '${node.nam}'; see 'imgbuild schema --values'; \"$${\" "
                    "stands for \"${\" itself; did you mean 'node.name'?\n");
    expect_expanded(root, "${node.name}", "",
                    "f:7:1: unknown value '${node.name}'; nodes of one role share this file: put "
                    "it into the node's recipe\n");
    expect_expanded(node, "x ${node.name\n}", "x \n}",
                    "f:7:3: '${' is not closed; expected '}' on the same line; \"$${\" stands for "
                    "\"${\" itself\n");
    ib_recipe_free(r);
}

/* One recipe text more in a role: the root's canonical form must change, the node's must not. */
Test(recipe, canonical_forms_hold_what_decides)
{
    struct ib_recipe *r = load(GOOD, NULL), *again = load(GOOD, NULL);
    const struct ib_node_spec *odin = ib_recipe_node_spec(r, "odin");
    char *a = ib_root_spec_canonical(odin->root);
    char *b = ib_root_spec_canonical(ib_recipe_node_spec(again, "freyja")->root);
    char *c = ib_node_spec_canonical(odin);

    cr_assert_str_eq(a, b);
    cr_assert(strstr(a, "\"suite\":\"trixie\""));
    cr_assert(strstr(c, "\"hostname\":\"odin.lab.example.org\""));
    cr_assert_null(strstr(c, "linux-image"));
    free(a);
    free(b);
    free(c);
    ib_recipe_free(r);
    ib_recipe_free(again);
}

Test(recipe, the_cluster_of_this_project)
{
    struct ib_recipe *r = load(IB_SOURCE_DIR, NULL);
    static const char *const names[] = {"draupnir",   "freyja", "heimdall",
                                        "megingjord", "odin",   "yggdrasil"};

    cr_assert_eq(r->node_specs.count, 6);
    for (size_t i = 0; i < 6; i++)
        cr_assert_str_eq(r->node_specs.items[i].name, names[i]);
    cr_assert_eq(r->root_specs.count, 3);
    cr_assert_eq(r->bases.count, 3);
    const struct ib_node_spec *odin = ib_recipe_node_spec(r, "odin");
    const struct ib_node_spec *draupnir = ib_recipe_node_spec(r, "draupnir");
    char *a = ib_strv_join(&odin->drivers, " "), *b = ib_strv_join(&draupnir->drivers, " ");
    cr_assert_str_eq(a, b, "the Lenovos share one initrd");
    free(a);
    free(b);
    ib_recipe_free(r);
    r = load(IB_SOURCE_DIR, "debian-13");
    cr_assert(ib_strv_contains(&ib_recipe_root_spec(r, "control")->packages, "linux-image-amd64"));
    ib_recipe_free(r);
}

Test(show, everything_with_its_origin)
{
    struct ib_recipe *r = load(GOOD, NULL);
    const struct ib_node_spec *sif = ib_recipe_node_spec(r, "sif");
    json_t *shown = ib_recipe_show_json(r, sif), *list = ib_recipe_list_json(r);
    char *text = ib_recipe_show_text(r, sif);

    cr_assert_str_eq(
        json_string_value(json_object_get(json_object_get(shown, "origins"), "node.address")),
        "recipes/nodes/sif.yaml:5");
    json_t *network = json_object_get(json_object_get(shown, "node"), "network");
    cr_assert_str_eq(json_string_value(json_object_get(network, "subnet")), "10.10.10.0/24");
    cr_assert_eq(json_array_size(json_object_get(list, "nodes")), 3);
    cr_assert(strstr(text, "sif: role worker on fedora-44, m720q\n"));
    json_decref(shown);
    json_decref(list);
    free(text);
    ib_recipe_free(r);
}

/* The subset of JSON Schema that we write, checked for being complete. */
static void check_schema(const json_t *schema, const char *path)
{
    json_t *properties = json_object_get(schema, "properties"), *value;
    const char *key;

    json_object_foreach (properties, key, value) {
        char *below = ib_asprintf("%s.%s", path, key);
        cr_expect(strlen(json_string_value(json_object_get(value, "description"))) > 3, "%s",
                  below);
        cr_expect(json_object_get(value, "type") || json_object_get(value, "enum") ||
                      json_object_get(value, "anyOf"),
                  "%s", below);
        check_schema(value, below);
        free(below);
    }
    if (properties)
        cr_expect(json_is_false(json_object_get(schema, "additionalProperties")), "%s", path);
}

Test(schema, every_key_is_described)
{
    for (size_t i = 0; i < IB_RECIPE_KIND_COUNT; i++) {
        json_t *schema = ib_schema_json_schema(ib_recipe_kinds[i].schema, "urn:x");
        check_schema(schema, ib_recipe_kinds[i].name);
        json_decref(schema);
    }
}

Test(schema, the_committed_reference_is_the_tables)
{
    struct ib_buf committed = {0};
    char *text = ib_recipe_reference();

    cr_assert_eq(ib_read_file(IB_SOURCE_DIR "/docs/recipes.md", IB_MIB, &committed, NULL), 0);
    cr_assert_str_eq((char *)committed.data, text,
                     "run imgbuild schema --markdown > docs/recipes.md");
    ib_buf_clear(&committed);
    free(text);
}

Test(diag, sorted_and_as_json)
{
    struct ib_diags *diags = ib_diags_new();
    static const char *const names[] = {"role", "base"};

    ib_diag(diags, (struct ib_origin){.file = "b", .line = 1, .column = 1}, "late");
    ib_diag(diags, (struct ib_origin){0}, "nowhere");
    ib_diag(diags, (struct ib_origin){.file = "a", .line = 9, .column = 2}, "unknown '%s'",
            "rolle");
    ib_diag_expect(diags, "expected a word");
    ib_diag_nearest(diags, "rolle", names, 2);
    ib_diag(diags, (struct ib_origin){.file = "b", .line = 1, .column = 1}, "late");
    ib_diags_sort(diags);
    char *text = ib_diags_text(diags);
    cr_assert_str_eq(text, "a:9:2: unknown 'rolle'; expected a word; did you mean 'role'?\n"
                           "b:1:1: late\nnowhere\n");
    json_t *json = ib_diags_json(diags);
    expect_json(json_array_get(json, 0), "{\"column\":2,\"expectation\":\"expected a word\","
                                         "\"file\":\"a\",\"line\":9,\"message\":"
                                         "\"unknown 'rolle'\",\"suggestion\":\"role\"}");
    struct ib_error *err = NULL;
    cr_assert_eq(ib_diags_to_error(diags, &err), -1);
    char *whole = ib_error_text(err);
    cr_assert(strstr(whole, "(and 2 more)"));
    free(whole);
    free(text);
    json_decref(json);
    ib_error_free(err);
    ib_diags_free(diags);
}
