/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing file trees: identities in memory and roots in squashfs, by one rule. */
#include <string.h>
#include <sys/stat.h>

#include "diff_internal.h"
#include "image/squashfs.h"

/* A file of either kind of tree, as far as it is compared. */
struct file {
    char *path; /* owned */
    uint32_t mode, uid, gid, rdev_major, rdev_minor;
    uint64_t size;
    const char *target;
    struct ib_sha256 xattrs;
    const struct ib_inode *inode;          /* in memory, or */
    const struct ib_squashfs_entry *entry; /* in a squashfs */
};

struct files {
    struct file *items;
    size_t count, capacity;
    struct ib_squashfs *fs;
};

static void files_clear(struct files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->items[i].path);
    free(f->items);
}

static struct file *add_file(struct files *f)
{
    if (f->count == f->capacity) {
        f->capacity = f->capacity ? 2 * f->capacity : 256;
        f->items = ib_reallocarray(f->items, f->capacity, sizeof(*f->items));
    }
    memset(&f->items[f->count], 0, sizeof(*f->items));
    return &f->items[f->count++];
}

/* ib_tree_fn */
static int take_node(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    struct file *file = add_file(userdata);

    *file = (struct file){.path = ib_strdup(path),
                          .mode = inode->mode,
                          .uid = inode->uid,
                          .gid = inode->gid,
                          .rdev_major = inode->rdev_major,
                          .rdev_minor = inode->rdev_minor,
                          .size = S_ISREG(inode->mode) ? inode->size : 0,
                          .target = inode->target,
                          .inode = inode};
    return 0;
}

static void take_entries(struct files *files)
{
    size_t count;
    const struct ib_squashfs_entry *e = ib_squashfs_entries(files->fs, &count);

    for (size_t i = 0; i < count; i++) {
        struct file *file = add_file(files);
        *file = (struct file){.path = ib_strdup(e[i].path),
                              .mode = e[i].mode,
                              .uid = e[i].uid,
                              .gid = e[i].gid,
                              .rdev_major = e[i].rdev_major,
                              .rdev_minor = e[i].rdev_minor,
                              .size = e[i].size,
                              .target = e[i].target,
                              .xattrs = e[i].xattrs,
                              .entry = &e[i]};
    }
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static const char *path_of(const void *list, size_t index)
{
    return ((const struct files *)list)->items[index].path;
}

static const char *type_of(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "link";
    case S_IFCHR:
        return "character device";
    case S_IFBLK:
        return "block device";
    default:
        return "special";
    }
}

/* One line about a file. The caller frees. */
static char *describe(const struct file *f)
{
    char size[16];

    if (S_ISLNK(f->mode))
        return ib_asprintf("link to %s", f->target);
    if (S_ISREG(f->mode))
        return ib_asprintf("file %04o %u:%u %s", f->mode & 07777, f->uid, f->gid,
                           ib_format_size(f->size, size));
    if (S_ISCHR(f->mode) || S_ISBLK(f->mode))
        return ib_asprintf("%s %04o %u:%u %u,%u", type_of(f->mode), f->mode & 07777, f->uid, f->gid,
                           f->rdev_major, f->rdev_minor);
    return ib_asprintf("%s %04o %u:%u", type_of(f->mode), f->mode & 07777, f->uid, f->gid);
}

static int read_content(const struct files *files, const struct file *f, void *data, size_t size,
                        uint64_t offset, struct ib_error **err)
{
    return f->inode ? ib_inode_read(f->inode, data, size, offset, err)
                    : ib_squashfs_read(files->fs, f->entry, data, size, offset, err);
}

struct comparison {
    const struct files *a, *b;
    struct ib_diff_section *section;
    struct ib_progress *progress;
    struct ib_step *step;
    uint8_t *buffer; /* two pieces */
};

enum { PIECE = 1024 * 1024 };

static int same_content(const struct comparison *c, const struct file *x, const struct file *y,
                        bool *ret, struct ib_error **err)
{
    uint8_t *p = c->buffer, *q = c->buffer + PIECE;

    *ret = x->size == y->size;
    for (uint64_t at = 0; *ret && at < x->size;) {
        size_t n = (size_t)IB_MIN(x->size - at, (uint64_t)PIECE);
        if (ib_progress_check(c->progress, err) < 0 || read_content(c->a, x, p, n, at, err) < 0 ||
            read_content(c->b, y, q, n, at, err) < 0)
            return -1;
        *ret = memcmp(p, q, n) == 0;
        at += n;
    }
    return 0;
}

