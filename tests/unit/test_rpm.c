/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages by rpm: real ones, in a sandbox, in a small tree with the host's own rpm
 * (tests/fixtures/rpm-tree, a test of its own).
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "os/oci.h"
#include "os/packages.h"

enum { DATE = 1700000000, MAX_PACKAGES = 8 };

static char *dir;
static struct ib_tree *tree;
static int spool_fd = -1;
static struct ib_sandbox *sandbox;
static struct ib_error *err;

static void set_up(void)
{
    _cleanup_(ib_error_freep) struct ib_error *why = NULL;

    if (ib_sandbox_probe(IB_SANDBOX_NAMESPACE, &why) < 0)
        cr_skip_test("no namespaces: %s", ib_error_line(why, 0));
    if (!ib_path_exists(IB_RPM_DIR "/complete"))
        cr_skip_test("the packages were not made (ctest -R fixture/rpm-tree)");
    dir = ib_make_temp_dir("/tmp", "ib-rpm", NULL);
    tree = ib_tree_new();
    spool_fd = ib_temp_file(dir, NULL);
    cr_assert_eq(ib_tar_import(tree, IB_RPM_DIR "/tree.tar", spool_fd, NULL, NULL, &err), 0);
    sandbox = ib_sandbox_open(tree,
                              &(struct ib_sandbox_options){
                                  .engine = IB_SANDBOX_NAMESPACE,
                                  .scratch_dir = dir,
                              },
                              &err);
    cr_assert(sandbox, "%s", err ? ib_error_text(err) : "");
}

static void tear_down(void)
{
    ib_sandbox_freep(&sandbox);
    ib_tree_freep(&tree);
    ib_closep(&spool_fd);
    ib_temp_dirp(&dir);
    ib_error_clear(&err);
}

TestSuite(rpm, .init = set_up, .fini = tear_down, .timeout = 100);

/* The files NAME.rpm, as the lock would tell of them. */
static const struct known {
    const char *file, *name, *version;
} known[] = {
    {"system", "system", "1-1"},
    {"hello", "hello", "2:1.2-3"},
    {"hello-data", "hello-data", "1.0-1"},
    {"hello-old", "hello-data", "0.9-1"},
    {"tool", "tool", "1-1"},
    {"plugin", "plugin", "1-1"},
    {"base", "base", "1-1"},
    {"precious", "precious", "1-1"},
    {"failing", "failing", "1-1"},
};

static const struct known *find_known(const char *file)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(known); i++)
        if (ib_streq(known[i].file, file))
            return &known[i];
    cr_assert(false, "%s", file);
    return NULL;
}

/* Both lists are words; either may be "". */
static int apply(const char *install, const char *remove)
{
    _cleanup_(ib_strv_clear) struct ib_strv files = {0}, names = {0}, paths = {0};
    struct ib_package_file items[MAX_PACKAGES];
    struct ib_lock_package packages[MAX_PACKAGES];

    ib_error_clear(&err);
    ib_strv_split(&files, install, " ");
    ib_strv_split(&names, remove, " ");
    for (size_t i = 0; i < files.count; i++)
        ib_strv_addf(&paths, IB_RPM_DIR "/rpms/%s.rpm", files.items[i]);
    for (size_t i = 0; i < files.count; i++) {
        const struct known *k = find_known(files.items[i]);
        packages[i] = (struct ib_lock_package){
            .name = (char *)(uintptr_t)k->name,
            .version = (char *)(uintptr_t)k->version,
            .architecture = (char *)(uintptr_t) "noarch",
        };
        items[i] = (struct ib_package_file){&packages[i], paths.items[i]};
    }
    const struct ib_package_job job = {
        .install = items,
        .install_count = files.count,
        .remove = &names,
        .date_s = DATE,
        .scratch_dir = dir,
    };
    return ib_packages_apply(sandbox, IB_FAMILY_FEDORA, &job, &err);
}

#define apply_ok(install, remove) \
    cr_assert_eq(apply(install, remove), 0, "%s", err ? ib_error_text(err) : "")

/* "name version architecture" of all that is installed, separated by ", ". */
static char *installed(void)
{
    _cleanup_(ib_package_list_clear) struct ib_package_list list = {0};
    _cleanup_(ib_strv_clear) struct ib_strv texts = {0};

    cr_assert_eq(ib_packages_query(sandbox, IB_FAMILY_FEDORA, &list, &err), 0);
    for (size_t i = 0; i < list.count; i++)
        ib_strv_addf(&texts, "%s %s %s", list.items[i].name, list.items[i].version,
                     list.items[i].architecture);
    return ib_strv_join(&texts, ", ");
}

static void check_installed(const char *wanted)
{
    _cleanup_(ib_freep) char *is = installed();

    cr_assert_str_eq(is, wanted);
}

static struct ib_tree *export_tree(const char *name)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    FILE *file = fopen(path, "wx");

    cr_assert(file);
    cr_assert_eq(ib_sandbox_export(sandbox, fileno(file), &err), 0);
    cr_assert_eq(fclose(file), 0);
    struct ib_tree *result = ib_tree_load(path, &err);
    cr_assert(result);
    return result;
}

static void check_file(const struct ib_tree *t, const char *path, const char *wanted)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    cr_assert_eq(ib_tree_read_file(t, path, 1000, &text, NULL), 0, "%s", path);
    cr_assert_str_eq((char *)text.data, wanted, "%s", path);
}

