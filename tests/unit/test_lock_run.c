/* SPDX-License-Identifier: Apache-2.0 */
/* Locking and fetching a small project whose whole world is a server on loopback. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic.h"
#include "httpd.h"
#include "ops/fetch.h"
#include "ops/lock.h"

#define UPSTREAM IB_SHARED_DIR "/upstream/"
#define FEDORA_KEY UPSTREAM "RPM-GPG-KEY-fedora-44-primary"
#define FEDORA_LIST UPSTREAM "Fedora-Cloud-44-1.7-aarch64-CHECKSUM"

static char *dir, *web, *www;
static struct httpd httpd;
static bool has_mirror;

static void write_at(const char *base, const char *name, const char *text)
{
    _cleanup_(ib_freep) char *path = ib_path_join(base, name);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, text, strlen(text), NULL), 0);
}

static void write_project(const char *version)
{
    _cleanup_(ib_freep) char *cluster = ib_asprintf(
        "name: test\ndomain: example.org\nbase: tiny\n"
        "network: {subnet: 10.0.0.0/24, gateway: 10.0.0.1, dns: [10.0.0.1], vip: 10.0.0.100}\n"
        "image: {esp_size: 64M, slot_size: 1G, compression_level: 1}\n"
        "payloads:\n"
        "  tool: {version: %s, urls: [\"%s/tool\"], checksums: \"%s/sums\", path: /usr/bin/tool}\n"
        "  plain: {version: v1, urls: [\"%s/plain\"], path: /usr/share/plain}\n",
        version, web, web, web);
    _cleanup_(ib_freep) char *tiny =
        ib_asprintf("kind: debian-suite\nfamily: debian\narchitecture: x86_64\nsuite: tiny\n"
                    "mirrors: [\"http://127.0.0.1:%u/tree/mirror/\"]\ncomponents: [main]\n"
                    "signing_key: recipes/keys/tiny.gpg\npackages: [app]\n",
                    httpd.port);

    write_at(dir, "recipes/cluster.yaml", cluster);
    write_at(dir, "recipes/bases/tiny.yaml", tiny);
    write_at(dir, "recipes/roles/control.yaml", "packages: [extra]\npayloads: [tool, plain]\n");
    write_at(dir, "recipes/nodes/odin.yaml",
             "role: control\nhardware: box\nmac: 02:00:00:00:00:10\naddress: 10.0.0.10\n"
             "install_disk: nvme\n");
    write_at(dir, "firmware/box.yaml", "drivers: [nvme]\n");
}

static void write_sums(const char *of_tool)
{
    struct ib_sha256 hash;
    char hex[IB_SHA256_HEX_SIZE];

    ib_sha256(of_tool, strlen(of_tool), &hash);
    _cleanup_(ib_freep) char *sums = ib_asprintf("%s  tool\n", ib_sha256_hex(&hash, hex));
    write_at(www, "sums", sums);
}

static void make_mirror(void)
{
    const char *const argv[] = {IB_SOURCE_DIR "/tests/fixtures/debian-mirror", www, NULL};
    _cleanup_(ib_freep) char *apt = ib_find_program("apt-get");
    _cleanup_(ib_freep) char *from = ib_path_join(www, "keyring.gpg");
    _cleanup_(ib_buf_clear) struct ib_buf keys = {0};
    _cleanup_(ib_freep) char *to = ib_path_join(dir, "recipes/keys/tiny.gpg");
    int status = -1;

    write_at(dir, "recipes/keys/tiny.gpg", "no key");
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .ret_status = &status}, NULL), 0);
    has_mirror = apt && status == 0;
    if (!has_mirror)
        return;
    cr_assert_eq(ib_read_file(from, IB_MIB, &keys, NULL), 0);
    cr_assert_eq(ib_atomic_write(to, 0644, keys.data, keys.size, NULL), 0);
}

static void set_up(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-lock", NULL);
    www = ib_path_join(dir, "www");
    cr_assert_eq(ib_mkdir_p(www, NULL), 0);
    make_mirror();
    if (!httpd_start(&httpd, www, NULL))
        cr_skip_test("python3 is needed for the test server");
    web = httpd_url(&httpd, "ok");
    write_project("v1");
    write_at(www, "tool", "the tool");
    write_at(www, "plain", "plain file");
    write_sums("the tool");
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
}

static void tear_down(void)
{
    httpd_stop(&httpd);
    ib_temp_dirp(&dir);
    free(web), free(www);
}

TestSuite(lock_run, .init = set_up, .fini = tear_down, .timeout = 60);

static struct ib_project open_project(void)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_freep) char *cache = ib_path_join(dir, "cache");
    _cleanup_(ib_freep) char *lock = ib_path_join(dir, IB_LOCK_PATH);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_project project = {
        .dir = ib_strdup(dir),
        .recipe = ib_recipe_load(dir, NULL, diags, NULL),
        .lock = ib_lock_new(),
        .cache = ib_cache_open(cache, NULL),
    };

    if (ib_path_exists(lock)) {
        ib_lock_free(project.lock);
        cr_assert_eq(ib_read_file(lock, IB_LOCK_MAX_SIZE, &text, NULL), 0);
        project.lock = ib_lock_parse(IB_LOCK_PATH, text.data, text.size, diags);
    }
    _cleanup_(ib_freep) char *mistakes = ib_diags_text(diags);
    cr_assert(project.recipe && project.lock, "%s", mistakes);
    return project;
}

/* Runs and returns the changes as lines "KIND NAME WHAT: OLD -> NEW"; NULL with *err. */
static char *lock(const char *names, bool accept, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv list = {0};
    _cleanup_(ib_project_clear) struct ib_project project = open_project();
    _cleanup_(ib_lock_result_clear) struct ib_lock_result result = {0};
    struct ib_buf text = {0};

    ib_strv_split(&list, names, " ");
    struct ib_lock_options options = {
        .names = (const char *const *)list.items,
        .name_count = list.count,
        .accept_changed = accept,
    };
    if (ib_lock_run(&project, &options, &result, err) < 0)
        return NULL;
    cr_assert_eq(result.written, result.change_count > 0);
    for (size_t i = 0; i < result.change_count; i++) {
        const struct ib_lock_change *c = &result.changes[i];
        ib_buf_printf(&text, "%s %s %s: %s -> %s\n", ib_lock_change_kind_name(c->kind), c->name,
                      c->what ? c->what : "-", c->old_value ? c->old_value : "-",
                      c->new_value ? c->new_value : "-");
    }
    return ib_buf_steal_string(&text);
}

