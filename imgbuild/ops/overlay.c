/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "ops/template.h"

enum { MAX_SIZE_IN_MEMORY = 1 << 20, MAX_DEPTH = 64 };

struct entry {
    char *path;   /* in the tree */
    char *host;   /* regular files: on the host */
    char *target; /* symbolic links */
    uint32_t mode;
    uint64_t size;
};

struct ib_overlay {
    char *project_dir;
    char *name;
    struct entry *entries; /* sorted by path, so that parents come first */
    size_t count, capacity;
};

static void add_entry(struct ib_overlay *o, struct entry e)
{
    if (o->count == o->capacity) {
        o->capacity = o->capacity ? 2 * o->capacity : 32;
        o->entries = ib_reallocarray(o->entries, o->capacity, sizeof(*o->entries));
    }
    o->entries[o->count++] = e;
}

static char *read_link(const char *path, struct ib_error **err)
{
    char target[4096];
    ssize_t n = readlink(path, target, sizeof(target) - 1);

    if (n < 0) {
        ib_fail(err, IB_E_IO, errno, path, "read the symbolic link");
        return NULL;
    }
    target[n] = 0;
    return ib_strdup(target);
}

static int read_directory(struct ib_overlay *o, const char *host, const char *path, unsigned depth,
                          struct ib_error **err);

static int read_entry(struct ib_overlay *o, const char *host, const char *path, unsigned depth,
                      struct ib_error **err)
{
    struct entry e = {0};
    struct stat st;

