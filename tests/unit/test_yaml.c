/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "model/yaml.h"

static struct ib_yaml_node *parse(const char *text, char **said)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_yaml_node *root = ib_yaml_parse("f", text, strlen(text), diags);

    *said = ib_diags_text(diags);
    ib_diags_free(diags);
    return root;
}

static void expect(const char *text, const char *expected)
{
    char *said;

    ib_yaml_free(parse(text, &said));
    cr_expect_str_eq(said, expected, "'%s' says: %s", text, said);
    free(said);
}

static struct ib_yaml_node *parse_good(const char *text)
{
    char *said;
    struct ib_yaml_node *root = parse(text, &said);

    cr_assert(root && !*said, "%s", said);
    free(said);
    return root;
}

Test(yaml, every_node_and_key_has_its_place)
{
    struct ib_yaml_node *root = parse_good("# head\na: 1\nlist:\n  - x\n  - {k: \"v\"}\n");
    struct ib_yaml_node *list = ib_yaml_get(root, "list");

    cr_assert_eq(root->count, 2);
    cr_assert_eq(root->pairs[1].key->at.line, 3);
    cr_assert_eq(root->pairs[1].key->at.column, 1);
    cr_assert_eq(ib_yaml_get(root, "a")->at.column, 4);
    cr_assert_eq(list->kind, IB_YAML_SEQUENCE);
    cr_assert_eq(list->items[1]->at.line, 5);
    cr_assert_eq(ib_yaml_get(list->items[1], "k")->at.column, 9);
    cr_assert_not(ib_yaml_get(list->items[1], "k")->is_plain);
    cr_assert_null(ib_yaml_get(root, "b"));
    ib_yaml_free(root);
}

Test(yaml, scalars_mean_what_the_core_schema_says)
{
    static const struct {
        const char *text;
        enum ib_yaml_type type;
    } cases[] = {
        {"null", IB_YAML_NULL},     {"~", IB_YAML_NULL},
        {"", IB_YAML_NULL},         {"true", IB_YAML_BOOL},
        {"False", IB_YAML_BOOL},    {"yes", IB_YAML_STRING},
        {"on", IB_YAML_STRING},     {"no", IB_YAML_STRING},
        {"12", IB_YAML_INT},        {"-12", IB_YAML_INT},
        {"0o17", IB_YAML_INT},      {"0x1F", IB_YAML_INT},
        {"0777", IB_YAML_INT},      {"1_000", IB_YAML_STRING},
        {"1.5", IB_YAML_FLOAT},     {".5", IB_YAML_FLOAT},
        {"1e3", IB_YAML_FLOAT},     {".inf", IB_YAML_FLOAT},
        {"1.2.3", IB_YAML_STRING},  {"2G", IB_YAML_STRING},
        {"0x", IB_YAML_STRING},     {"1e", IB_YAML_STRING},
        {"10:20", IB_YAML_STRING},  {"02:00:00:00:00:10", IB_YAML_STRING},
        {"+", IB_YAML_STRING},      {"\"12\"", IB_YAML_STRING},
        {"'true'", IB_YAML_STRING},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        char *text = ib_asprintf("a: %s\n", cases[i].text);
        struct ib_yaml_node *root = parse_good(text);
        cr_expect_eq(ib_yaml_scalar_type(ib_yaml_get(root, "a")), cases[i].type, "%s",
                     cases[i].text);
        ib_yaml_free(root);
        free(text);
    }
}

Test(yaml, numbers)
{
    struct ib_yaml_node *root =
        parse_good("[0o17, 0x1F, -9223372036854775808, 0777, 9223372036854775808]");
    static const int64_t values[] = {15, 31, INT64_MIN, 777};
    int64_t v;

    for (size_t i = 0; i < 4; i++)
        cr_assert(ib_yaml_int(root->items[i], &v) && v == values[i]);
    cr_assert_not(ib_yaml_int(root->items[4], &v));
    ib_yaml_free(root);
}

Test(yaml, refuses_what_surprises)
{
    expect("a: &x 1\n", "f:1:4: anchors ('&name') are not allowed; write the value out\n");
    expect("a: *x\n", "f:1:4: aliases ('*name') are not allowed; write the value out\n");
    expect("a: !!int 1\n", "f:1:4: tags ('!name') are not allowed; the key decides the type\n");
    expect("a: 1\nb: 2\na: 3\n",
           "f:3:1: key 'a' stands here twice; its first value is on line 1\n");
    expect("[a]: 1\n", "f:1:1: a key is a list; expected a word\n");
    expect("\"\": 1\n", "f:1:1: a key is empty\n");
    expect("a: \"x\\0y\"\n", "f:1:4: a string holds a NUL character; expected text\n");
    expect("a: 1\n--- \nb: 1\n",
           "f:2:1: a second document begins; expected one document in a file\n");
    expect("a:\n\tb: 1\n", "f:2:1: a tab cannot indent or separate in YAML; expected spaces\n");
    expect("a: \x01\n", "f:1:4: byte 0x01 is not allowed here; expected printable text in UTF-8\n");
    expect("a: \xc0\xaf\n",
           "f:1:4: byte 0xc0 is not allowed here; expected printable text in UTF-8\n");
    expect("ö: \xed\xa0\x80\n",
           "f:1:4: byte 0xed is not allowed here; expected printable text in UTF-8\n");
    expect("a: [1\n", "f:2:1: did not find expected ',' or ']'; while parsing a flow sequence that "
                      "begins on line 1\n");
    expect("", "");
    expect("text: |\n  make:\n  \tdoes want tabs\n", "");
    expect("ö: 日本 🦊\n", "");
}

/* A text that would need much memory or time if it were believed. */
static void refuse_quickly(char *text, const char *expected)
{
    char *said;

    ib_yaml_free(parse(text, &said));
    cr_expect(strstr(said, expected), "%s", said);
    free(said);
    free(text);
}

Test(yaml, is_bounded)
{
    struct ib_buf buf = {0};

    for (int i = 0; i < 100000; i++)
        ib_buf_append_str(&buf, "[");
    refuse_quickly(ib_buf_steal_string(&buf), "nested too deeply");
    for (int i = 0; i < 2000; i++)
        ib_buf_printf(&buf, "k%d: 1\n", i);
    refuse_quickly(ib_buf_steal_string(&buf), "more than 1000 keys");
    for (int i = 0; i < 200000; i++)
        ib_buf_append_str(&buf, "- 1\n");
    refuse_quickly(ib_buf_steal_string(&buf), "more than 100000 values");
    for (int i = 0; i < 1100; i++)
        ib_buf_printf(&buf, "# %01000d\n", i);
    refuse_quickly(ib_buf_steal_string(&buf), "too large");
}