static void expect(const char *names, bool accept, const char *expected)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_freep) char *changes = lock(names, accept, &err);

    cr_assert_not_null(changes, "%s", err ? ib_error_text(err) : "");
    cr_assert_str_eq(changes, expected);
}

static void refuse(const char *names, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "recipes/imgbuild.lock");
    _cleanup_(ib_buf_clear) struct ib_buf before = {0}, after = {0};

    if (ib_path_exists(path))
        cr_assert_eq(ib_read_file(path, IB_MIB, &before, NULL), 0);
    cr_assert_null(lock(names, false, &err));
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", text);
    cr_assert(strstr(text, words), "%s", text);
    if (ib_path_exists(path))
        cr_assert_eq(ib_read_file(path, IB_MIB, &after, NULL), 0);
    cr_assert_eq(before.size, after.size);
    cr_assert(!before.size || memcmp(before.data, after.data, after.size) == 0);
}

Test(lock_run, payloads_by_list_and_by_pin)
{
    struct ib_sha256 hash;
    char tool[IB_SHA256_HEX_SIZE], plain[IB_SHA256_HEX_SIZE];

    ib_sha256("the tool", 8, &hash);
    ib_sha256_hex(&hash, tool);
    ib_sha256("plain file", 10, &hash);
    ib_sha256_hex(&hash, plain);
    _cleanup_(ib_freep) char *expected =
        ib_asprintf("added tool -: - -> v1 sha256:%s (sha256sum-file:%s/sums)\n"
                    "added plain -: - -> v1 sha256:%s (pinned)\n"
                    "added date -: - -> 2023-11-14T22:13:20Z\n",
                    tool, web, plain);
    expect("tool plain", false, expected);
    expect("tool plain", false, "");

    _cleanup_(ib_project_clear) struct ib_project project = open_project();
    const struct ib_lock_entry *e = ib_lock_entry(project.lock, IB_LOCK_PAYLOAD, "tool");
    cr_assert_eq(e->size_bytes, 8, "learnt by HEAD");
    e = ib_lock_entry(project.lock, IB_LOCK_PAYLOAD, "plain");
    cr_assert_eq(e->size_bytes, 10);
    cr_assert_eq(e->verified, IB_VERIFIED_PINNED);
}

Test(lock_run, new_version_is_an_update)
{
    char *first = lock("tool", false, NULL);
    free(first);
    write_project("v2");
    write_at(www, "tool", "the new tool");
    write_sums("the new tool");
    _cleanup_(ib_freep) char *changes = lock("tool", false, NULL);
    cr_assert(ib_startswith(changes, "updated tool version: v1 -> v2\n"
                                     "updated tool size: 8 -> 12\n"
                                     "updated tool sha256: "),
              "%s", changes);
}

