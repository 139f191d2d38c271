/* SPDX-License-Identifier: Apache-2.0 */
#include "os/selinux.h"

#include <search.h>
#include <selinux/selinux.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "selinux_rules.h"

#define LABEL "security.selinux"

enum {
    CONFIG_MAX_SIZE = 64 * 1024,
    WORTH_NARROWING = 64, /* names below a directory */
};

struct labeller {
    struct ib_selinux_info *info;
    struct ib_progress *progress;
    void *seen; /* tsearch(3) tree of inodes with several names */
};

/* The last assignment of SELINUXTYPE in /etc/selinux/config (selinux_config(5)), or "". */
static int find_policy(const struct ib_tree *tree, char *policy, size_t size, struct ib_error **err)
{
    static const char path[] = "etc/selinux/config", key[] = "SELINUXTYPE=";
    _cleanup_(ib_buf_clear) struct ib_buf config = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    policy[0] = 0;
    if (!ib_tree_resolve(tree, path))
        return 0;
    if (ib_tree_read_file(tree, path, CONFIG_MAX_SIZE, &config, err) < 0)
        return -1;
    ib_buf_append(&config, "", 1);
    ib_strv_split(&lines, (const char *)config.data, "\n");
    for (size_t i = 0; i < lines.count; i++) {
        char *line = lines.items[i] + strspn(lines.items[i], " \t");
        if (!ib_startswith(line, key))
            continue;
        char *name = line + strlen(key) + strspn(line + strlen(key), " \t");
        name[strcspn(name, " \t\r#")] = 0;
        if (!*name || strlen(name) >= size || strchr(name, '/') || name[0] == '.')
            return ib_failf(err, IB_E_INVALID, "'/%s' names no policy: '%s'", path, lines.items[i]);
        strcpy(policy, name);
    }
    return 0;
}

static int compare_pointers(const void *a, const void *b)
{
    return ((uintptr_t)a > (uintptr_t)b) - ((uintptr_t)a < (uintptr_t)b);
}

static bool seen_before(struct labeller *l, struct ib_inode *inode)
{
    if (inode->nlink < 2)
        return false;
    if (tfind(inode, &l->seen, compare_pointers))
        return true;
    if (!tsearch(inode, &l->seen, compare_pointers))
        abort(); /* out of memory */
    return false;
}

static int label_inode(struct labeller *l, const struct selinux_rules *rules,
                       struct ib_inode *inode, const char *path, struct ib_error **err)
{
    char *context;

    if (seen_before(l, inode))
        return 0;
    if (selinux_rules_lookup(rules, path, inode->mode, &context, err) < 0)
        return ib_wrap(err, path, "find the SELinux label of");
    if (!context) {
        l->info->unlabelled_count++;
        return 0;
    }
    ib_inode_set_xattr(inode, LABEL, context, strlen(context) + 1);
    freecon(context);
    l->info->labelled_count++;
    return 0;
}

static bool has_many_names(const struct ib_node *node, size_t *budget)
{
    for (size_t i = 0; i < node->child_count; i++)
        if (--*budget == 0 || has_many_names(node->children[i], budget))
            return true;
    return false;
}

/* `path` is absolute: "/", "/usr". */
static int label_tree(struct labeller *l, const struct selinux_rules *rules, struct ib_node *node,
                      const char *path, struct ib_error **err)
{
    _cleanup_(selinux_rules_freep) struct selinux_rules *narrow = NULL;
    size_t budget = WORTH_NARROWING;

    if (label_inode(l, rules, node->inode, path, err) < 0)
        return -1;
    if (!node->child_count)
        return 0;
    if (ib_progress_check(l->progress, err) < 0)
        return -1;
    if (node->parent && has_many_names(node, &budget) &&
        selinux_rules_narrow(rules, path, &narrow, err) < 0)
        return -1;
    for (size_t i = 0; i < node->child_count; i++) {
        struct ib_node *child = node->children[i];
        _cleanup_(ib_freep) char *child_path =
            ib_asprintf("%s/%s", node->parent ? path : "", child->name);
        if (label_tree(l, narrow ? narrow : rules, child, child_path, err) < 0)
            return -1;
    }
    return 0;
}

static void keep(void *inode _unused_)
{
}

static int label_by_policy(struct ib_tree *tree, const char *temp_dir, struct ib_progress *progress,
                           struct ib_selinux_info *info, struct ib_error **err)
{
    struct labeller l = {.info = info, .progress = progress};
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir(temp_dir, "selinux", err);
    _cleanup_(selinux_rules_freep) struct selinux_rules *rules = NULL;
    int result;

    if (!dir || selinux_rules_load(tree, info->policy, dir, &rules, err) < 0)
        return -1;
    if (!rules) {
        info->policy[0] = 0;
        return 0;
    }
    result = label_tree(&l, rules, ib_tree_root(tree), "/", err);
    tdestroy(l.seen, keep);
    return result;
}

int ib_selinux_label(struct ib_tree *tree, const char *temp_dir, struct ib_progress *progress,
                     struct ib_selinux_info *ret, struct ib_error **err)
{
    struct ib_selinux_info info = {0};

    if (find_policy(tree, info.policy, sizeof(info.policy), err) < 0)
        return -1;
    if (info.policy[0] && label_by_policy(tree, temp_dir, progress, &info, err) < 0)
        return -1;
    *ret = info;
    return 0;
}
