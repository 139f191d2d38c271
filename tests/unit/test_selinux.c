/* SPDX-License-Identifier: Apache-2.0 */
/* Rules in the form and with the peculiarities of Fedora's targeted policy. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <selinux/label.h>
#include <selinux/selinux.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "os/selinux.h"

#define RULES "etc/selinux/targeted/contexts/files/file_contexts"

static const char config[] = "# This file controls the state of SELinux on the system.\n"
                             "SELINUX=enforcing\n"
                             "#SELINUXTYPE=minimum\n"
                             "SELINUXTYPE=minimum\n"
                             "  SELINUXTYPE=targeted \n";

static const char rules[] =
    "/.*\tsystem_u:object_r:default_t:s0\n"
    "/[^/]+\t--\tsystem_u:object_r:etc_runtime_t:s0\n"
    "/\t-d\tsystem_u:object_r:root_t:s0\n"
    "/etc/.*\tsystem_u:object_r:etc_t:s0\n"
    "/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n"
    "/etc/shadow.*\t--\tsystem_u:object_r:shadow_t:s0\n"
    "/usr/.*\tsystem_u:object_r:usr_t:s0\n"
    "/usr\t-d\tsystem_u:object_r:usr_t:s0\n"
    "/usr/bin(/.*)?\tsystem_u:object_r:bin_t:s0\n"
    "/usr/(.*/)?lib(/.*)?\tsystem_u:object_r:lib_t:s0\n"
    "/usr/(.*/)?lib/.+\\.so(\\.[^/]*)*\t--\tsystem_u:object_r:lib_t:s0\n"
    "/usr/bin/bash\t--\tsystem_u:object_r:shell_exec_t:s0\n"
    "/usr/bin/(k3s|runc)\t--\tsystem_u:object_r:container_runtime_exec_t:s0\n"
    "/var/.*\tsystem_u:object_r:var_t:s0\n"
    "/var/lib/.*\tsystem_u:object_r:var_lib_t:s0\n"
    "/var/lib/opaque(/.*)?\t<<none>>\n"
    "/dev/null\t-c\tsystem_u:object_r:null_device_t:s0\n"
    "/dev/log\t-s\tsystem_u:object_r:devlog_t:s0\n"
    "/run/initctl\t-p\tsystem_u:object_r:initctl_t:s0\n"
    "/etc/link\t-l\tsystem_u:object_r:cert_t:s0\n"
    "/proc\t-d\t<<none>>\n"
    "/proc/.*\t<<none>>\n";

static void add(struct ib_tree *tree, const char *path, const char *text)
{
    cr_assert(ib_tree_add_file(tree, path, 0644, text, strlen(text), IB_LAYER_BASE, NULL));
}

static struct ib_tree *sample(void)
{
    static const char *const files[] = {
        "a-file-at-the-top", "etc/passwd",         "etc/shadow",        "etc/shadow-",
        "usr/bin/bash",      "usr/bin/ls",         "usr/bin/k3s",       "usr/local/bin/k3s",
        "usr/lib/libx.so.1", "var/lib/rancher/db", "var/lib/opaque/in", "srv/data",
        "home/ole/.ssh/id",  "etc/local.conf",     "var/home/ole/x",
    };
    struct ib_tree *tree = ib_tree_new();