Test(lock_run, same_version_with_other_bytes_is_refused)
{
    char *first = lock("tool plain", false, NULL);
    free(first);
    write_at(www, "tool", "the evil tool");
    write_sums("the evil tool");
    refuse("tool", IB_E_VERIFY, "its version is 'v1' as before, but its SHA-256 was ");
    _cleanup_(ib_freep) char *changes = lock("tool", true, NULL);
    cr_assert(strstr(changes, "updated tool sha256: "));

    write_at(www, "plain", "another plain file");
    expect("plain", false, ""); /* a pin stays without asking anybody */
    _cleanup_(ib_freep) char *pinned = lock("plain", true, NULL);
    cr_assert(strstr(pinned, "updated plain sha256: "), "%s", pinned);
}

Test(lock_run, bad_lists_are_refused)
{
    write_at(www, "sums", "<html>not found</html>\n");
    refuse("tool", IB_E_INVALID, "sums:1: expected 'SHA256 (NAME) = HEX' or 'HEX  NAME'");
    write_at(www, "sums",
             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  other\n");
    refuse("tool", IB_E_NOT_FOUND, "does not list the file 'tool'");
    httpd_stop(&httpd);
    refuse("tool", IB_E_NETWORK, "cannot fetch the list of checksums 'sums': http");
    refuse("toool", IB_E_NOT_FOUND, "no base and no payload is called 'toool'");
}

Test(lock_run, debian_suite)
{
    if (!has_mirror)
        cr_skip_test("apt-get, gpg and dpkg-deb are needed");
    expect("tiny", false,
           "added tiny/control -: - -> 6 packages\n"
           "added date -: - -> 2026-09-12T07:55:41Z\n");
    expect("tiny", false, "");

    write_at(dir, "recipes/roles/control.yaml", "payloads: [tool, plain]\n");
    expect("tiny", false,
           "updated tiny/control input: another list of packages -> the recipe's\n"
           "removed tiny/control extra: 1.0 -> -\n");
    write_at(dir, "recipes/roles/control.yaml", "packages: [brokn]\n");
    refuse("tiny", IB_E_NOT_FOUND, "Unable to locate package brokn");
}

Test(lock_run, everything_and_what_was_dropped)
{
    if (!has_mirror)
        cr_skip_test("apt-get, gpg and dpkg-deb are needed");
    char *first = lock("", false, NULL);
    cr_assert(strstr(first, "added plain") && strstr(first, "added tiny/control"), "%s", first);
    free(first);
    write_at(dir, "recipes/roles/worker.yaml", "packages: [extra]\n");
    write_at(dir, "recipes/roles/control.yaml", "payloads: []\n");
    write_at(dir, "recipes/nodes/odin.yaml",
             "role: worker\nhardware: box\nmac: 02:00:00:00:00:10\naddress: 10.0.0.10\n"
             "install_disk: nvme\n");
    expect("", false, "added tiny/worker -: - -> 6 packages\n");
    _cleanup_(ib_freep) char *role = ib_path_join(dir, "recipes/roles/control.yaml");
    cr_assert_eq(unlink(role), 0);
    expect("", false, "removed tiny/control -: 6 packages -> -\n");
}

/* The real list of Fedora 44 with its real signature. */
Test(lock_run, fedora_image_by_signed_list)
{
    _cleanup_(ib_buf_clear) struct ib_buf list = {0}, key = {0};
    _cleanup_(ib_freep) char *gpgv = ib_find_program("gpgv");

    if (!gpgv || !ib_path_exists(FEDORA_LIST))
        cr_skip_test("gpgv and '%s' are needed", FEDORA_LIST);
    cr_assert_eq(ib_read_file(FEDORA_LIST, IB_MIB, &list, NULL), 0);
    cr_assert_eq(ib_read_file(FEDORA_KEY, IB_MIB, &key, NULL), 0);
    write_at(dir, "recipes/keys/fedora.asc", (const char *)key.data);
    write_at(www, "Fedora-Cloud-44-1.7-aarch64-CHECKSUM", (const char *)list.data);
    _cleanup_(ib_freep) char *base =
        ib_asprintf("kind: disk-image\nfamily: fedora\narchitecture: aarch64\nversion: 44-1.7\n"
                    "urls: [\"%s/Fedora-Cloud-Base-Generic-${version}.aarch64.qcow2\"]\n"
                    "checksums: \"%s/Fedora-Cloud-${version}-aarch64-CHECKSUM\"\n"
                    "signing_key: recipes/keys/fedora.asc\n"
                    "signing_fingerprint: 36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6\n",
                    web, web);
    write_at(dir, "recipes/bases/fedora.yaml", base);
    expect("fedora", false,
           "added fedora -: - -> 44-1.7 "
           "sha256:55c60a3b80d3616a08705afd0459e75fe9f03c54aba7a46e4002a41a72fa0d5b "
           "(gpg:36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6)\n"
           "added date -: - -> 2026-04-24T15:34:18Z\n");
    {
        _cleanup_(ib_project_clear) struct ib_project project = open_project();
        cr_assert_eq(ib_lock_entry(project.lock, IB_LOCK_BASE, "fedora")->size_bytes, 528154624);
    }
    list.data[400] ^= 1;
    write_at(www, "Fedora-Cloud-44-1.7-aarch64-CHECKSUM", (const char *)list.data);
    refuse("fedora", IB_E_VERIFY, "the signature does not match the text");
}

Test(lock_run, needs_are_fetched_and_told)
{
    if (!has_mirror)
        cr_skip_test("apt-get, gpg and dpkg-deb are needed");
    struct ib_error *err = NULL;
    {
        _cleanup_(ib_project_clear) struct ib_project project = open_project();
        _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
        const struct ib_node_spec *odin = ib_recipe_node_spec(project.recipe, "odin");
        cr_assert_eq(ib_needs_of_nodes(&project, &odin, 1, NULL, &needs, &err), -1);
        cr_assert_str_eq(ib_error_hint(err),
                         "run 'imgbuild lock tiny' where its repositories can be reached");
        ib_error_clear(&err);
    }
    char *changes = lock("", false, NULL);
    free(changes);

    _cleanup_(ib_project_clear) struct ib_project project = open_project();
    _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
    const struct ib_node_spec *odin = ib_recipe_node_spec(project.recipe, "odin");
    _cleanup_(ib_freep) char *tool = ib_path_join(www, "tool");
    cr_assert_eq(unlink(tool), 0);
    cr_assert_eq(ib_needs_of_nodes(&project, &odin, 1, NULL, &needs, &err), 0);
    cr_assert_eq(needs.count, 8, "two payloads, six packages");
    cr_assert_eq(ib_needs_fetch(&needs, &project, &(struct ib_needs_options){0}, &err), -1);
    ib_error_clear(&err);
    for (size_t i = 0; i < needs.count; i++) {
        const struct ib_need *need = &needs.items[i];
        bool missing = need->kind == IB_NEED_PAYLOAD && ib_streq(need->name, "tool");
        cr_assert_eq(need->status == IB_FETCH_FAILED, missing, "%s", need->name);
        cr_assert_eq(need->error != NULL, missing);
        cr_assert_eq(ib_cache_has_blob(project.cache, &need->sha256), !missing);
    }

    /* without what is missing, even offline */
    _cleanup_(ib_needs_clear) struct ib_needs fewer = {0};
    _cleanup_(ib_strv_clear) struct ib_strv without = {0};
    ib_strv_add(&without, "tool");
    cr_assert_eq(ib_needs_of_root(&project, odin->root, &without, &fewer, &err), 0);
    cr_assert_eq(fewer.count, 7);
    cr_assert_eq(
        ib_needs_fetch(&fewer, &project, &(struct ib_needs_options){.offline = true}, &err), 0);
}

Test(lock_run, recipe_and_lock_must_agree)
{
    if (!has_mirror)
        cr_skip_test("apt-get, gpg and dpkg-deb are needed");
    char *changes = lock("", false, NULL);
    struct ib_error *err = NULL;

    free(changes);
    write_project("v2");
    _cleanup_(ib_project_clear) struct ib_project project = open_project();
    _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
    const struct ib_node_spec *odin = ib_recipe_node_spec(project.recipe, "odin");
    cr_assert_eq(ib_needs_of_nodes(&project, &odin, 1, NULL, &needs, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    cr_assert_str_eq(ib_error_line(err, 1),
                     "the recipes ask for 'tool' in version 'v2', the lock pins 'v1'");
    ib_error_clear(&err);
    write_project("v1");
    write_at(dir, "recipes/roles/control.yaml", "packages: [extra, apt]\n");
    _cleanup_(ib_project_clear) struct ib_project other = open_project();
    odin = ib_recipe_node_spec(other.recipe, "odin");
    cr_assert_eq(ib_needs_of_nodes(&other, &odin, 1, NULL, &needs, &err), -1);
    cr_assert(strstr(ib_error_line(err, 1), "were resolved for another list"));
    ib_error_clear(&err);
}
