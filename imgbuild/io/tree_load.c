/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a tree archive (its form: pax.h), strictly: only what tree_save.c writes is accepted, since
 * anything else is damage. Content is not read: a window of a few KiB jumps from header to header.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pax.h"
#include "tree_internal.h"

enum { WINDOW = 8192 }; /* holds most extended headers with their entry, and small files as well */

struct reader {
    struct ib_tree *tree;
    const struct ib_source *source;
    uint64_t size;     /* of the archive */
    uint64_t position; /* of the entry being read, then of what follows */
    struct ib_error **err;

    unsigned char window[WINDOW];
    uint64_t window_start;
    size_t window_size;
    struct ib_buf records; /* of the extended header */
    struct ib_buf parent_path;
    struct ib_node *parent; /* the directory of the name before, which most names share */
};

/* What an entry says, from both its headers. */
struct entry {
    char type;
    bool socket;
    struct ib_buf path, target;
    uint64_t mode, uid, gid, size, devmajor, devminor;
    int64_t mtime_s;
    struct ib_inode *inode; /* collects the xattrs; owned until it has a name */
};

static void entry_clear(struct entry *entry)
{
    ib_buf_clear(&entry->path);
    ib_buf_clear(&entry->target);
    if (entry->inode)
        ib_inode_free(entry->inode);
}

static int damaged(struct reader *r, const char *what)
{
    return ib_failf(r->err, IB_E_INVALID, "it is damaged at byte %llu: %s",
                    (unsigned long long)r->position, what);
}

/* `size` (at most WINDOW) bytes at the position, which advances; or NULL and an error. */
static const void *take(struct reader *r, size_t size)
{
    if (r->size - r->position < size) {
        damaged(r, "it ends too early");
        return NULL;
    }
    if (r->position < r->window_start || r->position + size > r->window_start + r->window_size) {
        size_t n = (size_t)IB_MIN(r->size - r->position, (uint64_t)WINDOW);
        if (ib_pread_full(r->source->fd, r->window, n, r->position) < 0) {
            ib_failf(r->err, IB_E_IO, "reading failed at byte %llu: %s",
                     (unsigned long long)r->position, strerror(errno));
            return NULL;
        }
        r->window_start = r->position;
        r->window_size = n;
    }
    const unsigned char *p = r->window + (r->position - r->window_start);
    r->position += size;
    return p;
}

/* Only zero or more octal digits and a closing NUL, as tree_save.c writes them. */
static bool parse_octal(const char *field, size_t size, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < size - 1; i++) {
        if (field[i] < '0' || field[i] > '7')
            return false;
        v = v << 3 | (uint64_t)(field[i] - '0');
    }
    *ret = v;
    return field[size - 1] == 0;
}

static bool parse_number(const char *s, bool negative_allowed, int64_t *ret)
{
    bool negative = negative_allowed && *s == '-';
    uint64_t v;

    if (!ib_parse_u64(s + negative, (uint64_t)INT64_MAX + negative, &v))
        return false;
    *ret = negative ? (int64_t)-v : (int64_t)v;
    return true;
}

static bool parse_unsigned(const char *s, uint64_t max, uint64_t *ret)
{
    return ib_parse_u64(s, max, ret);
}

static const struct ib_ustar *take_header(struct reader *r)
{
    const struct ib_ustar *header = take(r, sizeof(*header));
    uint64_t sum;

    if (!header)
        return NULL;
    if (memcmp(header->magic, "ustar\00000", 8) != 0 || !parse_octal(header->checksum, 7, &sum) ||
        sum != ib_ustar_checksum(header)) {
        r->position -= sizeof(*header);
        damaged(r, "no valid header stands there");
        return NULL;
    }
    return header;
}

/* Extended header ----------------------------------------------------------------------------- */

static void set_text(struct ib_buf *text, const char *value, size_t size)
{
    ib_buf_clear(text);
    ib_buf_append(text, value, size);
}

/* Undoes record_xattr of tree_save.c, in place. */
static bool decode_key(char *key)
{
    char *out = key;

    for (; *key; key++) {
        if (*key != '%') {
            *out++ = *key;
            continue;
        }
        if (strncmp(key, "%25", 3) != 0 && strncmp(key, "%3D", 3) != 0)
            return false;
        *out++ = key[1] == '2' ? '%' : '=';
        key += 2;
    }
    *out = 0;
    return true;
}

