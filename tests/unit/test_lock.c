/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "model/lock.h"

#define HEX "835873f37245fc615f547a2fe2af9402a347875f13fa64a1f136de644955ea3f"
#define FPR "36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6"

static const char good[] =
    "{\n"
    "  \"format\": 1,\n"
    "  \"date\": \"2026-11-20T08:30:00Z\",\n"
    "  \"entries\": [\n"
    "    {\"name\": \"k3s\", \"kind\": \"payload\", \"version\": \"v1.36.4+k3s1\",\n"
    "     \"urls\": [\"https://example.org/k3s\", \"http://mirror.example.org/k3s\"],\n"
    "     \"size\": 78991522, \"sha256\": \"" HEX "\",\n"
    "     \"verified\": \"sha256sum-file:https://example.org/sums\"},\n"
    "    {\"name\": \"fedora-44\", \"kind\": \"base\", \"version\": \"44-1.7\",\n"
    "     \"urls\": [\"https://example.org/f.qcow2\"], \"size\": 0, \"sha256\": \"" HEX "\",\n"
    "     \"verified\": \"gpg:" FPR "\"}\n"
    "  ],\n"
    "  \"package_sets\": [\n"
    "    {\"base\": \"debian-13\", \"role\": \"control\", \"input\": \"" HEX "\", \"packages\": [\n"
    "      {\"name\": \"zstd\", \"version\": \"1.5.7+dfsg-1\", \"architecture\": \"amd64\",\n"
    "       \"url\": \"http://example.org/zstd.deb\", \"size\": 5, \"sha256\": \"" HEX "\"},\n"
    "      {\"name\": \"libc6\", \"version\": \"1:2.41-12~deb13u1\", \"architecture\": \"amd64\",\n"
    "       \"url\": \"http://example.org/libc6.deb\", \"size\": 7, \"sha256\": \"" HEX "\"}\n"
    "    ]}\n"
    "  ]\n"
    "}\n";

static struct ib_lock *parse(const char *text)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_lock *lock = ib_lock_parse("imgbuild.lock", text, strlen(text), diags);
    char *said = ib_diags_text(diags);

    cr_assert(lock, "%s", said);
    free(said);
    ib_diags_free(diags);
    return lock;
}

Test(lock, reads_sorts_and_finds)
{
    struct ib_lock *lock = parse(good);

    cr_assert_eq(lock->date_s, 1795163400);
    cr_assert_str_eq(lock->entries[0].name, "fedora-44");
    const struct ib_lock_entry *e = ib_lock_entry(lock, IB_LOCK_PAYLOAD, "k3s");
    cr_assert_eq(e->size_bytes, 78991522);
    cr_assert_eq(e->urls.count, 2);
    cr_assert_eq(e->verified, IB_VERIFIED_SHA256SUM);
    cr_assert_str_eq(e->verified_by, "https://example.org/sums");
    cr_assert_null(ib_lock_entry(lock, IB_LOCK_BASE, "k3s"));
    const struct ib_lock_package_set *set = ib_lock_package_set(lock, "debian-13", "control");
    cr_assert_eq(set->package_count, 2);
    cr_assert_str_eq(set->packages[0].name, "libc6");
    cr_assert_str_eq(set->packages[0].version, "1:2.41-12~deb13u1");
    cr_assert_null(ib_lock_package_set(lock, "debian-13", "worker"));
    ib_lock_free(lock);
}

Test(lock, formats_what_it_parses)
{
    struct ib_lock *lock = parse(good);
    char *once = ib_lock_format(lock);
    struct ib_lock *again = parse(once);
    char *twice = ib_lock_format(again);

    cr_assert_str_eq(once, twice);
    cr_assert(strstr(once, "\"date\": \"2026-11-20T08:30:00Z\""));
    cr_assert(strstr(once, "\"verified\": \"gpg:" FPR "\""));
    free(once);
    free(twice);
    ib_lock_free(again);
    ib_lock_free(lock);
}

Test(lock, puts_replaces_and_removes)
{
    struct ib_lock *lock = parse(good);
    struct ib_lock_entry entry = {
        .name = ib_strdup("k3s"), .kind = IB_LOCK_PAYLOAD, .version = ib_strdup("v2")};
    struct ib_lock_package_set set = {.base = ib_strdup("b"), .role = ib_strdup("r")};

    ib_strv_add(&entry.urls, "https://example.org/v2");
    cr_assert_str_eq(ib_lock_put_entry(lock, &entry)->version, "v2");
    cr_assert_null(entry.name);
    cr_assert_eq(lock->entry_count, 2);
    ib_lock_put_package_set(lock, &set);
    cr_assert_eq(lock->set_count, 2);
    cr_assert(ib_lock_remove_package_set(lock, "debian-13", "control"));
    cr_assert_not(ib_lock_remove_package_set(lock, "debian-13", "control"));
    cr_assert(ib_lock_remove_entry(lock, IB_LOCK_BASE, "fedora-44"));
    cr_assert_not(ib_lock_remove_entry(lock, IB_LOCK_BASE, "fedora-44"));
    char *text = ib_lock_format(lock);
    ib_lock_free(parse(text));
    free(text);
    ib_lock_free(lock);
}

