/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locking the packages on a base of the family fedora: a small tree with a real package database,
 * and a repository of real signed RPMs on a web server (tests/fixtures/rpm-tree, a test of its
 * own).
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/file.h"
#include "httpd.h"
#include "ops/fetch.h"
#include "ops/lock.h"

static char *dir, *web;
static struct httpd httpd;

static void write_at(const char *name, const char *text, size_t size)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_write_file(path, 0644, text, size, NULL), 0);
}

static void write_text(const char *name, const char *text)
{
    write_at(name, text, strlen(text));
}

static void write_base(const char *key)
{
    _cleanup_(ib_freep) char *base = ib_asprintf(
        "kind: tar\nfamily: fedora\narchitecture: x86_64\nversion: '1'\nurls: [\"%s/base.tar\"]\n"
        "repositories:\n  - {name: tests, url: \"%s/repo\", key: recipes/keys/%s}\n"
        "packages: [hello, system]\n",
        web, web, key);

    write_text("recipes/bases/small.yaml", base);
}

static void write_role(const char *name, const char *package)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("recipes/roles/%s.yaml", name);
    _cleanup_(ib_freep) char *text = ib_asprintf("packages: [%s]\n", package);

    write_text(path, text);
}

static void write_node(const char *name, const char *role, unsigned number)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("recipes/nodes/%s.yaml", name);
    _cleanup_(ib_freep) char *text =
        ib_asprintf("role: %s\nhardware: box\nmac: 02:00:00:00:00:%u\naddress: 10.0.0.%u\n"
                    "install_disk: nvme\n",
                    role, number, number);

    write_text(path, text);
}

static void copy_key(const char *name)
{
    _cleanup_(ib_freep) char *from = ib_path_join(IB_RPM_DIR, name);
    _cleanup_(ib_freep) char *to = ib_path_join("recipes/keys", name);
    _cleanup_(ib_buf_clear) struct ib_buf key = {0};

    cr_assert_eq(ib_read_file(from, IB_MIB, &key, NULL), 0);
    write_at(to, (const char *)key.data, key.size);
}

static void set_up(void)
{
    _cleanup_(ib_freep) char *dnf = ib_find_program("dnf");

    if (!dnf || !ib_path_exists(IB_RPM_DIR "/base.tar"))
        cr_skip_test("dnf, createrepo_c and the packages of fixture/rpm-tree are needed");
    if (!httpd_start(&httpd, IB_RPM_DIR, NULL))
        cr_skip_test("python3 is needed");
    dir = ib_make_temp_dir("/tmp", "ib-lock-fedora", NULL);
    web = httpd_url(&httpd, "tree");
    setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
    write_text("recipes/cluster.yaml",
               "name: test\ndomain: example.org\nbase: small\n"
               "network: {subnet: 10.0.0.0/24, gateway: 10.0.0.1, dns: [10.0.0.1], "
               "vip: 10.0.0.100}\n"
               "image: {esp_size: 64M, slot_size: 1G, compression_level: 1}\n");
    write_role("control", "tool");
    write_role("worker", "tool");
    write_role("storage", "extra");
    write_node("odin", "control", 10);
    write_node("draupnir", "worker", 11);
    write_node("yggdrasil", "storage", 12);
    write_text("firmware/box.yaml", "drivers: [nvme]\n");
    copy_key("key.asc");
    copy_key("other.asc");
    write_base("key.asc");
}

static void tear_down(void)
{
    httpd_stop(&httpd);
    ib_temp_dirp(&dir);
    free(web);
}

TestSuite(lock_fedora, .init = set_up, .fini = tear_down, .timeout = 100);

static struct ib_project open_project(void)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_freep) char *cache = ib_path_join(dir, "cache");
    struct ib_project project = {0};
    struct ib_error *err = NULL;

    int r = ib_project_open(&project, dir, cache, NULL, NULL, diags, &err);
    _cleanup_(ib_freep) char *mistakes = ib_diags_text(diags);
    cr_assert_eq(r, 0, "%s %s", mistakes, err ? ib_error_text(err) : "");
    return project;
}

static int lock(struct ib_project *project, bool offline, struct ib_error **err)
{
    _cleanup_(ib_lock_result_clear) struct ib_lock_result result = {0};

    return ib_lock_run(project, &(struct ib_lock_options){.offline = offline}, &result, err);
}

static void check_set(const struct ib_project *project, const char *role, const char *wanted)
{
    const struct ib_lock_package_set *set = ib_lock_package_set(project->lock, "small", role);
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    cr_assert(set, "%s", role);
    for (size_t i = 0; i < set->package_count; i++) {
        ib_strv_addf(&names, "%s=%s", set->packages[i].name, set->packages[i].version);
        cr_assert(ib_cache_has_blob(project->cache, &set->packages[i].sha256), "%s",
                  set->packages[i].name);
    }
    _cleanup_(ib_freep) char *is = ib_strv_join(&names, " ");
    cr_assert_str_eq(is, wanted, "%s: %s", role, is);
}

Test(lock_fedora, each_role_gets_what_its_image_lacks_and_a_build_needs_nothing_more)
{
    struct ib_error *err = NULL;
    {
        _cleanup_(ib_project_clear) struct ib_project project = open_project();
        int r = lock(&project, false, &err);
        cr_assert_eq(r, 0, "%s", err ? ib_error_text(err) : "");
    }
    _cleanup_(ib_project_clear) struct ib_project project = open_project(); /* as it was written */
    check_set(&project, "control", "hello=2:1.2-3 hello-data=1.0-1 tool=1-1");
    check_set(&project, "worker", "hello=2:1.2-3 hello-data=1.0-1 tool=1-1");
    check_set(&project, "storage", "extra=1-1 hello=2:1.2-3 hello-data=1.0-1");
    for (size_t i = 0; i < project.recipe->node_specs.count; i++) {
        const struct ib_node_spec *node = &project.recipe->node_specs.items[i];
        _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
        cr_assert_eq(ib_needs_of_nodes(&project, &node, 1, NULL, &needs, &err), 0);
        cr_assert_eq(needs.count, 4, "the image and three packages");
        cr_assert_eq(
            ib_needs_fetch(&needs, &project, &(struct ib_needs_options){.offline = true}, &err), 0);
    }
    cr_assert_eq(lock(&project, true, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
}

static void refuse(enum ib_error_code code, const char *words)
{
    _cleanup_(ib_project_clear) struct ib_project project = open_project();
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_freep) char *path = ib_path_join(dir, IB_LOCK_PATH);

    cr_assert_eq(lock(&project, false, &err), -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", text);
    cr_assert(strstr(text, words), "%s", text);
    cr_assert_not(ib_path_exists(path));
}

Test(lock_fedora, unsigned_and_unknown_packages_are_never_locked)
{
    write_role("storage", "unsigned");
    refuse(IB_E_VERIFY, "no key of the repositories signed 'unsigned.rpm");
    write_role("storage", "no-such-package");
    refuse(IB_E_CHILD, "no-such-package");
    write_role("storage", "extra");
    write_base("other.asc");
    refuse(IB_E_VERIFY, "no key of the repositories signed");
}
