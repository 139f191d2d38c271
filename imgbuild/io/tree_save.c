/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a tree archive (its form: pax.h). Everything passes through one large buffer, into which
 * content is read directly and from which it is hashed and written: each byte is touched once.
 */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "pax.h"
#include "tree_internal.h"

enum { BUFFER = 1 << 20 };

/* The first name of an inode that has several. */
struct first_name {
    const struct ib_inode *inode;
    char *path;
};

struct writer {
    int fd;
    struct ib_hasher *hasher; /* NULL: nobody asked */
    struct ib_progress *progress;
    struct ib_error **err;
    unsigned char *buffer;
    size_t used;
    struct ib_buf records; /* of the entry at hand */
    void *first_names;     /* tsearch */
};

static int flush(struct writer *w)
{
    if (ib_progress_check(w->progress, w->err) < 0)
        return -1;
    if (w->hasher)
        ib_hasher_update(w->hasher, w->buffer, w->used);
    if (ib_write_full(w->fd, w->buffer, w->used) < 0)
        return ib_fail(w->err, IB_E_IO, errno, NULL, "write the tree archive");
    w->used = 0;
    return 0;
}

static int put(struct writer *w, const void *data, size_t size)
{
    const unsigned char *p = data;

    while (size > 0) {
        size_t n = IB_MIN(size, BUFFER - w->used);
        memcpy(w->buffer + w->used, p, n);
        w->used += n;
        p += n;
        size -= n;
        if (w->used == BUFFER && flush(w) < 0)
            return -1;
    }
    return 0;
}

static int put_padding(struct writer *w, uint64_t size)
{
    static const char zeros[2 * IB_PAX_BLOCK];

    return put(w, zeros, (size_t)ib_pax_padding(size));
}

static int put_content(struct writer *w, const struct ib_inode *inode)
{
    for (uint64_t offset = 0; offset < inode->size;) {
        size_t n = (size_t)IB_MIN(inode->size - offset, (uint64_t)(BUFFER - w->used));
        if (ib_inode_read(inode, w->buffer + w->used, n, offset, w->err) < 0)
            return -1;
        w->used += n;
        offset += n;
        if (w->used == BUFFER && flush(w) < 0)
            return -1;
    }
    return put_padding(w, inode->size);
}

/* One record: "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void record(struct writer *w, const char *prefix, const char *key, const void *value,
                   size_t size)
{
    size_t rest = 1 + strlen(prefix) + strlen(key) + 1 + size + 1, length = rest + 1;
    char digits[24];

    while (rest + (size_t)snprintf(digits, sizeof(digits), "%zu", length) != length)
        length = rest + strlen(digits);
    ib_buf_printf(&w->records, "%s %s%s=", digits, prefix, key);
    ib_buf_append(&w->records, value, size);
    ib_buf_append(&w->records, "\n", 1);
}

static void record_number(struct writer *w, const char *key, int64_t value)
{
    char text[24];

    record(w, "", key, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)value));
}

static void octal(char *field, size_t size, uint64_t value)
{
    snprintf(field, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

/* A number that stands in the header where it fits, else in a record. */
static void number(struct writer *w, char *field, size_t size, const char *key, int64_t value)
{
    uint64_t max = size == 8 ? IB_PAX_MAX_ID : IB_PAX_MAX_NUMBER;
    bool fits = value >= 0 && (uint64_t)value <= max;

    octal(field, size, fits ? (uint64_t)value : 0);
    if (!fits)
        record_number(w, key, value);
}

/* Is it UTF-8 as RFC 3629 has it? Other names need hdrcharset=BINARY in an extended header. */
static bool is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p) {
        unsigned n = *p < 0x80 ? 0 : *p < 0xc2 ? 4 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
        unsigned char first = p[0];
        if (n == 4 || first > 0xf4)
            return false;
        p++;
        for (unsigned i = 0; i < n; i++, p++)
            if ((*p & 0xc0) != 0x80)
                return false;
        if ((n == 2 && ((first == 0xe0 && p[-2] < 0xa0) || (first == 0xed && p[-2] > 0x9f))) ||
            (n == 3 && ((first == 0xf0 && p[-3] < 0x90) || (first == 0xf4 && p[-3] > 0x8f))))
            return false;
    }
    return true;
}

static void text(struct writer *w, char field[static 100], const char *key, const char *value)
{
    size_t length = strlen(value);

    memcpy(field, value, IB_MIN(length, (size_t)100));
    if (length > 100)
        record(w, "", key, value, length);
}

/* '=' would end the key, so it is written as GNU tar does (xattr_encode_keyword). */
static void record_xattr(struct writer *w, const struct ib_xattr *xattr)
{
    _cleanup_(ib_buf_clear) struct ib_buf name = {0};

    for (const char *p = xattr->name; *p; p++)
        if (*p == '%' || *p == '=')
            ib_buf_append_str(&name, *p == '%' ? "%25" : "%3D");
        else
            ib_buf_append(&name, p, 1);
    ib_buf_append(&name, "", 0);
    record(w, IB_PAX_XATTR, (const char *)name.data, xattr->value, xattr->size);
}

static void record_comment(struct writer *w, const struct ib_inode *inode)
{
    static const char *const layers[] = {
        [IB_LAYER_BASE] = "base",
        [IB_LAYER_PACKAGES] = "packages",
        [IB_LAYER_PAYLOADS] = "payloads",
        [IB_LAYER_OVERLAYS] = "overlays",
    };
    bool socket = S_ISSOCK(inode->mode);

    if (inode->layer == IB_LAYER_BASE && !socket)
        return;
    _cleanup_(ib_freep) char *comment =
        ib_asprintf("imgbuild %s%s", layers[inode->layer], socket ? " socket" : "");
    record(w, "", "comment", comment, strlen(comment));
}