static bool set_xattr(struct entry *entry, char *name, const char *value, size_t size)
{
    struct ib_inode *inode = entry->inode;

    if (!*name || !decode_key(name))
        return false;
    /* sorted, so that adding is appending whatever their number */
    if (inode->xattr_count && strcmp(inode->xattrs[inode->xattr_count - 1].name, name) >= 0)
        return false;
    ib_inode_set_xattr(inode, name, value, size);
    return true;
}

static bool set_comment(struct entry *entry, const char *comment)
{
    static const struct {
        const char *text;
        enum ib_layer layer;
        bool socket;
    } comments[] = {
        {"imgbuild packages", IB_LAYER_PACKAGES, false},
        {"imgbuild payloads", IB_LAYER_PAYLOADS, false},
        {"imgbuild overlays", IB_LAYER_OVERLAYS, false},
        {"imgbuild base socket", IB_LAYER_BASE, true},
        {"imgbuild packages socket", IB_LAYER_PACKAGES, true},
        {"imgbuild payloads socket", IB_LAYER_PAYLOADS, true},
        {"imgbuild overlays socket", IB_LAYER_OVERLAYS, true},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(comments); i++)
        if (ib_streq(comments[i].text, comment)) {
            entry->inode->layer = comments[i].layer;
            entry->socket = comments[i].socket;
            return true;
        }
    return false;
}

/* value[size] is NUL. */
static bool apply_record(struct entry *entry, char *key, const char *value, size_t size)
{
    static const size_t prefix = sizeof(IB_PAX_XATTR) - 1;

    if (strncmp(key, IB_PAX_XATTR, prefix) == 0)
        return set_xattr(entry, key + prefix, value, size);
    if (strlen(value) != size)
        return false;
    if (ib_streq(key, "path"))
        return set_text(&entry->path, value, size), true;
    if (ib_streq(key, "linkpath"))
        return set_text(&entry->target, value, size), true;
    if (ib_streq(key, "size"))
        return parse_unsigned(value, INT64_MAX, &entry->size);
    if (ib_streq(key, "uid"))
        return parse_unsigned(value, UINT32_MAX, &entry->uid);
    if (ib_streq(key, "gid"))
        return parse_unsigned(value, UINT32_MAX, &entry->gid);
    if (ib_streq(key, "mtime"))
        return parse_number(value, true, &entry->mtime_s);
    if (ib_streq(key, "SCHILY.devmajor"))
        return parse_unsigned(value, UINT32_MAX, &entry->devmajor);
    if (ib_streq(key, "SCHILY.devminor"))
        return parse_unsigned(value, UINT32_MAX, &entry->devminor);
    if (ib_streq(key, "comment"))
        return set_comment(entry, value);
    return ib_streq(key, "hdrcharset");
}

/* Splits the records in r->records and applies each. */
static int apply_records(struct reader *r, struct entry *entry)
{
    char *p = (char *)r->records.data, *end = p + r->records.size;

    while (p < end) {
        char *blank = memchr(p, ' ', (size_t)IB_MIN(end - p, 10)), *equals;
        uint64_t length;
        if (!blank)
            return damaged(r, "an extended header has no length");
        *blank = 0;
        if (!ib_parse_u64(p, (uint64_t)(end - p), &length) || length < (uint64_t)(blank - p) + 4 ||
            p[length - 1] != '\n')
            return damaged(r, "an extended header has a wrong length");
        char *next = p + length, *key = blank + 1;
        equals = memchr(key, '=', (size_t)(next - key));
        if (!equals || memchr(key, 0, (size_t)(equals - key)))
            return damaged(r, "an extended header has no key");
        *equals = 0;
        next[-1] = 0;
        if (!apply_record(entry, key, equals + 1, (size_t)(next - 1 - (equals + 1))))
            return damaged(r, "an extended header is not one of ours");
        p = next;
    }
    return 0;
}

