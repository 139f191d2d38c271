/* SPDX-License-Identifier: Apache-2.0 */
#include "os/units.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define ETC_UNITS "etc/systemd/system"

enum { MAX_UNIT_SIZE = 1 << 20, MAX_ALSO = 64 };

/* Where units are looked for, first match first (systemd.unit(5), Table 1). */
static const char *const unit_dirs[] = {ETC_UNITS, "usr/local/lib/systemd/system",
                                        "usr/lib/systemd/system"};

static const struct {
    const char *key, *dir_suffix;
} dependency_keys[] = {
    {"WantedBy", ".wants"},
    {"RequiredBy", ".requires"},
    {"UpheldBy", ".upholds"},
};

/* What a unit file's [Install] section says. */
struct install {
    struct ib_strv aliases, also;
    struct ib_strv targets[IB_ARRAY_SIZE(dependency_keys)];
    char *default_instance;
};

static void install_clear(struct install *i)
{
    ib_strv_clear(&i->aliases);
    ib_strv_clear(&i->also);
    for (size_t k = 0; k < IB_ARRAY_SIZE(i->targets); k++)
        ib_strv_clear(&i->targets[k]);
    free(i->default_instance);
}

/* "getty@tty1.service" → "getty@.service"; other names stay. The caller frees. */
static char *template_of(const char *unit)
{
    const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');

    if (!at || !dot || at > dot)
        return ib_strdup(unit);
    return ib_asprintf("%.*s%s", (int)(at - unit + 1), unit, dot);
}

/* The unit file's path in the tree, not through masks or aliases in /etc; NULL: none. */
static char *find_unit(const struct ib_tree *tree, const char *unit)
{
    _cleanup_(ib_freep) char *template = template_of(unit);
    const char *const names[] = {unit, template};

    for (size_t n = 0; n < IB_ARRAY_SIZE(names); n++) {
        for (size_t d = 0; d < IB_ARRAY_SIZE(unit_dirs); d++) {
            _cleanup_(ib_freep) char *path = ib_asprintf("%s/%s", unit_dirs[d], names[n]);
            const struct ib_node *node = ib_tree_resolve(tree, path);
            if (node && S_ISREG(node->inode->mode))
                return ib_node_path(node);
        }
    }
    return NULL;
}

static void collect_names(const struct ib_tree *tree, struct ib_strv *ret)
{
    for (size_t d = 0; d < IB_ARRAY_SIZE(unit_dirs); d++) {
        const struct ib_node *dir = ib_tree_resolve(tree, unit_dirs[d]);
        for (size_t i = 0; dir && i < dir->child_count; i++)
            ib_strv_add(ret, dir->children[i]->name);
    }
}

static int no_such_unit(const struct ib_tree *tree, const char *unit, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    collect_names(tree, &names);
    const char *nearest = ib_nearest(unit, (const char *const *)names.items, names.count);
    ib_failf(err, IB_E_NOT_FOUND, "there is no unit '%s' in the tree", unit);
    if (nearest)
        return ib_hint(err, "did you mean '%s'?", nearest);
    return ib_hint(err, "add the package or overlay that brings it, or drop it from services:");
}

