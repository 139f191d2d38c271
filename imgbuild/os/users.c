/* SPDX-License-Identifier: Apache-2.0 */
#include "os/users.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_SIZE = 4 << 20 };

/* A colon-separated file of the tree, as lines; saved back with owner and mode kept. */
struct table {
    const char *path;
    uint32_t default_mode;
    struct ib_strv lines;
};

static int table_load(const struct ib_tree *tree, struct table *t, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_tree_resolve(tree, t->path))
        return 0;
    if (ib_tree_read_file(tree, t->path, MAX_SIZE, &text, err) < 0)
        return -1;
    ib_strv_split(&t->lines, text.data ? (const char *)text.data : "", "\n");
    return 0;
}

static int table_save(struct ib_tree *tree, const struct table *t, struct ib_error **err)
{
    const struct ib_node *old = ib_tree_resolve(tree, t->path);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    uint32_t mode = old ? old->inode->mode & 07777 : t->default_mode;
    uint32_t uid = old ? old->inode->uid : 0, gid = old ? old->inode->gid : 0;

    for (size_t i = 0; i < t->lines.count; i++)
        ib_buf_printf(&text, "%s\n", t->lines.items[i]);
    struct ib_node *node =
        ib_tree_add_file(tree, t->path, mode, text.data, text.size, IB_LAYER_OVERLAYS, err);
    if (!node)
        return -1;
    node->inode->uid = uid;
    node->inode->gid = gid;
    return 0;
}

static void table_clear(struct table *t)
{
    ib_strv_clear(&t->lines);
}

/* The line whose first field is `name`; NULL: none. */
static char **find_line(const struct table *t, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; i < t->lines.count; i++)
        if (strncmp(t->lines.items[i], name, n) == 0 && t->lines.items[i][n] == ':')
            return &t->lines.items[i];
    return NULL;
}

static void put_line(struct table *t, const char *name, char *line)
{
    char **old = find_line(t, name);

    if (old) {
        free(*old);
        *old = line;
    } else {
        ib_strv_take(&t->lines, line);
    }
}

/* Field `index` (from 0) of a line; the caller frees. NULL: there are fewer. */
static char *get_field(const char *line, size_t index)
{
    for (; index > 0; index--) {
        line = strchr(line, ':');
        if (!line)
            return NULL;
        line++;
    }
    return ib_strndup(line, strcspn(line, ":"));
}

static char *owner_of_id(const struct table *t, uint32_t id)
{
    for (size_t i = 0; i < t->lines.count; i++) {
        _cleanup_(ib_freep) char *field = get_field(t->lines.items[i], 2);
        uint64_t v;
        if (field && ib_parse_u64(field, UINT32_MAX, &v) && v == id)
            return get_field(t->lines.items[i], 0);
    }
    return NULL;
}

static int check_id(const struct table *t, const char *kind, const char *name, uint32_t id,
                    struct ib_error **err)
{
    _cleanup_(ib_freep) char *owner = owner_of_id(t, id);

    if (!owner || ib_streq(owner, name))
        return 0;
    ib_failf(err, IB_E_INVALID, "%s id %" PRIu32 " of '%s' belongs to '%s' in the base", kind, id,
             name, owner);
    return ib_hint(err, "choose another id in the role's recipe");
}

int ib_users_add_group(struct ib_tree *tree, const char *name, uint32_t gid, struct ib_error **err)
{
    _cleanup_(table_clear) struct table group = {"etc/group", 0644, {0}};
    _cleanup_(table_clear) struct table gshadow = {"etc/gshadow", 0640, {0}};

    if (table_load(tree, &group, err) < 0 || table_load(tree, &gshadow, err) < 0)
        return -1;
    char **old = find_line(&group, name);
    if (old) {
        _cleanup_(ib_freep) char *field = get_field(*old, 2);
        uint64_t v;
        if (field && ib_parse_u64(field, UINT32_MAX, &v) && v == gid)
            return 0;
        ib_failf(err, IB_E_INVALID, "the base has a group '%s' with id %s, not %" PRIu32, name,
                 field ? field : "?", gid);
        return ib_hint(err, "use the base's id, or another name");
    }
    if (check_id(&group, "group", name, gid, err) < 0)
        return -1;
    ib_strv_addf(&group.lines, "%s:x:%" PRIu32 ":", name, gid);
    put_line(&gshadow, name, ib_asprintf("%s:!::", name));
    return table_save(tree, &group, err) < 0 || table_save(tree, &gshadow, err) < 0 ? -1 : 0;
}

/* Appends the user to a group line's member list, the last field. */
static void add_member(char **line, const char *user)
{
    const char *members = strrchr(*line, ':') + 1;
    _cleanup_(ib_strv_clear) struct ib_strv list = {0};

    ib_strv_split(&list, members, ",");
    if (ib_strv_contains(&list, user))
        return;
    char *longer = ib_asprintf("%s%s%s", *line, *members ? "," : "", user);
    free(*line);
    *line = longer;
}