static int read_records(struct reader *r, const struct ib_ustar *header)
{
    uint64_t size;

    if (!parse_octal(header->size, 12, &size) || size == 0 || size > IB_PAX_MAX_RECORDS ||
        size > r->size - r->position)
        return damaged(r, "an extended header has a wrong size");
    r->records.size = 0;
    for (uint64_t padded = size + ib_pax_padding(size); padded > 0;) {
        size_t n = (size_t)IB_MIN(padded, (uint64_t)IB_PAX_BLOCK);
        const void *block = take(r, n);
        if (!block)
            return -1;
        ib_buf_append(&r->records, block, n);
        padded -= n;
    }
    r->records.size = (size_t)size;
    return 0;
}

/* Entries ------------------------------------------------------------------------------------- */

/* A name in the header is used unless a record gave a longer one. */
static void take_text(struct ib_buf *text, const char field[static 100])
{
    if (!text->data)
        ib_buf_append(text, field, strnlen(field, 100));
}

/* Reads the entry's headers; numbers of the ustar header come first, records override them. */
static int read_entry(struct reader *r, struct entry *entry)
{
    const struct ib_ustar *header = take_header(r);
    bool records = header && header->type == 'x';
    uint64_t mtime;

    if (records) {
        if (read_records(r, header) < 0)
            return -1;
        header = take_header(r);
    }
    if (!header)
        return -1;
    if (!parse_octal(header->mode, 8, &entry->mode) || entry->mode > 07777 ||
        !parse_octal(header->uid, 8, &entry->uid) || !parse_octal(header->gid, 8, &entry->gid) ||
        !parse_octal(header->size, 12, &entry->size) || !parse_octal(header->mtime, 12, &mtime) ||
        !parse_octal(header->devmajor, 8, &entry->devmajor) ||
        !parse_octal(header->devminor, 8, &entry->devminor))
        return damaged(r, "a number in the header is malformed");
    entry->mtime_s = (int64_t)mtime;
    entry->type = header->type;
    entry->inode = ib_inode_new(0, IB_LAYER_BASE);
    if (records && apply_records(r, entry) < 0)
        return -1;
    take_text(&entry->path, header->name);
    take_text(&entry->target, header->linkname);
    return 0;
}

static bool set_type(struct entry *entry)
{
    static const struct {
        char type;
        uint32_t mode;
    } types[] = {{'0', S_IFREG}, {'1', S_IFREG}, {'2', S_IFLNK}, {'3', S_IFCHR},
                 {'4', S_IFBLK}, {'5', S_IFDIR}, {'6', S_IFIFO}};

    for (size_t i = 0; i < IB_ARRAY_SIZE(types); i++)
        if (types[i].type == entry->type) {
            entry->inode->mode = (entry->socket ? S_IFSOCK : types[i].mode) | (uint32_t)entry->mode;
            return !entry->socket || entry->type == '0';
        }
    return false;
}

/* Moves what was read into the inode and passes over the content. */
static int fill_inode(struct reader *r, struct entry *entry)
{
    struct ib_inode *inode = entry->inode;
    bool target = entry->type == '1' || entry->type == '2';
    uint64_t padded;

    if (!set_type(entry))
        return damaged(r, "an entry has an unknown type");
    if ((entry->target.size > 0) != target || entry->target.size > IB_TREE_MAX_PATH)
        return damaged(r, "a link has no target");
    if (entry->size > 0 && (entry->type != '0' || entry->socket))
        return damaged(r, "an entry without content has a size");
    if (!ib_add_u64(entry->size, ib_pax_padding(entry->size), &padded) ||
        padded > r->size - r->position)
        return damaged(r, "a file's content reaches beyond the end");
    inode->uid = (uint32_t)entry->uid;
    inode->gid = (uint32_t)entry->gid;
    inode->rdev_major = (uint32_t)entry->devmajor;
    inode->rdev_minor = (uint32_t)entry->devminor;
    inode->mtime_s = entry->mtime_s;
    if (S_ISLNK(inode->mode)) {
        inode->size = entry->target.size;
        inode->target = ib_buf_steal_string(&entry->target);
    }
    if (entry->size > 0)
        ib_inode_set_range(inode, r->source, r->position, entry->size);
    r->position += padded;
    return 0;
}

