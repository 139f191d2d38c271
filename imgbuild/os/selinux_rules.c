/* SPDX-License-Identifier: Apache-2.0 */
#include "selinux_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <selinux/label.h>
#include <selinux/selinux.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum {
    RULES_MAX_SIZE = 64 * 1024 * 1024,
    FEW_RULES = 100, /* narrowing such a set would cost more than it saves */
};

/* selabel_file(5). Rules of a later file win; the substitutions come before any rule. */
enum part {
    PART_MAIN,
    PART_HOMEDIRS,
    PART_LOCAL,
    PART_RULES,
    PART_SUBS = PART_RULES,
    PART_SUBS_DIST
};
static const char *const part_suffixes[] = {"", ".homedirs", ".local", ".subs", ".subs_dist"};

struct rule {
    const char *line;
    size_t size;        /* of the line, without its end */
    size_t prefix_size; /* how many bytes at its beginning every path that matches begins with */
    enum part part;
};

struct selinux_rules {
    struct selabel_handle *handle;
    const struct rule **rules; /* in the policy's order */
    size_t count;
    const struct selinux_rules *all; /* the set with everything; itself there, where it also has: */
    const char *dir;
    struct ib_buf texts[IB_ARRAY_SIZE(part_suffixes)];
    struct rule *storage;
    struct ib_strv substituted; /* paths that a substitution begins with */
};

/*
 * libselinux tells its reasons through one callback of the whole process, without user data. So
 * ours stays installed, and hands each line to the call that this thread is in.
 */
static _Thread_local struct ib_buf *current_messages;

static int collect_message(int type _unused_, const char *format, ...)
{
    va_list args;

    if (!current_messages)
        return 0;
    va_start(args, format);
    ib_buf_vprintf(current_messages, format, args);
    va_end(args);
    return 0;
}

static struct selabel_handle *open_handle(const char *path, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf messages = {0};
    struct selinux_opt options[] = {{SELABEL_OPT_PATH, path}};

    selinux_set_callback(SELINUX_CB_LOG, (union selinux_callback){.func_log = collect_message});
    current_messages = &messages;
    errno = 0;
    struct selabel_handle *handle = selabel_open(SELABEL_CTX_FILE, options, 1);
    int errnum = errno;
    current_messages = NULL;
    if (handle)
        return handle;
    if (messages.size) {
        const char *text = (const char *)messages.data;
        size_t skip = ib_startswith(text, path) ? strlen(path) : 0;
        /* the first line says the most */
        ib_failf(err, IB_E_INVALID, "file_contexts%.*s", (int)strcspn(text + skip, "\n"),
                 text + skip);
    } else {
        ib_fail(err, IB_E_INVALID, errnum, NULL, "read file_contexts");
    }
    return NULL;
}

/*
 * The length of what every path that matches a pattern begins with: up to the first character with
 * a meaning in a regular expression, less one where that makes the character before it optional.
 */
static size_t literal_prefix(const char *pattern, size_t size)
{
    size_t prefix = 0;
    int depth = 0;

    while (prefix < size && !strchr(".^$?*+|[({\\", pattern[prefix]))
        prefix++;
    for (size_t i = prefix; i < size; i++) {
        depth += (pattern[i] == '(') - (pattern[i] == ')');
        if (pattern[i] == '\\')
            i++;
        else if (pattern[i] == '|' && depth <= 0)
            return 0; /* an alternative to all of it */
    }
    if (prefix && prefix < size && strchr("?*{", pattern[prefix]))
        prefix--;
    return prefix;
}

static size_t blanks(const char *line, size_t size)
{
    size_t n = 0;

    while (n < size && strchr(" \t\r\f\v", line[n]))
        n++;
    return n;
}

static size_t word(const char *line, size_t size)
{
    size_t n = 0;

    while (n < size && !strchr(" \t\r\f\v", line[n]))
        n++;
    return n;
}