/* The good text with the first `from` replaced. */
static char *changed(const char *from, const char *to)
{
    const char *at = strstr(good, from);

    cr_assert_not_null(at, "%s", from);
    return ib_asprintf("%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

Test(lock, mistakes_have_their_place)
{
    static const struct {
        const char *from, *to, *said;
    } cases[] = {
        {"\"format\": 1", "\"format\": 2",
         "imgbuild.lock:2:13: this lock has a format that is not known; expected 1: a newer "
         "imgbuild may know it\n"},
        {"2026-11-20T08", "2026-13-20T08",
         "imgbuild.lock:3:11: 'date' is no time; expected a time in UTC such as "
         "'2026-11-20T00:00:00Z'\n"},
        {"\"payload\"", "\"paylod\"",
         "imgbuild.lock:5:29: 'kind' is unknown; expected one of 'base', 'payload'; did you mean "
         "'payload'?\n"},
        {"\"http://mirror.example.org/k3s\"", "\"mirror\"",
         "imgbuild.lock:6:42: this is no URL; expected https://, http:// or file:/// and the "
         "rest\n"},
        {"78991522", "-1",
         "imgbuild.lock:7:14: 'size' is no number of bytes; expected a whole number from 0\n"},
        {"835873f3", "835873F3",
         "imgbuild.lock:7:34: 'sha256' is no SHA-256; expected 64 hexadecimal digits in lower "
         "case\n"},
        {"\"gpg:36F6", "\"gpg:36f6",
         "imgbuild.lock:11:18: 'verified' does not say how the hash was come by; expected "
         "'gpg:FINGERPRINT', 'sha256sum-file:URL' or 'pinned'\n"},
        {"\"fedora-44\", \"kind\": \"base\"", "\"k3s\", \"kind\": \"payload\"",
         "imgbuild.lock:9:14: payload 'k3s' stands here twice\n"},
        {"\"size\": 5", "\"size\": 5, \"sha\": 1", "imgbuild.lock:16:64: unknown key 'sha'; did you mean 'sha256'?\n"},
        {"\"libc6\", \"version\": \"1:2.41-12~deb13u1\"", "\"zstd\", \"version\": \"1.5.7+dfsg-1\"",
         "imgbuild.lock:17:16: package 'zstd' stands here twice\n"},
        {"\"base\": \"debian-13\", ", "", "imgbuild.lock:14:5: key 'base' is missing\n"},
        {"\"format\": 1,", "\"format\": 1, \"format\": 1,",
         "imgbuild.lock:2:23: not JSON: duplicate object key near '\"format\"'; write it with "
         "'imgbuild lock'\n"},
        {"\"entries\": [", "\"entries\": [,",
         "imgbuild.lock:4:15: not JSON: unexpected token near ','; write it with 'imgbuild "
         "lock'\n"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        char *text = changed(cases[i].from, cases[i].to);
        struct ib_diags *diags = ib_diags_new();
        cr_expect_null(ib_lock_parse("imgbuild.lock", text, strlen(text), diags));
        char *said = ib_diags_text(diags);
        cr_expect_str_eq(said, cases[i].said, "%s", said);
        free(said);
        free(text);
        ib_diags_free(diags);
    }
}

Test(lock, hostile_input_ends)
{
    struct ib_diags *diags = ib_diags_new();
    struct ib_buf text = {0};

    for (size_t i = 0; i < 100000; i++)
        ib_buf_append_str(&text, "[");
    cr_assert_null(ib_lock_parse("deep", text.data, text.size, diags));
    ib_buf_clear(&text);
    ib_buf_append_str(&text, "{\"format\":1,\"date\":\"2026-11-20T08:30:00Z\",\"package_sets\":[],"
                             "\"entries\":[{}");
    for (size_t i = 0; i < 999; i++)
        ib_buf_append_str(&text, ",{\"a\":1}");
    ib_buf_append_str(&text, "]}");
    cr_assert_null(ib_lock_parse("wide", text.data, text.size, diags));
    cr_assert_lt(ib_diags_count(diags), 200);
    cr_assert_null(ib_lock_parse("empty", NULL, 0, diags));
    ib_buf_clear(&text);
    ib_diags_free(diags);
}
