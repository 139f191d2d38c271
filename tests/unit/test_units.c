/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "os/units.h"

static const struct {
    const char *name, *text;
} units[] = {
    {"plain.service", "[Unit]\nWantedBy=not.target\n[Install]\nWantedBy=multi-user.target\n"},
    {"two.timer", "[Install]\nWantedBy=timers.target \\\n  multi-user.target\nAlias=other.timer\n"},
    {"hard.service",
     "[Install]\nRequiredBy=a.target\n; x\nRequiredBy=b.target\nAlso=plain.service\n"},
    {"loop.service", "[Install]\nAlso=loop.socket\nWantedBy=multi-user.target\n"},
    {"loop.socket", "[Install]\nAlso=loop.service\nWantedBy=sockets.target\n"},
    {"inst@.service", "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n"},
    {"named@.service", "[Install]\nWantedBy=%i.target\nAlias=dbus-%n\n"},
    {"static.service", "[Service]\nExecStart=/bin/true\n"},
    {"multi-user.target", "[Unit]\n"},
};

static struct ib_tree *make_tree(void)
{
    struct ib_tree *tree = ib_tree_new();

    for (size_t i = 0; i < IB_ARRAY_SIZE(units); i++) {
        char *path = ib_asprintf("usr/lib/systemd/system/%s", units[i].name);
        cr_assert(ib_tree_add_file(tree, path, 0644, units[i].text, strlen(units[i].text),
                                   IB_LAYER_BASE, NULL));
        free(path);
    }
    return tree;
}

static int add_link(struct ib_node *node, const char *path, void *userdata)
{
    if (S_ISLNK(node->inode->mode))
        ib_strv_addf(userdata, "%s -> %s", path, node->inode->target);
    return 0;
}

/* Every link below etc, one a line. */
static char *links_of(const struct ib_tree *tree)
{
    _cleanup_(ib_strv_clear) struct ib_strv links = {0};

    (void)ib_tree_walk(tree, add_link, &links);
    ib_strv_sort(&links);
    return ib_strv_join(&links, "\n");
}

static char *links_by_systemctl(const char *dir)
{
    const char *const argv[] = {"find", "etc", "-type", "l", "-printf", "%p -> %l\\n", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    _cleanup_(ib_strv_clear) struct ib_strv links = {0};

    if (ib_run(&(struct ib_run){.argv = argv, .cwd = dir, .out = &out}, NULL) < 0)
        return ib_strdup("");
    ib_strv_split(&links, out.size ? (char *)out.data : "", "\n");
    ib_strv_sort(&links);
    return ib_strv_join(&links, "\n");
}

static char *make_directory(void)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-units", NULL);
    _cleanup_(ib_freep) char *unit_dir = ib_path_join(dir, "usr/lib/systemd/system");

    cr_assert_eq(ib_mkdir_p(unit_dir, NULL), 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(units); i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(unit_dir, units[i].name);
        cr_assert_eq(ib_write_file(path, 0644, units[i].text, strlen(units[i].text), NULL), 0);
    }
    return dir;
}

Test(units, enables_as_systemctl_does)
{
    static const char *const names[] = {"plain.service",  "two.timer",           "hard.service",
                                        "loop.service",   "loop.socket",         "inst@.service",
                                        "inst@x.service", "named@rescue.service"};
    _cleanup_(ib_freep) char *program = ib_find_program("systemctl");

    if (!program)
        cr_skip_test("systemctl is not installed");
    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        struct ib_tree *tree = make_tree();
        struct ib_error *err = NULL;
        char *dir = make_directory(), *root = ib_asprintf("--root=%s", dir);
        const char *const argv[] = {"systemctl", root, "enable", names[i], NULL};

        cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", ib_error_text(err));
        cr_assert_eq(ib_unit_enable(tree, names[i], &err), 0, "%s", ib_error_text(err));
        char *ours = links_of(tree), *theirs = links_by_systemctl(dir);
        cr_assert(strlen(ours) > 0);
        cr_assert_str_eq(ours, theirs, "%s:\nours:\n%s\ntheirs:\n%s", names[i], ours, theirs);
        /* disabling what was enabled leaves nothing */
        cr_assert_eq(ib_unit_disable(tree, names[i], &err), 0);
        free(ours), free(theirs), free(root);
        ib_temp_dirp(&dir);
        ib_tree_free(tree);
    }
}

Test(units, an_alias_enables_the_unit_behind_it)
{
    struct ib_tree *tree = make_tree();

    cr_assert(ib_tree_add_symlink(tree, "usr/lib/systemd/system/alias.service", "plain.service",
                                  IB_LAYER_BASE, NULL));
    cr_assert_eq(ib_unit_enable(tree, "alias.service", NULL), 0);
    cr_assert(ib_tree_find(tree, "etc/systemd/system/multi-user.target.wants/plain.service"));
    cr_assert_null(ib_tree_find(tree, "etc/systemd/system/multi-user.target.wants/alias.service"));
    ib_tree_free(tree);
}

Test(units, disable_and_mask)
{
    struct ib_tree *tree = make_tree();
    const struct ib_node *node;

    cr_assert_eq(ib_unit_enable(tree, "two.timer", NULL), 0);
    cr_assert_eq(ib_unit_disable(tree, "two.timer", NULL), 0);
    char *links = links_of(tree);
    cr_assert_str_eq(links, "");
    free(links);
    cr_assert_eq(ib_unit_mask(tree, "two.timer", NULL), 0);
    cr_assert_eq(ib_unit_mask(tree, "not-there.service", NULL), 0);
    node = ib_tree_find(tree, "etc/systemd/system/two.timer");
    cr_assert_str_eq(node->inode->target, "/dev/null");
    cr_assert_eq(ib_unit_enable(tree, "two.timer", NULL), 0); /* the later word wins */
    node = ib_tree_find(tree, "etc/systemd/system/two.timer");
    cr_assert_null(node);
    cr_assert(ib_tree_find(tree, "etc/systemd/system/timers.target.wants/two.timer"));
    ib_tree_free(tree);
}

Test(units, errors_name_the_unit_and_the_nearest)
{
    struct ib_tree *tree = make_tree();
    struct ib_error *err = NULL;

    cr_assert_eq(ib_unit_enable(tree, "plan.service", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_assert_str_eq(ib_error_line(err, 1), "there is no unit 'plan.service' in the tree");
    cr_assert_str_eq(ib_error_hint(err), "did you mean 'plain.service'?");
    ib_error_clear(&err);
    cr_assert_eq(ib_unit_enable(tree, "named@.service", &err), -1);
    cr_assert_str_eq(ib_error_line(err, 1),
                     "'named@.service' is a template without a default instance");
    ib_error_clear(&err);
    ib_tree_free(tree);
}