    for (size_t i = 0; i < IB_ARRAY_SIZE(files); i++)
        add(tree, files[i], files[i]);
    cr_assert(ib_tree_add_symlink(tree, "etc/link", "x", IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_special(tree, "dev/null", S_IFCHR | 0666, 1, 3, IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_special(tree, "dev/log", S_IFSOCK | 0666, 0, 0, IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_special(tree, "run/initctl", S_IFIFO | 0600, 0, 0, IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_directory(tree, "proc", 0555, IB_LAYER_BASE, NULL));
    return tree;
}

static void add_policy(struct ib_tree *tree, const char *file_contexts)
{
    add(tree, "etc/selinux/config", config);
    add(tree, RULES, file_contexts);
    add(tree, RULES ".homedirs", "/home/[^/]+/\\.ssh(/.*)?\tunconfined_u:object_r:ssh_home_t:s0\n");
    add(tree, RULES ".local", "/etc/local\\.conf\t--\tsystem_u:object_r:local_t:s0\n");
    add(tree, RULES ".subs_dist", "/usr/local/bin /usr/bin\n/var/home /home\n");
    add(tree, RULES ".subs", "/srv /usr/bin\n");
    add(tree, RULES ".bin", "not the form this machine's PCRE wants");
}

static int label(struct ib_tree *tree, struct ib_selinux_info *info, struct ib_error **err)
{
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    int result = ib_selinux_label(tree, dir, NULL, info, err);

    cr_assert_eq(rmdir(dir), 0, "something was left behind");
    cr_assert_eq(mkdir(dir, 0700), 0);
    return result;
}

static const char *label_of(const struct ib_tree *tree, const char *path)
{
    const struct ib_xattr *xattr =
        ib_inode_get_xattr(ib_tree_find(tree, path)->inode, "security.selinux");

    if (!xattr)
        return "none";
    cr_assert_eq(xattr->value[xattr->size - 1], 0, "%s: the kernel wants the NUL too", path);
    return (const char *)xattr->value;
}

Test(selinux, every_kind_of_rule)
{
    static const char *const expected[][2] = {
        {"", "system_u:object_r:root_t:s0"},
        {"a-file-at-the-top", "system_u:object_r:etc_runtime_t:s0"},
        {"etc", "system_u:object_r:etc_t:s0"},
        {"etc/passwd", "system_u:object_r:etc_t:s0"},
        {"etc/shadow", "system_u:object_r:shadow_t:s0"},
        {"etc/shadow-", "system_u:object_r:shadow_t:s0"},
        {"etc/link", "system_u:object_r:cert_t:s0"},
        {"etc/local.conf", "system_u:object_r:local_t:s0"},
        {"usr/bin", "system_u:object_r:bin_t:s0"},
        {"usr/bin/bash", "system_u:object_r:shell_exec_t:s0"},
        {"usr/bin/k3s", "system_u:object_r:container_runtime_exec_t:s0"},
        {"usr/local/bin/k3s", "system_u:object_r:container_runtime_exec_t:s0"}, /* .subs_dist */
        {"usr/lib/libx.so.1", "system_u:object_r:lib_t:s0"},
        {"srv/data", "system_u:object_r:bin_t:s0"},                  /* .subs */
        {"home/ole/.ssh/id", "unconfined_u:object_r:ssh_home_t:s0"}, /* .homedirs */
        {"var/home/ole/x", "system_u:object_r:default_t:s0"},        /* .subs_dist */
        {"var/lib/rancher/db", "system_u:object_r:var_lib_t:s0"},
        {"var/lib/opaque/in", "was:there:before:s0"}, /* <<none>> */
        {"proc", "none"},
        {"dev/null", "system_u:object_r:null_device_t:s0"},
        {"dev/log", "system_u:object_r:devlog_t:s0"},
        {"run/initctl", "system_u:object_r:initctl_t:s0"},
    };
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    add_policy(tree, rules);
    ib_inode_set_xattr(ib_tree_find(tree, "var/lib/opaque/in")->inode, "security.selinux",
                       "was:there:before:s0", 20);
    ib_inode_set_xattr(ib_tree_find(tree, "etc/passwd")->inode, "security.selinux", "old", 4);
    int result = label(tree, &info, &err);
    cr_assert_eq(result, 0, "%s", err ? ib_error_text(err) : "");
    cr_assert_str_eq(info.policy, "targeted");
    for (size_t i = 0; i < IB_ARRAY_SIZE(expected); i++)
        cr_assert_str_eq(label_of(tree, expected[i][0]), expected[i][1], "/%s: %s", expected[i][0],
                         label_of(tree, expected[i][0]));
    cr_assert_eq(info.unlabelled_count, 3);
    cr_assert_eq(info.labelled_count + info.unlabelled_count, ib_tree_entry_count(tree));
}

Test(selinux, of_hard_links_the_first_name_decides)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    add_policy(tree, rules);
    cr_assert(ib_tree_add_hardlink(tree, "etc/bash", ib_tree_find(tree, "usr/bin/bash"),
                                   IB_LAYER_BASE, NULL));
    cr_assert_eq(label(tree, &info, &err), 0);
    cr_assert_str_eq(label_of(tree, "usr/bin/bash"), "system_u:object_r:etc_t:s0");
}

Test(selinux, without_a_policy_nothing_happens)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    cr_assert_eq(label(tree, &info, &err), 0);
    cr_assert_str_eq(info.policy, "");
    add(tree, "etc/selinux/config", config); /* as libselinux alone leaves it */
    cr_assert_eq(label(tree, &info, &err), 0);
    cr_assert_str_eq(info.policy, "");
    cr_assert_eq(info.labelled_count, 0);
    cr_assert_str_eq(label_of(tree, "etc/passwd"), "none");
}

/* Patterns whose literal beginnings are hard to tell, for directories d00 to d39 of /usr/share. */
static char *many_rules(void)
{
    static const char *const forms[] = {
        "/usr/share/d%02u(/.*)?",       "/usr/share/d%02u/f1.*",   "/usr/share/d%02u?/f20",
        "/usr/share/d%02u*/f21",        "/usr/share/d%02u{1}/f22", "/usr/(share|lib)/d%02u/f3[0-9]",
        "/usr/bin/x%02u|/.*/f4[0-9]",   "/usr/share/d%02u/sub/.*", "/usr/share/d%02u+/f23",
        "/usr/share/.*/d%02u/sub/f5.*", "/usr/share\\/d%02u/f60",  "/usr/lib/d%02u(/.*)?",
    };
    struct ib_buf text = {0};

    ib_buf_append_str(&text,
                      "# not sorted, with blanks\n\n  /.*  system_u:object_r:default_t:s0\n");
    for (unsigned dir = 0; dir < 40; dir += 1 + dir % 3) {
        for (size_t i = 0; i < IB_ARRAY_SIZE(forms); i++) {
            ib_buf_printf(&text, forms[i], dir);
            ib_buf_printf(&text, i % 2 ? "\t--\tu:r:t%zu_%u:s0\n" : " u:r:t%zu_%u:s0\n", i, dir);
        }
    }
    return ib_buf_steal_string(&text);
}

static struct ib_tree *many_files(void)
{
    struct ib_tree *tree = ib_tree_new();

    for (unsigned dir = 0; dir < 40; dir++) {
        for (unsigned i = 0; i < 100; i++) {
            _cleanup_(ib_freep) char *path =
                ib_asprintf(i % 7 ? "usr/share/d%02u/f%02u" : "usr/share/d%02u/sub/f%02u", dir, i);
            _cleanup_(ib_freep) char *local = ib_asprintf("usr/local/d%02u/f%02u", dir, i);
            _cleanup_(ib_freep) char *shorter = ib_asprintf("usr/share/d%u/f%02u", dir % 4, i);
            add(tree, path, "x");
            add(tree, local, "x");
            add(tree, shorter, "x");
        }
    }
    return tree;
}

struct direct {
    struct selabel_handle *handle;
    const struct ib_tree *tree;
};

static int compare_with_direct(struct ib_node *node, const char *path, void *userdata)
{
    struct direct *direct = userdata;
    _cleanup_(ib_freep) char *absolute = ib_asprintf("/%s", path);
    char *context = NULL;

    cr_assert_eq(selabel_lookup_raw(direct->handle, &context, absolute, (int)node->inode->mode), 0);
    cr_assert_str_eq(label_of(direct->tree, path), context, "%s", absolute);
    freecon(context);
    return 0;
}

Test(selinux, narrowed_rules_give_what_all_rules_give)
{
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *file = ib_path_join(dir, "file_contexts");
    _cleanup_(ib_freep) char *subs = ib_path_join(dir, "file_contexts.subs_dist");
    _cleanup_(ib_freep) char *text = many_rules();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = many_files();
    static const char substitutions[] =
        "/usr/local/d05 /usr/share/d05\n/usr/share/d07 /usr/lib/d09\n";
    struct direct direct = {.tree = tree};
    struct selinux_opt options[] = {{SELABEL_OPT_PATH, file}};
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    add(tree, "etc/selinux/config", config);
    add(tree, RULES, text);
    add(tree, RULES ".subs_dist", substitutions);
    int result = label(tree, &info, &err);
    cr_assert_eq(result, 0, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(info.unlabelled_count, 0);

    int fd = open(file, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(ib_write_full(fd, text, strlen(text)), 0);
    close(fd);
    fd = open(subs, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(ib_write_full(fd, substitutions, strlen(substitutions)), 0);
    close(fd);
    direct.handle = selabel_open(SELABEL_CTX_FILE, options, 1);
    cr_assert_not_null(direct.handle);
    ib_tree_walk(tree, compare_with_direct, &direct);
    selabel_close(direct.handle);
}

static void assert_refused(const char *config_text, const char *rules_text, const char *expected)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    add_policy(tree, rules_text);
    add(tree, "etc/selinux/config", config_text);
    cr_assert_eq(label(tree, &info, &err), -1, "%s", expected);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert(strstr(text, expected), "%s", text);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID, "%s", text);
    ib_error_clear(&err);
}

Test(selinux, broken_policies_are_errors)
{
    assert_refused("SELINUXTYPE=../../tmp\n", rules, "SELINUXTYPE=../../tmp");
    assert_refused("SELINUXTYPE=\n", rules, "names no policy");
    assert_refused(config, "/etc(/.*)?\t-z\tsystem_u:object_r:etc_t:s0\n", "file_contexts");
    assert_refused(config, "/etc/[a-(\tsystem_u:object_r:etc_t:s0\n", "a rule is malformed");
    assert_refused(config, "/etc\n", "file_contexts");
}

Test(selinux, can_be_stopped)
{
    static volatile sig_atomic_t cancel = 1;
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    _cleanup_(ib_progress_freep) struct ib_progress *stop = ib_progress_new(NULL, NULL, &cancel);
    struct ib_selinux_info info;
    struct ib_error *err = NULL;

    add_policy(tree, rules);
    cr_assert_eq(ib_selinux_label(tree, "/tmp", stop, &info, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
}