/* Calls fn with each line of a text that is neither empty nor a comment, from its first word on. */
static void for_each_line(const struct ib_buf *text, struct selinux_rules *all, enum part part,
                          void (*fn)(struct selinux_rules *, enum part, const char *, size_t))
{
    const char *line = (const char *)text->data, *end = line + text->size;

    while (line < end) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((next ? next : end) - line), skip = blanks(line, size);
        if (skip < size && line[skip] != '#')
            fn(all, part, line + skip, size - skip);
        line += size + 1;
    }
}

static void count_rule(struct selinux_rules *all, enum part part _unused_,
                       const char *line _unused_, size_t size _unused_)
{
    all->count++;
}

static void add_rule(struct selinux_rules *all, enum part part, const char *line, size_t size)
{
    struct rule *rule = &all->storage[all->count];

    *rule = (struct rule){line, size, literal_prefix(line, word(line, size)), part};
    all->rules[all->count++] = rule;
}

static void add_substitution(struct selinux_rules *all, enum part part _unused_, const char *line,
                             size_t size)
{
    ib_strv_take(&all->substituted, ib_strndup(line, word(line, size)));
}

static void parse(struct selinux_rules *all)
{
    for (enum part part = 0; part < PART_RULES; part++)
        for_each_line(&all->texts[part], all, part, count_rule);
    all->storage = ib_calloc(all->count + 1, sizeof(*all->storage));
    all->rules = ib_calloc(all->count + 1, sizeof(struct rule *));
    all->count = 0;
    for (enum part part = 0; part < PART_RULES; part++)
        for_each_line(&all->texts[part], all, part, add_rule);
    for_each_line(&all->texts[PART_SUBS], all, PART_SUBS, add_substitution);
    for_each_line(&all->texts[PART_SUBS_DIST], all, PART_SUBS_DIST, add_substitution);
}

/* Not ib_atomic_write: nobody else looks there, and a sync a file would cost more than all else. */
static int write_part(const char *stem, enum part part, const struct ib_buf *text,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s%s", stem, part_suffixes[part]);
    _cleanup_(ib_closep) int fd = -1;

    if (!text->size && part != PART_MAIN) {
        if (unlink(path) < 0 && errno != ENOENT)
            return ib_fail(err, IB_E_IO, errno, path, "remove");
        return 0;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || (text->size && ib_write_full(fd, text->data, text->size) < 0))
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return 0;
}

/* Reads the policy's files into all->texts; false where it has no rules. */
static int read_texts(const struct ib_tree *tree, const char *policy, struct selinux_rules *all,
                      bool *ret_found, struct ib_error **err)
{
    *ret_found = false;
    for (enum part part = 0; part < IB_ARRAY_SIZE(part_suffixes); part++) {
        _cleanup_(ib_freep) char *path = ib_asprintf(
            "etc/selinux/%s/contexts/files/file_contexts%s", policy, part_suffixes[part]);
        const struct ib_node *node = ib_tree_resolve(tree, path);
        if (!node || !S_ISREG(node->inode->mode)) {
            if (part == PART_MAIN)
                return 0;
            continue;
        }
        if (ib_tree_read_file(tree, path, RULES_MAX_SIZE, &all->texts[part], err) < 0)
            return -1;
    }
    *ret_found = true;
    return 0;
}

int selinux_rules_load(const struct ib_tree *tree, const char *policy, const char *dir,
                       struct selinux_rules **ret, struct ib_error **err)
{
    _cleanup_(selinux_rules_freep) struct selinux_rules *all = ib_calloc(1, sizeof(*all));
    _cleanup_(ib_freep) char *stem = ib_path_join(dir, "file_contexts");
    bool found;