/* Names what differs, in words separated by ", "; empty when nothing does. */
static int differences(const struct comparison *c, const struct file *x, const struct file *y,
                       struct ib_strv *ret, struct ib_error **err)
{
    bool same = true;

    if ((x->mode & S_IFMT) != (y->mode & S_IFMT)) {
        ib_strv_add(ret, "type");
        return 0;
    }
    if (x->mode != y->mode)
        ib_strv_add(ret, "mode");
    if (x->uid != y->uid || x->gid != y->gid)
        ib_strv_add(ret, "owner");
    if (!ib_sha256_equal(&x->xattrs, &y->xattrs))
        ib_strv_add(ret, "xattrs");
    if (x->rdev_major != y->rdev_major || x->rdev_minor != y->rdev_minor)
        ib_strv_add(ret, "device number");
    if (S_ISLNK(x->mode) && !ib_streq(x->target, y->target))
        ib_strv_add(ret, "target");
    if (S_ISREG(x->mode) && same_content(c, x, y, &same, err) < 0)
        return -1;
    if (!same)
        ib_strv_add(ret, "content");
    return 0;
}

static int compare_pair(const struct diff_merge *merge, size_t i, size_t j, struct ib_error **err)
{
    const struct comparison *c = merge->userdata;
    const struct file *x = i == SIZE_MAX ? NULL : &c->a->items[i];
    const struct file *y = j == SIZE_MAX ? NULL : &c->b->items[j];
    _cleanup_(ib_strv_clear) struct ib_strv what = {0};

    ib_step_advance(c->step, 1);
    if (x && y && differences(c, x, y, &what, err) < 0)
        return -1;
    if (x && y && what.count == 0) {
        c->section->same++;
        return 0;
    }
    _cleanup_(ib_freep) char *from = x ? describe(x) : NULL, *to = y ? describe(y) : NULL;
    const char *path = i == SIZE_MAX ? path_of(merge->b, j) : path_of(merge->a, i);
    struct ib_diff_item *item = ib_diff_add(c->section, *path ? path : "/", from, to);
    if (what.count)
        item->what = ib_strv_join(&what, ", ");
    return 0;
}

static int compare_files(const struct files *a, const struct files *b, struct ib_progress *progress,
                         struct ib_diff_section *section, struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *buffer = ib_malloc(2 * (size_t)PIECE);
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        progress, NULL, "compare", section->name, IB_MAX(a->count, b->count), IB_UNIT_ITEMS);
    struct comparison c = {a, b, section, progress, step, buffer};
    const struct diff_merge merge = {.a_count = a->count,
                                     .b_count = b->count,
                                     .name = path_of,
                                     .a = a,
                                     .b = b,
                                     .fn = compare_pair,
                                     .userdata = &c};

    if (ib_diff_merge(&merge, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_diff_trees(const struct ib_tree *a, const struct ib_tree *b, struct ib_diff_section *section,
                  struct ib_error **err)
{
    _cleanup_(files_clear) struct files x = {0}, y = {0};

    if (a && ib_tree_walk(a, take_node, &x) < 0)
        return -1;
    if (b && ib_tree_walk(b, take_node, &y) < 0)
        return -1;
    if (x.count > 1) /* a walk is in order of names, not of whole paths */
        qsort(x.items, x.count, sizeof(*x.items), compare_paths);
    if (y.count > 1)
        qsort(y.items, y.count, sizeof(*y.items), compare_paths);
    return compare_files(&x, &y, NULL, section, err);
}

int ib_diff_roots(const struct diff_root *a, const struct diff_root *b,
                  struct ib_progress *progress, struct ib_diff_section *section,
                  struct ib_error **err)
{
    _cleanup_(ib_squashfs_freep) struct ib_squashfs *fs_a = NULL, *fs_b = NULL;
    _cleanup_(files_clear) struct files x = {0}, y = {0};

    if (a && !(fs_a = ib_squashfs_open(a->fd, a->offset, a->size, a->name, err)))
        return ib_wrap(err, a->name, "read the root in");
    if (b && !(fs_b = ib_squashfs_open(b->fd, b->offset, b->size, b->name, err)))
        return ib_wrap(err, b->name, "read the root in");
    x.fs = fs_a;
    y.fs = fs_b;
    if (a)
        take_entries(&x);
    if (b)
        take_entries(&y);
    return compare_files(&x, &y, progress, section, err);
}
