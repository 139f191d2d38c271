/* SPDX-License-Identifier: Apache-2.0 */
#include "os/exclude.h"

#include <fnmatch.h>
#include <sys/stat.h>

const char *const *ib_exclude_default(void)
{
    static const char *const rules[] = {
        "usr/share/doc/*",           "!usr/share/doc/*/copyright",
        "!usr/share/doc/*/LICENSE*", "!usr/share/doc/*/COPYING*",
        "usr/share/man/*",           "usr/share/info/*",
        "usr/share/groff/*",         "usr/share/lintian/*",
        "usr/share/linda/*",         "usr/share/bug/*",
        "usr/share/locale/*",        "!usr/share/locale/C*",
        "!usr/share/locale/en*",     "!usr/share/locale/locale.alias",
        "usr/lib/locale/*",          "!usr/lib/locale/C*",
        "!usr/lib/locale/en*",       NULL,
    };

    return rules;
}

bool ib_exclude_matches(const char *const *rules, const char *path)
{
    bool excluded = false;

    for (; *rules; rules++) {
        bool keep = (*rules)[0] == '!';
        if (keep == excluded && fnmatch(*rules + keep, path, 0) == 0)
            excluded = !keep;
    }
    return excluded;
}

struct collect {
    const char *const *rules;
    struct ib_strv paths;
};

static int collect(struct ib_node *node, const char *path, void *userdata)
{
    struct collect *c = userdata;

    if (!S_ISDIR(node->inode->mode) && ib_exclude_matches(c->rules, path))
        ib_strv_add(&c->paths, path);
    return 0;
}

static int collect_directories(struct ib_node *node, const char *path, void *userdata)
{
    struct collect *c = userdata;

    if (S_ISDIR(node->inode->mode) && ib_exclude_matches(c->rules, path))
        ib_strv_add(&c->paths, path);
    return 0;
}

void ib_exclude_apply(struct ib_tree *tree, const char *const *rules)
{
    struct collect c = {.rules = rules};

    (void)ib_tree_walk(tree, collect, &c);
    for (size_t i = 0; i < c.paths.count; i++)
        ib_tree_remove(tree, c.paths.items[i]);
    ib_strv_clear(&c.paths);
    (void)ib_tree_walk(tree, collect_directories, &c);
    for (size_t i = c.paths.count; i-- > 0;) { /* children come behind their parents */
        const struct ib_node *node = ib_tree_find(tree, c.paths.items[i]);
        if (node->child_count == 0)
            ib_tree_remove(tree, c.paths.items[i]);
    }
    ib_strv_clear(&c.paths);
}

void ib_exclude_dpkg_config(const char *const *rules, struct ib_buf *ret)
{
    for (; *rules; rules++)
        if ((*rules)[0] == '!')
            ib_buf_printf(ret, "path-include=/%s\n", *rules + 1);
        else
            ib_buf_printf(ret, "path-exclude=/%s\n", *rules);
}