    *ret = NULL;
    all->all = all;
    all->dir = dir;
    if (read_texts(tree, policy, all, &found, err) < 0)
        return -1;
    if (!found)
        return 0;
    for (enum part part = 0; part < IB_ARRAY_SIZE(part_suffixes); part++)
        if (write_part(stem, part, &all->texts[part], err) < 0)
            return -1;
    all->handle = open_handle(stem, err);
    if (!all->handle)
        return ib_wrap(err, policy, "load the file contexts of SELinux policy");
    parse(all);
    *ret = ib_steal(&all);
    return 0;
}

static bool can_match_below(const struct rule *rule, const char *path)
{
    size_t n = IB_MIN(strlen(path), rule->prefix_size);

    return strncmp(rule->line, path, n) == 0 && /* then the slash behind the path */
           (rule->prefix_size <= strlen(path) || rule->line[n] == '/');
}

static bool is_substituted(const struct selinux_rules *all, const char *path)
{
    for (size_t i = 0; i < all->substituted.count; i++) {
        const char *from = all->substituted.items[i];
        if (strncmp(from, path, IB_MIN(strlen(from), strlen(path))) == 0)
            return true;
    }
    return false;
}

static struct selabel_handle *open_narrow(const struct selinux_rules *narrow, struct ib_error **err)
{
    _cleanup_(ib_freep) char *stem = ib_path_join(narrow->all->dir, "narrow");
    struct selabel_handle *handle = NULL;
    struct ib_buf texts[PART_RULES] = {0};
    int result = 0;

    for (size_t i = 0; i < narrow->count; i++) {
        const struct rule *rule = narrow->rules[i];
        ib_buf_append(&texts[rule->part], rule->line, rule->size);
        ib_buf_append(&texts[rule->part], "\n", 1);
    }
    for (enum part part = 0; part < PART_RULES && result == 0; part++)
        result = write_part(stem, part, &texts[part], err);
    if (result == 0)
        handle = open_handle(stem, err);
    for (enum part part = 0; part < PART_RULES; part++)
        ib_buf_clear(&texts[part]);
    return handle;
}

int selinux_rules_narrow(const struct selinux_rules *rules, const char *path,
                         struct selinux_rules **ret, struct ib_error **err)
{
    _cleanup_(selinux_rules_freep) struct selinux_rules *narrow = NULL;

    *ret = NULL;
    if (rules->count < FEW_RULES || is_substituted(rules->all, path))
        return 0;
    narrow = ib_calloc(1, sizeof(*narrow));
    narrow->all = rules->all;
    narrow->rules = ib_calloc(rules->count, sizeof(struct rule *));
    for (size_t i = 0; i < rules->count; i++)
        if (can_match_below(rules->rules[i], path))
            narrow->rules[narrow->count++] = rules->rules[i];
    if (narrow->count > rules->count / 2)
        return 0;
    narrow->handle = open_narrow(narrow, err);
    if (!narrow->handle)
        return -1;
    *ret = ib_steal(&narrow);
    return 0;
}

struct selinux_rules *selinux_rules_free(struct selinux_rules *rules)
{
    if (rules) {
        if (rules->handle)
            selabel_close(rules->handle);
        for (size_t i = 0; i < IB_ARRAY_SIZE(rules->texts); i++)
            ib_buf_clear(&rules->texts[i]);
        ib_strv_clear(&rules->substituted);
        free(rules->rules);
        free(rules->storage);
        free(rules);
    }
    return NULL;
}

void selinux_rules_freep(struct selinux_rules **rules)
{
    *rules = selinux_rules_free(*rules);
}

int selinux_rules_lookup(const struct selinux_rules *rules, const char *path, uint32_t mode,
                         char **ret_context, struct ib_error **err)
{
    char *context = NULL;

    *ret_context = NULL;
    errno = 0;
    if (selabel_lookup_raw(rules->handle, &context, path, (int)mode) == 0) {
        *ret_context = context;
        return 0;
    }
    if (errno == ENOENT)
        return 0;
    /* a rule that is no regular expression leaves errno at 0 */
    return ib_failf(err, IB_E_INVALID, "%s", errno ? strerror(errno) : "a rule is malformed");
}