static int join_groups(struct ib_tree *tree, const struct ib_user *user, struct ib_error **err)
{
    _cleanup_(table_clear) struct table group = {"etc/group", 0644, {0}};
    _cleanup_(table_clear) struct table gshadow = {"etc/gshadow", 0640, {0}};

    if (!user->groups.count)
        return 0;
    if (table_load(tree, &group, err) < 0 || table_load(tree, &gshadow, err) < 0)
        return -1;
    for (size_t i = 0; i < user->groups.count; i++) {
        char **line = find_line(&group, user->groups.items[i]);
        if (!line || !strrchr(*line, ':')) {
            ib_failf(err, IB_E_NOT_FOUND, "there is no group '%s' in the tree",
                     user->groups.items[i]);
            return ib_hint(err, "add it under groups: of the role");
        }
        add_member(line, user->name);
        char **shadow = find_line(&gshadow, user->groups.items[i]);
        if (shadow && strrchr(*shadow, ':'))
            add_member(shadow, user->name);
    }
    return table_save(tree, &group, err) < 0 || table_save(tree, &gshadow, err) < 0 ? -1 : 0;
}

static int add_keys(struct ib_tree *tree, const struct ib_user *user, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("etc/ssh/authorized_keys.d/%s", user->name);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!user->authorized_keys.count)
        return 0;
    for (size_t i = 0; i < user->authorized_keys.count; i++)
        ib_buf_printf(&text, "%s\n", user->authorized_keys.items[i]);
    return ib_tree_add_file(tree, path, 0644, text.data, text.size, IB_LAYER_OVERLAYS, err) ? 0
                                                                                            : -1;
}

static int add_home(struct ib_tree *tree, const struct ib_user *user, uint32_t gid,
                    struct ib_error **err)
{
    _cleanup_(ib_freep) char *path =
        ib_asprintf("usr/lib/tmpfiles.d/imgbuild-home-%s.conf", user->name);
    _cleanup_(ib_freep) char *line =
        ib_asprintf("d %s 0700 %" PRIi64 " %" PRIu32 " -\n", user->home, user->uid, gid);

    return ib_tree_add_file(tree, path, 0644, line, strlen(line), IB_LAYER_OVERLAYS, err) ? 0 : -1;
}

int ib_users_add(struct ib_tree *tree, const struct ib_user *user, struct ib_error **err)
{
    _cleanup_(table_clear) struct table passwd = {"etc/passwd", 0644, {0}};
    _cleanup_(table_clear) struct table shadow = {"etc/shadow", 0640, {0}};
    uint32_t gid = (uint32_t)(user->gid < 0 ? user->uid : user->gid);

    if (user->gid < 0 && ib_users_add_group(tree, user->name, gid, err) < 0)
        return ib_wrap(err, user->name, "add user");
    if (table_load(tree, &passwd, err) < 0 || table_load(tree, &shadow, err) < 0 ||
        check_id(&passwd, "user", user->name, (uint32_t)user->uid, err) < 0)
        return ib_wrap(err, user->name, "add user");
    put_line(&passwd, user->name,
             ib_asprintf("%s:x:%" PRIi64 ":%" PRIu32 ":%s:%s:%s", user->name, user->uid, gid,
                         user->comment ? user->comment : "", user->home, user->shell));
    /* "!*": no password opens it, but keys do (shadow(5), sshd with UsePAM) */
    put_line(
        &shadow, user->name,
        ib_asprintf("%s:%s:1::::::", user->name, user->password == IB_PASSWORD_EMPTY ? "" : "!*"));
    if (table_save(tree, &passwd, err) < 0 || table_save(tree, &shadow, err) < 0 ||
        join_groups(tree, user, err) < 0 || add_keys(tree, user, err) < 0 ||
        add_home(tree, user, gid, err) < 0)
        return ib_wrap(err, user->name, "add user");
    return 0;
}

int ib_users_fix_shadow_dates(struct ib_tree *tree, struct ib_error **err)
{
    _cleanup_(table_clear) struct table shadow = {"etc/shadow", 0640, {0}};

    if (table_load(tree, &shadow, err) < 0)
        return -1;
    if (!shadow.lines.count)
        return 0;
    for (size_t i = 0; i < shadow.lines.count; i++) {
        const char *line = shadow.lines.items[i];
        const char *password = strchr(line, ':'),
                   *date = password ? strchr(password + 1, ':') : NULL;
        if (!date || !strchr(date + 1, ':'))
            continue;
        char *fixed = ib_asprintf("%.*s:1%s", (int)(date - line), line, strchr(date + 1, ':'));
        free(shadow.lines.items[i]);
        shadow.lines.items[i] = fixed;
    }
    return table_save(tree, &shadow, err);
}