    if (lstat(host, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, host, "look at");
    e.mode = S_IFREG | (st.st_mode & S_IXUSR ? 0755u : 0644u);
    if (S_ISDIR(st.st_mode)) {
        e.mode = S_IFDIR | 0755;
    } else if (S_ISLNK(st.st_mode)) {
        e.mode = S_IFLNK | 0777;
        if (!(e.target = read_link(host, err)))
            return -1;
    } else if (S_ISREG(st.st_mode)) {
        e.host = ib_strdup(host);
        e.size = (uint64_t)st.st_size;
    } else {
        ib_failf(err, IB_E_INVALID, "'%s' is neither file, directory nor symbolic link", host);
        return ib_hint(err, "remove it from the overlay");
    }
    e.path = ib_strdup(path);
    add_entry(o, e);
    return S_ISDIR(st.st_mode) ? read_directory(o, host, path, depth + 1, err) : 0;
}

static int read_directory(struct ib_overlay *o, const char *host, const char *path, unsigned depth,
                          struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(host);

    if (!dir)
        return ib_fail(err, IB_E_IO, errno, host, "open directory");
    if (depth > MAX_DEPTH)
        return ib_failf(err, IB_E_INVALID, "'%s' is nested deeper than %d directories", host,
                        MAX_DEPTH);
    for (struct dirent *d; (errno = 0, d = readdir(dir));) {
        if (ib_streq(d->d_name, ".") || ib_streq(d->d_name, "..") ||
            ib_streq(d->d_name, ".gitkeep"))
            continue;
        _cleanup_(ib_freep) char *child_host = ib_path_join(host, d->d_name);
        _cleanup_(ib_freep) char *child = ib_path_join(path, d->d_name);
        if (read_entry(o, child_host, child, depth, err) < 0)
            return -1;
    }
    return errno ? ib_fail(err, IB_E_IO, errno, host, "read directory") : 0;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

struct ib_overlay *ib_overlay_read(const char *project_dir, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *host = ib_asprintf("%s/overlays/%s", project_dir, name);
    _cleanup_(ib_overlay_freep) struct ib_overlay *o = ib_calloc(1, sizeof(*o));

    o->project_dir = ib_strdup(project_dir);
    o->name = ib_strdup(name);
    if (read_directory(o, host, "", 0, err) < 0) {
        ib_wrap(err, name, "read overlay");
        return NULL;
    }
    if (o->count)
        qsort(o->entries, o->count, sizeof(*o->entries), compare_entries);
    return ib_steal(&o);
}

struct ib_overlay *ib_overlay_free(struct ib_overlay *overlay)
{
    if (!overlay)
        return NULL;
    for (size_t i = 0; i < overlay->count; i++) {
        free(overlay->entries[i].path);
        free(overlay->entries[i].host);
        free(overlay->entries[i].target);
    }
    free(overlay->entries);
    free(overlay->project_dir);
    free(overlay->name);
    free(overlay);
    return NULL;
}

void ib_overlay_freep(struct ib_overlay **overlay)
{
    *overlay = ib_overlay_free(*overlay);
}

static int hash_file(const char *host, struct ib_sha256 *ret, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(host, err);

    if (fd < 0)
        return -1;
    if (ib_sha256_fd(fd, ret, NULL) < 0)
        return ib_fail(err, IB_E_IO, errno, host, "read");
    return 0;
}

int ib_overlay_hash(const struct ib_overlay *overlay, struct ib_sha256 *ret, struct ib_error **err)
{
    _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();

    for (size_t i = 0; i < overlay->count; i++) {
        const struct entry *e = &overlay->entries[i];
        struct ib_sha256 content = {0};
        if (e->host && hash_file(e->host, &content, err) < 0)
            return ib_wrap(err, overlay->name, "read overlay");
        ib_hasher_field_str(h, e->path);
        ib_hasher_field_u64(h, e->mode);
        ib_hasher_field_str(h, e->target);
        ib_hasher_field(h, content.bytes, sizeof(content.bytes));
    }
    ib_hasher_final(h, ret);
    return 0;
}

static bool rule_matches(const struct ib_rule *rule, const char *absolute)
{
    size_t n = strlen(rule->path);

    if (n >= 3 && strcmp(rule->path + n - 3, "/**") == 0) {
        _cleanup_(ib_freep) char *prefix = ib_strndup(rule->path, n - 2);
        return strncmp(absolute, prefix, n - 2) == 0;
    }
    return fnmatch(rule->path, absolute, FNM_PATHNAME) == 0;
}

int ib_tree_lookup_id(const struct ib_tree *tree, const char *database, const char *name,
                      uint32_t *ret, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    size_t n = strlen(name);
    uint64_t id;

    if (ib_streq(name, "root") || ib_parse_u64(name, UINT32_MAX - 1, &id)) {
        *ret = ib_streq(name, "root") ? 0 : (uint32_t)id;
        return 0;
    }
    if (ib_tree_read_file(tree, database, IB_MIB, &text, err) < 0)
        return -1;
    ib_strv_split(&lines, text.data ? (const char *)text.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) {
        const char *line = lines.items[i], *field;
        if (strncmp(line, name, n) != 0 || line[n] != ':' || !(field = strchr(line + n + 1, ':')))
            continue;
        _cleanup_(ib_freep) char *number = ib_strndup(field + 1, strcspn(field + 1, ":"));
        if (ib_parse_u64(number, UINT32_MAX - 1, &id)) {
            *ret = (uint32_t)id;
            return 0;
        }
    }
    ib_failf(err, IB_E_NOT_FOUND, "'%s' is not in the tree's /%s", name, database);
    return ib_hint(err, "add it under users: or groups: of the role, or use a number");
}

/* What the rules make of one entry. */
struct outcome {
    uint32_t mode, uid, gid;
    bool is_template;
};

static int apply_rules(const struct ib_tree *tree, const struct entry *e,
                       const struct ib_rule *rules, size_t count, struct outcome *ret,
                       struct ib_error **err)
{
    _cleanup_(ib_freep) char *absolute = ib_asprintf("/%s", e->path);

    *ret = (struct outcome){.mode = e->mode & 07777};
    for (size_t i = 0; i < count; i++) {
        const struct ib_rule *r = &rules[i];
        if (!rule_matches(r, absolute))
            continue;
        if (r->mode != IB_MODE_KEEP && !S_ISLNK(e->mode))
            ret->mode = r->mode;
        if (r->owner && ib_tree_lookup_id(tree, "etc/passwd", r->owner, &ret->uid, err) < 0)
            return -1;
        if (r->group && ib_tree_lookup_id(tree, "etc/group", r->group, &ret->gid, err) < 0)
            return -1;
        ret->is_template |= r->is_template;
    }
    return 0;
}

/* Relative to the project, as in messages about recipes. The caller frees. */
static char *name_of(const struct ib_overlay *o, const struct entry *e)
{
    return ib_asprintf("overlays/%s/%s", o->name, e->path);
}

void ib_overlay_templates(const struct ib_overlay *overlay, const struct ib_rule *rules,
                          size_t rule_count, struct ib_strv *ret)
{
    for (size_t i = 0; i < overlay->count; i++) {
        const struct entry *e = &overlay->entries[i];
        _cleanup_(ib_freep) char *absolute = ib_asprintf("/%s", e->path);
        bool is_template = false;
        for (size_t k = 0; k < rule_count; k++)
            is_template |= rules[k].is_template && rule_matches(&rules[k], absolute);
        if (is_template && S_ISREG(e->mode))
            ib_strv_take(ret, name_of(overlay, e));
    }
}

static struct ib_node *add_template(const struct ib_overlay *o, struct ib_tree *tree,
                                    const char *path, const struct entry *e, uint32_t mode,
                                    const struct ib_values *values, struct ib_diags *diags,
                                    struct ib_error **err)
{
    _cleanup_(ib_freep) char *name = name_of(o, e);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_template_read(o->project_dir, name, values, &text, diags, err) < 0)
        return NULL;
    return ib_tree_add_file(tree, path, mode, text.data, text.size, IB_LAYER_OVERLAYS, err);
}

/* Small files are read at once; of a large one the tree keeps a descriptor. */
static struct ib_node *add_regular(struct ib_tree *tree, const char *path, const struct entry *e,
                                   uint32_t mode, struct ib_error **err)
{
    if (e->size <= MAX_SIZE_IN_MEMORY) {
        _cleanup_(ib_buf_clear) struct ib_buf data = {0};
        if (ib_read_file(e->host, MAX_SIZE_IN_MEMORY, &data, err) < 0)
            return NULL;
        return ib_tree_add_file(tree, path, mode, data.data, data.size, IB_LAYER_OVERLAYS, err);
    }
    _cleanup_(ib_closep) int fd = ib_open_read(e->host, err);
    struct stat st;
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != e->size) {
        ib_failf(err, IB_E_IO, "'%s' changed while it was being read", e->host);
        return NULL;
    }
    return ib_tree_add_file_range(tree, path, mode, fd, 0, e->size, IB_LAYER_OVERLAYS, err);
}