/* linux/capability.h, struct vfs_cap_data, revision 2: CAP_NET_RAW (13) permitted and effective. */
static const unsigned char cap_net_raw[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
                                            0, 0, 0, 0, 0, 0,    0, 0, 0, 0};

Test(rpm, installs_what_is_locked_and_nothing_else)
{
    apply_ok("system hello hello-data", "");
    check_installed("hello 2:1.2-3 noarch, hello-data 1.0-1 noarch, system 1-1 noarch");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export_tree("out.tar");

    /* the scriptlet ran, after what it needs, and was told to leave kernels and services alone */
    check_file(t, "usr/share/hello/post", "post 1 1 1\ndata 1.0\n");
    const struct ib_inode *inode = ib_tree_find(t, "usr/bin/hello")->inode;
    const struct ib_xattr *capability = ib_inode_get_xattr(inode, "security.capability");
    cr_assert_eq(inode->mode, S_IFREG | 0755U);
    cr_assert(capability && capability->size == sizeof(cap_net_raw));
    cr_assert_arr_eq(capability->value, cap_net_raw, sizeof(cap_net_raw));
    cr_assert_eq(ib_tree_find(t, "etc/hello.conf")->inode->mode, S_IFREG | 0640U);
    cr_assert_eq(ib_tree_find(t, "usr/share/hello")->inode->mode, S_IFDIR | 0751U);
}

Test(rpm, leaves_out_what_no_node_reads_and_every_trace_of_the_work)
{
    static const char *const present[] = {"usr/share/doc/hello/copyright", "usr/share/locale/en"};
    static const char *const absent[] = {".imgbuild",
                                         "usr/lib/sysimage/rpm/rpmdb.sqlite-shm",
                                         "usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
                                         "usr/share/doc/hello/changes",
                                         "usr/share/locale/nb/hello",
                                         "usr/share/man/man1/hello.1"};

    apply_ok("system hello-data", "");
    check_installed("hello-data 1.0-1 noarch, system 1-1 noarch");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export_tree("out.tar");
    for (size_t i = 0; i < IB_ARRAY_SIZE(present); i++)
        cr_assert(ib_tree_find(t, present[i]), "%s", present[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(absent); i++)
        cr_assert_null(ib_tree_find(t, absent[i]), "%s", absent[i]);
    cr_assert_eq(ib_tree_root(t)->child_count, ib_tree_root(tree)->child_count);
    cr_assert_eq(ib_tree_find(t, "var/tmp")->child_count, 0);
}

Test(rpm, the_lock_decides_even_for_an_older_version)
{
    apply_ok("system hello-data", "");
    apply_ok("system hello-old", "");
    check_installed("hello-data 0.9-1 noarch, system 1-1 noarch");
    apply_ok("system hello-data hello", "");
    check_installed("hello 2:1.2-3 noarch, hello-data 1.0-1 noarch, system 1-1 noarch");
    apply_ok("system hello-data hello", ""); /* nothing left to do */
}

Test(rpm, removes_with_what_needs_it)
{
    apply_ok("system tool plugin hello hello-data", "");
    apply_ok("", "tool missing");
    check_installed("hello 2:1.2-3 noarch, hello-data 1.0-1 noarch, system 1-1 noarch");
    apply_ok("", "hello");
    check_installed("hello-data 1.0-1 noarch, system 1-1 noarch");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export_tree("out.tar");
    check_file(t, "usr/share/hello-removed", "preun 0\n");
    cr_assert_null(ib_tree_find(t, "usr/bin/hello"));
}

Test(rpm, what_the_tree_protects_goes_only_by_its_own_name)
{
    apply_ok("system base precious", "");
    cr_assert_eq(apply("", "base"), -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert(strstr(text, "'precious' is protected, and needs what shall be removed (base)"), "%s",
              text);
    apply_ok("", "base precious");
    check_installed("system 1-1 noarch");
}

Test(rpm, failures_are_told_with_their_reason)
{
    apply_ok("system", "");
    cr_assert_eq(apply("hello", ""), -1); /* hello-data is not in the lock */
    cr_assert_eq(ib_error_code(err), IB_E_CHILD);
    _cleanup_(ib_freep) char *needs = ib_error_text(err);
    cr_assert(strstr(needs, "hello-data >= 1.0 is needed by hello-2:1.2-3.noarch"), "%s", needs);
    cr_assert_eq(apply("failing", ""), -1);
    _cleanup_(ib_freep) char *fails = ib_error_text(err);
    cr_assert(strstr(fails, "%prein(failing-1-1.noarch) scriptlet failed"), "%s", fails);
    check_installed("system 1-1 noarch");
}

Test(rpm, the_same_packages_give_the_same_tree)
{
    _cleanup_(ib_buf_clear) struct ib_buf first = {0}, second = {0};

    for (int i = 0; i < 2; i++) {
        const struct ib_sandbox_options options = {IB_SANDBOX_NAMESPACE, .scratch_dir = dir};
        ib_sandbox_freep(&sandbox);
        sandbox = ib_sandbox_open(tree, &options, &err);
        cr_assert(sandbox);
        apply_ok("system hello hello-data", "");
        _cleanup_(ib_tree_freep) struct ib_tree *t = export_tree(i ? "2.tar" : "1.tar");
        cr_assert_eq(ib_tree_read_file(t, "usr/lib/sysimage/rpm/rpmdb.sqlite", 4 * IB_MIB,
                                       i ? &second : &first, NULL),
                     0);
    }
    cr_assert_eq(first.size, second.size);
    cr_assert_arr_eq(first.data, second.data, first.size);
}
