/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "os/cleanup.h"
#include "os/users.h"

static struct ib_node *add(struct ib_tree *tree, const char *path, const char *text)
{
    struct ib_node *node =
        ib_tree_add_file(tree, path, 0644, text, strlen(text), IB_LAYER_PACKAGES, NULL);

    cr_assert(node);
    node->inode->mtime_s = 12345;
    return node;
}

static char *text_of(const struct ib_tree *tree, const char *path)
{
    struct ib_buf text = {0};

    cr_assert_eq(ib_tree_read_file(tree, path, 1 << 20, &text, NULL), 0, "%s", path);
    return ib_buf_steal_string(&text);
}

static void expect_text(const struct ib_tree *tree, const char *path, const char *expected)
{
    char *text = text_of(tree, path);

    cr_assert_str_eq(text, expected, "%s holds '%s'", path, text);
    free(text);
}

static int check_time(struct ib_node *node, const char *path, void *userdata _unused_)
{
    cr_assert_eq(node->inode->mtime_s, 1700000000, "%s", path);
    return 0;
}

Test(cleanup, what_differs_between_builds_goes)
{
    static const char *const gone[] = {
        "var/cache/ldconfig/aux-cache",
        "var/log/dpkg.log",
        "etc/ssh/ssh_host_rsa_key",
        "etc/passwd-",
        "etc/shadow-",
        "var/lib/dpkg/status",
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
        "usr/lib/python3/__pycache__/x.pyc",
        "boot/vmlinuz-6.12",
        "root/.bash_history",
        "var/lib/apt/lists/x",
        "usr/lib/sysimage/libdnf5/history.sqlite",
    };
    static const char *const stays[] = {"etc/passwd", "usr/bin/sh", "etc/ssh/sshd_config",
                                        "usr/lib/python3/x.py"};
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    for (size_t i = 0; i < IB_ARRAY_SIZE(gone); i++)
        add(tree, gone[i], "x");
    for (size_t i = 0; i < IB_ARRAY_SIZE(stays); i++)
        add(tree, stays[i], "x");
    add(tree, "etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    add(tree, "etc/shadow", "root:!*:20414:0:99999:7:::\nx:!:20414::::::\n");
    cr_assert_eq(ib_cleanup_tree(tree, 1700000000, &err), 0, "%s", ib_error_text(err));
    for (size_t i = 0; i < IB_ARRAY_SIZE(gone); i++)
        cr_assert_null(ib_tree_find(tree, gone[i]), "%s", gone[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(stays); i++)
        cr_assert(ib_tree_find(tree, stays[i]), "%s", stays[i]);
    cr_assert(ib_tree_find(tree, "var/log") && ib_tree_find(tree, "proc"));
    expect_text(tree, "etc/machine-id", "");
    expect_text(tree, "etc/shadow", "root:!*:1:0:99999:7:::\nx:!:1::::::\n");
    (void)ib_tree_walk(tree, check_time, NULL);
    ib_tree_free(tree);
}

Test(cleanup, a_machines_iscsi_name_is_its_own)
{
    static const char name[] = "InitiatorName=iqn.1993-08.org.debian:01:ea8a4185818d\n";
    struct ib_tree *debian = ib_tree_new(), *fedora = ib_tree_new();

    add(debian, "etc/iscsi/initiatorname.iscsi", name);
    add(debian, "usr/lib/open-iscsi/startup-checks.sh", "");
    add(fedora, "etc/iscsi/initiatorname.iscsi", name);
    cr_assert_eq(ib_cleanup_tree(debian, 1, NULL), 0);
    cr_assert_eq(ib_cleanup_tree(fedora, 1, NULL), 0);
    expect_text(debian, "etc/iscsi/initiatorname.iscsi", "GenerateName=yes\n");
    cr_assert_null(ib_tree_find(fedora, "etc/iscsi/initiatorname.iscsi"));
    ib_tree_free(debian);
    ib_tree_free(fedora);
}

Test(cleanup, twice_is_once)
{
    struct ib_tree *tree = ib_tree_new();

    add(tree, "etc/shadow", "root:*:9:::::");
    cr_assert_eq(ib_cleanup_tree(tree, 1, NULL), 0);
    uint64_t count = ib_tree_entry_count(tree);
    cr_assert_eq(ib_cleanup_tree(tree, 1, NULL), 0);
    cr_assert_eq(ib_tree_entry_count(tree), count);
    ib_tree_free(tree);
}

static struct ib_tree *tree_with_users(void)
{
    struct ib_tree *tree = ib_tree_new();

    add(tree, "etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
    add(tree, "etc/group", "root:x:0:\nsudo:x:27:admin\nempty:x:28:\n");
    add(tree, "etc/shadow", "root:*:20000:0:99999:7:::\n")->inode->gid = 42;
    add(tree, "etc/gshadow", "root:*::\nsudo:*::admin\nempty:*::\n");
    return tree;
}

Test(users, user_is_in_all_four_files)
{
    struct ib_tree *tree = tree_with_users();
    struct ib_error *err = NULL;
    char name[] = "ops", home[] = "/var/home/ops", shell[] = "/bin/sh", comment[] = "Operator";
    struct ib_user user = {
        .name = name, .uid = 1500, .gid = -1, .comment = comment, .home = home, .shell = shell};

    ib_strv_split(&user.groups, "sudo empty", " ");
    ib_strv_add(&user.authorized_keys, "ssh-ed25519 AAAA ops@desk");
    for (int i = 0; i < 2; i++) /* again changes nothing */
        cr_assert_eq(ib_users_add(tree, &user, &err), 0, "%s", ib_error_text(err));
    expect_text(
        tree, "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nops:x:1500:1500:Operator:/var/home/ops:/bin/sh\n");
    expect_text(tree, "etc/group", "root:x:0:\nsudo:x:27:admin,ops\nempty:x:28:ops\nops:x:1500:\n");
    expect_text(tree, "etc/shadow", "root:*:20000:0:99999:7:::\nops:!*:1::::::\n");
    expect_text(tree, "etc/gshadow", "root:*::\nsudo:*::admin,ops\nempty:*::ops\nops:!::\n");
    expect_text(tree, "etc/ssh/authorized_keys.d/ops", "ssh-ed25519 AAAA ops@desk\n");
    cr_assert_eq(ib_tree_find(tree, "etc/shadow")->inode->gid, 42);
    ib_strv_clear(&user.groups);
    ib_strv_clear(&user.authorized_keys);
    ib_tree_free(tree);
}

Test(users, conflicts_are_named)
{
    struct ib_tree *tree = tree_with_users();
    struct ib_error *err = NULL;
    char name[] = "toor", home[] = "/var/home/toor", shell[] = "/bin/sh";
    struct ib_user user = {.name = name, .uid = 0, .gid = 27, .home = home, .shell = shell};

    cr_assert_eq(ib_users_add(tree, &user, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 1), "user id 0 of 'toor' belongs to 'root' in the base");
    ib_error_clear(&err);
    cr_assert_eq(ib_users_add_group(tree, "sudo", 99, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "the base has a group 'sudo' with id 27, not 99");
    ib_error_clear(&err);
    cr_assert_eq(ib_users_add_group(tree, "wheel", 27, &err), -1);
    ib_error_clear(&err);
    cr_assert_eq(ib_users_add_group(tree, "sudo", 27, &err), 0);
    user.uid = 1500;
    ib_strv_add(&user.groups, "nobodys");
    cr_assert_eq(ib_users_add(tree, &user, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
    ib_strv_clear(&user.groups);
    ib_tree_free(tree);
}