static void parse_line(struct install *i, char *line)
{
    char *equals = strchr(line, '=');

    if (!equals)
        return;
    *equals = 0;
    for (char *end = equals; end > line && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = 0;
    const char *value = equals + 1;
    if (ib_streq(line, "Alias"))
        ib_strv_split(&i->aliases, value, " \t\r");
    else if (ib_streq(line, "Also"))
        ib_strv_split(&i->also, value, " \t\r");
    for (size_t k = 0; k < IB_ARRAY_SIZE(dependency_keys); k++)
        if (ib_streq(line, dependency_keys[k].key))
            ib_strv_split(&i->targets[k], value, " \t\r");
    if (ib_streq(line, "DefaultInstance")) {
        free(i->default_instance);
        i->default_instance = ib_strndup(value + strspn(value, " \t"), strcspn(value, "\r"));
    }
}

/* Puts lines that end in a backslash together with the next (systemd.syntax(7)). */
static void join_continued(char *text)
{
    for (char *p = text; (p = strstr(p, "\\\n"));)
        p[0] = p[1] = ' ';
}

static int read_install(const struct ib_tree *tree, const char *path, struct install *ret,
                        struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    bool in_install = false;

    if (ib_tree_read_file(tree, path, MAX_UNIT_SIZE, &text, err) < 0)
        return -1;
    if (!text.size)
        return 0;
    join_continued((char *)text.data);
    ib_strv_split(&lines, (const char *)text.data, "\n");
    for (size_t i = 0; i < lines.count; i++) {
        char *line = lines.items[i] + strspn(lines.items[i], " \t");
        if (*line == '#' || *line == ';')
            continue;
        if (*line == '[')
            in_install = ib_startswith(line, "[Install]");
        else if (in_install)
            parse_line(ret, line);
    }
    return 0;
}

static int link_unit(struct ib_tree *tree, const char *dir, const char *name, const char *unit_path,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/%s", dir, name);
    _cleanup_(ib_freep) char *target = ib_asprintf("/%s", unit_path);

    if (ib_streq(path, unit_path))
        return 0; /* the unit file itself lies in /etc */
    return ib_tree_add_symlink(tree, path, target, IB_LAYER_OVERLAYS, err) ? 0 : -1;
}

/* %i, %n and their like in WantedBy= and Alias= (systemd.unit(5) "Specifiers"); the caller frees.
 */
static char *expand_specifiers(const char *text, const char *unit)
{
    const char *at = strchr(unit, '@'), *dot = strrchr(unit, '.');
    _cleanup_(ib_freep) char *instance =
        at && dot && at < dot ? ib_strndup(at + 1, (size_t)(dot - at - 1)) : ib_strdup("");
    struct ib_buf out = {0};

    for (; *text; text++) {
        if (text[0] == '%' && (text[1] == 'i' || text[1] == 'I')) {
            ib_buf_append_str(&out, instance);
            text++;
        } else if (text[0] == '%' && text[1] == 'n') {
            ib_buf_append_str(&out, unit);
            text++;
        } else {
            ib_buf_append(&out, text, 1);
        }
    }
    return ib_buf_steal_string(&out);
}

static int make_links(struct ib_tree *tree, const char *unit, const char *unit_path,
                      const struct install *install, struct ib_error **err)
{
    for (size_t i = 0; i < install->aliases.count; i++) {
        _cleanup_(ib_freep) char *alias = expand_specifiers(install->aliases.items[i], unit);
        if (link_unit(tree, ETC_UNITS, alias, unit_path, err) < 0)
            return -1;
    }
    for (size_t k = 0; k < IB_ARRAY_SIZE(dependency_keys); k++) {
        for (size_t i = 0; i < install->targets[k].count; i++) {
            _cleanup_(ib_freep) char *by = expand_specifiers(install->targets[k].items[i], unit);
            _cleanup_(ib_freep) char *dir =
                ib_asprintf(ETC_UNITS "/%s%s", by, dependency_keys[k].dir_suffix);
            if (link_unit(tree, dir, unit, unit_path, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* The instance to enable for a template named without one; NULL: it cannot be enabled so. */
static char *with_default_instance(const char *unit, const struct install *install)
{
    const char *at = strstr(unit, "@.");

    if (!at)
        return ib_strdup(unit);
    if (!install->default_instance)
        return NULL;
    return ib_asprintf("%.*s%s%s", (int)(at - unit + 1), unit, install->default_instance, at + 1);
}

static int enable(struct ib_tree *tree, const char *unit, struct ib_strv *seen,
                  struct ib_error **err)
{
    _cleanup_(install_clear) struct install install = {0};
    _cleanup_(ib_freep) char *path = find_unit(tree, unit);

    if (ib_strv_contains(seen, unit) || seen->count >= MAX_ALSO)
        return 0;
    ib_strv_add(seen, unit);
    if (!path)
        return no_such_unit(tree, unit, err);
    if (read_install(tree, path, &install, err) < 0)
        return -1;
    /* an alias that a package brings ("sshd.service") stands for the unit behind it */
    const char *own = strchr(unit, '@') ? unit : ib_path_base(path);
    _cleanup_(ib_freep) char *name = with_default_instance(own, &install);
    if (!name) {
        ib_failf(err, IB_E_INVALID, "'%s' is a template without a default instance", unit);
        return ib_hint(err, "name an instance: NAME@INSTANCE.service");
    }
    if (make_links(tree, name, path, &install, err) < 0)
        return -1;
    for (size_t i = 0; i < install.also.count; i++)
        if (enable(tree, install.also.items[i], seen, err) < 0)
            return -1;
    return 0;
}

int ib_unit_enable(struct ib_tree *tree, const char *unit, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv seen = {0};
    _cleanup_(ib_freep) char *mask = ib_asprintf(ETC_UNITS "/%s", unit);
    const struct ib_node *node = ib_tree_find(tree, mask);

    if (node && S_ISLNK(node->inode->mode) && ib_streq(node->inode->target, "/dev/null"))
        ib_tree_remove(tree, mask); /* what the recipe enables is not masked by the base */
    return enable(tree, unit, &seen, err) < 0 ? ib_wrap(err, unit, "enable unit") : 0;
}

struct link_search {
    const char *unit;
    struct ib_strv found;
};

static int find_link(struct ib_node *node, const char *path, void *userdata)
{
    struct link_search *s = userdata;

    if (!S_ISLNK(node->inode->mode) || ib_streq(node->inode->target, "/dev/null"))
        return 0;
    const char *target = ib_path_base(node->inode->target);
    _cleanup_(ib_freep) char *template = template_of(s->unit);
    if (ib_startswith(path, ETC_UNITS "/") &&
        (ib_streq(target, s->unit) ||
         (ib_streq(target, template) && ib_streq(node->name, s->unit))))
        ib_strv_add(&s->found, path);
    return 0;
}

int ib_unit_disable(struct ib_tree *tree, const char *unit, struct ib_error **err _unused_)
{
    struct link_search search = {.unit = unit};

    (void)ib_tree_walk(tree, find_link, &search);
    for (size_t i = 0; i < search.found.count; i++)
        ib_tree_remove(tree, search.found.items[i]);
    ib_strv_clear(&search.found);
    return 0;
}

int ib_unit_mask(struct ib_tree *tree, const char *unit, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf(ETC_UNITS "/%s", unit);

    if (ib_unit_disable(tree, unit, err) < 0)
        return -1;
    if (!ib_tree_add_symlink(tree, path, "/dev/null", IB_LAYER_OVERLAYS, err))
        return ib_wrap(err, unit, "mask unit");
    return 0;
}
