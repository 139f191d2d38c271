/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "os/exclude.h"

static void add(struct ib_tree *tree, const char *path)
{
    cr_assert(ib_tree_add_file(tree, path, 0644, "x", 1, IB_LAYER_BASE, NULL));
}

Test(exclude, default_rules_keep_licences_and_english)
{
    static const struct {
        const char *path;
        bool excluded;
    } cases[] = {
        {"usr/share/doc/bash/changelog.gz", true},
        {"usr/share/doc/bash/copyright", false},
        {"usr/share/doc/a/b/copyright", false},
        {"usr/share/man/man1/sh.1.gz", true},
        {"usr/share/man", false}, /* packages expect the directory */
        {"usr/share/locale/de/LC_MESSAGES/x.mo", true},
        {"usr/share/locale/en_GB/LC_MESSAGES/x.mo", false},
        {"usr/share/locale/locale.alias", false},
        {"usr/lib/locale/C.utf8/LC_CTYPE", false},
        {"usr/share/documents", false},
        {"usr/bin/man", false},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++)
        cr_assert_eq(ib_exclude_matches(ib_exclude_default(), cases[i].path), cases[i].excluded,
                     "%s", cases[i].path);
}

Test(exclude, takes_directories_that_become_empty)
{
    struct ib_tree *tree = ib_tree_new();

    add(tree, "usr/share/doc/bash/copyright");
    add(tree, "usr/share/doc/bash/examples/a/b");
    add(tree, "usr/share/doc/lib/NEWS");
    add(tree, "usr/share/man/man1/sh.1.gz");
    ib_exclude_apply(tree, ib_exclude_default());
    cr_assert(ib_tree_find(tree, "usr/share/doc/bash/copyright"));
    cr_assert_null(ib_tree_find(tree, "usr/share/doc/bash/examples"));
    cr_assert_null(ib_tree_find(tree, "usr/share/doc/lib"));
    cr_assert_null(ib_tree_find(tree, "usr/share/man/man1"));
    cr_assert(ib_tree_find(tree, "usr/share/man"));
    ib_tree_free(tree);
}

Test(exclude, dpkg_is_told_the_same)
{
    static const char *const rules[] = {"usr/share/doc/*", "!usr/share/doc/*/copyright", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf config = {0};

    ib_exclude_dpkg_config(rules, &config);
    cr_assert_str_eq((char *)config.data, "path-exclude=/usr/share/doc/*\n"
                                          "path-include=/usr/share/doc/*/copyright\n");
}