static void finish_header(struct ib_ustar *header)
{
    memcpy(header->magic, "ustar\00000", 8);
    snprintf(header->checksum, sizeof(header->checksum), "%06o", ib_ustar_checksum(header));
    header->checksum[7] = ' ';
}

static int put_records(struct writer *w)
{
    struct ib_ustar header = {.name = "PaxHeader", .type = 'x'};

    if (w->records.size == 0)
        return 0;
    if (w->records.size > IB_PAX_MAX_RECORDS)
        return ib_failf(w->err, IB_E_INVALID, "it has extended attributes of more than %d bytes",
                        IB_PAX_MAX_RECORDS);
    octal(header.mode, 8, 0644);
    octal(header.uid, 8, 0);
    octal(header.gid, 8, 0);
    octal(header.size, 12, w->records.size);
    octal(header.mtime, 12, 0);
    finish_header(&header);
    if (put(w, &header, sizeof(header)) < 0 || put(w, w->records.data, w->records.size) < 0)
        return -1;
    return put_padding(w, w->records.size);
}

static char type_of(const struct ib_inode *inode)
{
    switch (inode->mode & S_IFMT) {
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFDIR:
        return '5';
    case S_IFIFO:
        return '6';
    default:
        return '0';
    }
}

/* link: where the content of a hard link is, else NULL. */
static int put_header(struct writer *w, const struct ib_inode *inode, const char *path,
                      const char *link)
{
    struct ib_ustar header = {.type = link ? '1' : type_of(inode)};
    const char *target = link ? link : S_ISLNK(inode->mode) ? inode->target : "";
    bool content = S_ISREG(inode->mode) && !link;
    bool binary =
        (strlen(path) > 100 && !is_utf8(path)) || (strlen(target) > 100 && !is_utf8(target));

    w->records.size = 0;
    if (binary)
        record(w, "", "hdrcharset", "BINARY", 6);
    text(w, header.name, "path", path);
    text(w, header.linkname, "linkpath", target);
    octal(header.mode, 8, inode->mode & 07777);
    number(w, header.size, 12, "size", content ? (int64_t)inode->size : 0);
    number(w, header.uid, 8, "uid", inode->uid);
    number(w, header.gid, 8, "gid", inode->gid);
    number(w, header.mtime, 12, "mtime", inode->mtime_s);
    number(w, header.devmajor, 8, "SCHILY.devmajor", inode->rdev_major);
    number(w, header.devminor, 8, "SCHILY.devminor", inode->rdev_minor);
    if (!link) { /* the rest belongs to the inode, which the first name has told */
        for (size_t i = 0; i < inode->xattr_count; i++)
            record_xattr(w, &inode->xattrs[i]);
        record_comment(w, inode);
    }
    finish_header(&header);
    if (put_records(w) < 0)
        return -1;
    return put(w, &header, sizeof(header));
}

static int compare_inodes(const void *a, const void *b)
{
    const struct first_name *x = a, *y = b;

    return (x->inode > y->inode) - (x->inode < y->inode);
}

static void first_name_free(void *p)
{
    struct first_name *name = p;

    free(name->path);
    free(name);
}

/* The first name of an inode with several, or NULL where `path` is it. */
static const char *first_name(struct writer *w, const struct ib_inode *inode, const char *path)
{
    struct first_name key = {inode, NULL};

    if (inode->nlink < 2 || S_ISDIR(inode->mode))
        return NULL;
    struct first_name **found = tfind(&key, &w->first_names, compare_inodes);
    if (found)
        return (*found)->path;
    struct first_name *name = ib_malloc(sizeof(*name));
    *name = (struct first_name){inode, ib_strdup(path)};
    if (!tsearch(name, &w->first_names, compare_inodes))
        abort();
    return NULL;
}

static int put_node(struct ib_node *node, const char *path, void *userdata)
{
    struct writer *w = userdata;
    const struct ib_inode *inode = node->inode;
    const char *link = first_name(w, inode, path);
    _cleanup_(ib_freep) char *directory = NULL;

    if (S_ISDIR(inode->mode))
        path = directory = ib_asprintf("%s/", *path ? path : ".");
    if (put_header(w, inode, path, link) < 0)
        return ib_wrap(w->err, path, "save");
    if (S_ISREG(inode->mode) && !link && put_content(w, inode) < 0)
        return ib_wrap(w->err, path, "save");
    return 0;
}

int ib_tree_save(const struct ib_tree *tree, int fd, struct ib_progress *progress,
                 struct ib_sha256 *ret, struct ib_error **err)
{
    static const char end[2 * IB_PAX_BLOCK];
    _cleanup_(ib_hasher_freep) struct ib_hasher *hasher = ret ? ib_hasher_new() : NULL;
    _cleanup_(ib_freep) unsigned char *buffer = ib_malloc(BUFFER);
    struct writer w = {
        .fd = fd, .hasher = hasher, .progress = progress, .err = err, .buffer = buffer};
    int r = ib_tree_walk(tree, put_node, &w);

    if (r == 0)
        r = put(&w, end, sizeof(end));
    if (r == 0)
        r = flush(&w);
    if (r == 0 && ret)
        ib_hasher_final(hasher, ret);
    ib_buf_clear(&w.records);
    tdestroy(w.first_names, first_name_free);
    return r;
}