static int apply_entry(const struct ib_overlay *o, const struct entry *e, struct ib_tree *tree,
                       const char *path, const struct outcome *outcome,
                       const struct ib_values *values, struct ib_diags *diags,
                       struct ib_error **err)
{
    struct ib_node *node;

    if (S_ISDIR(e->mode)) {
        const struct ib_node *old = ib_tree_resolve(tree, path);
        if (old && S_ISDIR(old->inode->mode) && outcome->mode == 0755 && !outcome->uid &&
            !outcome->gid)
            return 0; /* a directory on the way to a file keeps what the base gave it */
        node = ib_tree_add_directory(tree, path, outcome->mode, IB_LAYER_OVERLAYS, err);
    } else if (S_ISLNK(e->mode)) {
        node = ib_tree_add_symlink(tree, path, e->target, IB_LAYER_OVERLAYS, err);
    } else if (outcome->is_template) {
        node = add_template(o, tree, path, e, outcome->mode, values, diags, err);
    } else {
        node = add_regular(tree, path, e, outcome->mode, err);
    }
    if (!node)
        return -1;
    node->inode->uid = outcome->uid;
    node->inode->gid = outcome->gid;
    return 0;
}

int ib_overlay_apply(const struct ib_overlay *overlay, struct ib_tree *tree, const char *below,
                     const struct ib_rule *rules, size_t rule_count, const struct ib_values *values,
                     struct ib_diags *diags, struct ib_error **err)
{
    for (size_t i = 0; i < overlay->count; i++) {
        const struct entry *e = &overlay->entries[i];
        _cleanup_(ib_freep) char *path = ib_path_join(below, e->path);
        struct outcome outcome;
        if (apply_rules(tree, e, rules, rule_count, &outcome, err) < 0 ||
            apply_entry(overlay, e, tree, path, &outcome, values, diags, err) < 0) {
            ib_wrap(err, e->path, "add file");
            return ib_wrap(err, overlay->name, "apply overlay");
        }
    }
    return 0;
}