/* The directory of `path`, which has come before, and the last part of the path. */
static struct ib_node *find_parent(struct reader *r, char *path, const char **ret_name)
{
    char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    *ret_name = slash ? slash + 1 : path;
    if (r->parent && r->parent_path.size == length &&
        memcmp(r->parent_path.data, path, length) == 0)
        return r->parent;
    r->parent_path.size = 0;
    ib_buf_append(&r->parent_path, path, length);
    r->parent = ib_tree_find(r->tree, (const char *)r->parent_path.data);
    if (r->parent && !S_ISDIR(r->parent->inode->mode))
        r->parent = NULL;
    return r->parent;
}

static bool valid_name(const struct ib_node *parent, const char *name)
{
    size_t length = strlen(name), count = parent->child_count;

    if (length == 0 || length > IB_TREE_MAX_NAME || ib_streq(name, ".") || ib_streq(name, ".."))
        return false;
    return count == 0 || strcmp(parent->children[count - 1]->name, name) < 0;
}

static int add_entry(struct reader *r, struct entry *entry)
{
    char *path = (char *)entry->path.data;
    struct ib_node *parent, *first;
    const char *name;

    if (entry->type == '5') {
        if (entry->path.size < 2 || path[entry->path.size - 1] != '/')
            return damaged(r, "a directory's name does not end in a slash");
        path[--entry->path.size] = 0;
    }
    if (entry->path.size == 0 || entry->path.size > IB_TREE_MAX_PATH)
        return damaged(r, "an entry has no usable name");
    parent = find_parent(r, path, &name);
    if (!parent || !valid_name(parent, name))
        return damaged(r, "the names are not in order");
    if (entry->type == '1') {
        first = ib_tree_find(r->tree, (const char *)entry->target.data);
        if (!first || S_ISDIR(first->inode->mode))
            return damaged(r, "a hard link leads nowhere");
        ib_tree_append(r->tree, parent, name, first->inode);
    } else
        ib_tree_append(r->tree, parent, name, ib_steal(&entry->inode));
    return 0;
}

static int add_root(struct reader *r, struct entry *entry)
{
    struct ib_node *root = r->tree->root;

    if (entry->type != '5' || !ib_streq((const char *)entry->path.data, "./"))
        return damaged(r, "it does not begin with the root directory");
    ib_inode_free(root->inode);
    root->inode = ib_steal(&entry->inode);
    root->inode->nlink = 1;
    return 0;
}

/* 1 at the closing blocks, 0 when they have not come yet. */
static int read_end(struct reader *r)
{
    static const char zeros[2 * IB_PAX_BLOCK];
    uint64_t start = r->position;
    const unsigned char *first = take(r, 1);

    if (!first)
        return -1;
    r->position = start;
    if (*first)
        return 0;
    const void *end = take(r, sizeof(zeros));
    if (!end)
        return -1;
    if (memcmp(end, zeros, sizeof(zeros)) != 0 || r->position != r->size)
        return damaged(r, "it does not end where it should");
    return 1;
}

static int read_tree(struct reader *r)
{
    bool root = true;

    for (;;) {
        _cleanup_(entry_clear) struct entry entry = {0};
        int end = root ? 0 : read_end(r);
        if (end)
            return end < 0 ? -1 : 0;
        if (read_entry(r, &entry) < 0 || fill_inode(r, &entry) < 0)
            return -1;
        if ((root ? add_root(r, &entry) : add_entry(r, &entry)) < 0)
            return -1;
        root = false;
    }
}

struct ib_tree *ib_tree_load(const char *archive_path, struct ib_error **err)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_closep) int fd = ib_open_read(archive_path, err);
    struct reader r = {.tree = tree, .err = err};
    struct stat st;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !(r.source = ib_tree_source(tree, fd))) {
        ib_fail(err, IB_E_IO, errno, archive_path, "read the tree archive");
        return NULL;
    }
    r.size = (uint64_t)st.st_size;
    int result = read_tree(&r);
    ib_buf_clear(&r.records);
    ib_buf_clear(&r.parent_path);
    if (result < 0) {
        ib_hint(err, "run `imgbuild clean` and build again");
        ib_wrap(err, archive_path, "read the tree archive");
        return NULL;
    }
    return ib_steal(&tree);
}
