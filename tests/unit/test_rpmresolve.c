/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Choosing RPMs with the host's dnf, from real signed packages (tests/fixtures/rpm-tree, a test of
 * its own) in a repository on a web server.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/file.h"
#include "httpd.h"
#include "os/rpmresolve.h"

static char *dir, *url;
static struct httpd httpd;

static void set_up(void)
{
    _cleanup_(ib_freep) char *dnf = ib_find_program("dnf");

    if (!dnf || !ib_path_exists(IB_RPM_DIR "/repo/repodata/repomd.xml"))
        cr_skip_test("dnf, createrepo_c and the packages of fixture/rpm-tree are needed");
    dir = ib_make_temp_dir("/tmp", "ib-rpmresolve", NULL);
    if (!httpd_start(&httpd, IB_RPM_DIR, NULL))
        cr_skip_test("python3 is needed");
    url = httpd_url(&httpd, "tree/repo");
}

static void tear_down(void)
{
    httpd_stop(&httpd);
    ib_temp_dirp(&dir);
    free(url);
}

TestSuite(rpmresolve, .init = set_up, .fini = tear_down, .timeout = 100);

/* A base with the package "system" 1-1 in its database. */
static struct ib_tree *make_base(void)
{
    static const char os_release[] = "NAME=\"Fedora Linux\"\nVERSION_ID=44\n";
    _cleanup_(ib_buf_clear) struct ib_buf database = {0};
    struct ib_tree *tree = ib_tree_new();

    cr_assert_eq(ib_read_file(IB_RPM_DIR "/database/rpmdb.sqlite", 4 * IB_MIB, &database, NULL), 0);
    cr_assert(ib_tree_add_file(tree, "usr/lib/sysimage/rpm/rpmdb.sqlite", 0644, database.data,
                               database.size, IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_file(tree, "usr/lib/os-release", 0644, os_release, sizeof(os_release) - 1,
                               IB_LAYER_BASE, NULL));
    cr_assert(
        ib_tree_add_symlink(tree, "etc/os-release", "../usr/lib/os-release", IB_LAYER_BASE, NULL));
    return tree;
}

static struct ib_rpmresolve *open_with(const char *key, struct ib_error **err)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = make_base();
    const struct ib_repository repository = {
        .name = (char *)(uintptr_t) "tests",
        .url = url,
        .key = (char *)(uintptr_t)key,
    };

    return ib_rpmresolve_open(
        &(struct ib_rpmresolve_options){
            .tree = tree,
            .architecture = IB_ARCH_X86_64,
            .repositories = &repository,
            .repository_count = 1,
            .project_dir = IB_RPM_DIR,
            .scratch_dir = dir,
        },
        err);
}

static void free_packages(struct ib_lock_package *packages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ib_lock_package_clear(&packages[i]);
    free(packages);
}

static void check_package(const struct ib_lock_package *p, const char *name, const char *version,
                          const char *file)
{
    _cleanup_(ib_freep) char *path = ib_asprintf(IB_RPM_DIR "/repo/%s", file);
    _cleanup_(ib_freep) char *wanted = ib_asprintf("%s/%s", url, file);
    _cleanup_(ib_buf_clear) struct ib_buf data = {0};
    struct ib_sha256 hash;

    cr_assert_str_eq(p->name, name);
    cr_assert_str_eq(p->version, version);
    cr_assert_str_eq(p->architecture, "noarch");
    cr_assert_str_eq(p->url, wanted);
    cr_assert_eq(ib_read_file(path, IB_MIB, &data, NULL), 0);
    ib_sha256(data.data, data.size, &hash);
    cr_assert(ib_sha256_equal(&hash, &p->sha256));
    cr_assert_eq(p->size_bytes, data.size);
}

Test(rpmresolve, takes_what_is_required_and_not_there_yet)
{
    static const char *const names[] = {"hello", "system"};
    struct ib_lock_package *packages = NULL;
    struct ib_error *err = NULL;
    size_t count = 0;
    _cleanup_(ib_rpmresolve_freep) struct ib_rpmresolve *r = open_with("key.asc", &err);

    cr_assert(r, "%s", err ? ib_error_text(err) : "");
    for (int again = 0; again < 2; again++) {
        int status = ib_rpmresolve_packages(r, names, 2, &packages, &count, &err);
        cr_assert_eq(status, 0, "%s", err ? ib_error_text(err) : "");
        cr_assert_eq(count, 2);
        check_package(&packages[0], "hello", "2:1.2-3", "hello.rpm");
        check_package(&packages[1], "hello-data", "1.0-1", "hello-data.rpm");
        free_packages(packages, count);
    }
    _cleanup_(ib_freep) char *kept = ib_path_join(ib_rpmresolve_dir(r), "hello-data.rpm");
    cr_assert(ib_path_exists(kept));
}

Test(rpmresolve, nothing_to_add_is_no_package)
{
    static const char *const names[] = {"system"};
    struct ib_lock_package *packages = NULL;
    size_t count = 1;
    _cleanup_(ib_rpmresolve_freep) struct ib_rpmresolve *r = open_with("key.asc", NULL);

    cr_assert_eq(ib_rpmresolve_packages(r, names, 1, &packages, &count, NULL), 0);
    cr_assert_eq(count, 0);
    cr_assert_null(packages);
}

static void check_refused(const char *key, const char *name, enum ib_error_code code,
                          const char *message)
{
    struct ib_lock_package *packages = NULL;
    struct ib_error *err = NULL;
    size_t count = 0;
    _cleanup_(ib_rpmresolve_freep) struct ib_rpmresolve *r = open_with(key, &err);

    if (r)
        cr_assert_eq(ib_rpmresolve_packages(r, &name, 1, &packages, &count, &err), -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", text);
    cr_assert(strstr(text, message), "%s", text);
    ib_error_free(err);
}

Test(rpmresolve, what_no_key_signed_is_refused)
{
    check_refused("key.asc", "unsigned", IB_E_VERIFY,
                  "no key of the repositories signed 'unsigned.rpm");
    check_refused("other.asc", "hello-data", IB_E_VERIFY, "no key of the repositories signed");
    check_refused(NULL, "hello", IB_E_INVALID, "the repository 'tests' has no key");
    check_refused("no-such.asc", "hello", IB_E_CHILD, "no-such.asc");
}

Test(rpmresolve, impossible_wishes_are_told_in_the_words_of_dnf)
{
    check_refused("key.asc", "no-such-package", IB_E_CHILD, "no-such-package");
    check_refused("key.asc", "broken", IB_E_CHILD, "nothing provides not-there needed by broken");
}
