/* SPDX-License-Identifier: Apache-2.0 */
#include "image/cpio.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum {
    HEADER_SIZE = 110,
    FIELDS = 13,
    NAME_MAX_SIZE = 4096, /* with the NUL: the kernel's PATH_MAX */
    ALIGN = 4,
};

static const char MAGIC[] = "070701";
static const char TRAILER[] = "TRAILER!!!";

/* The fields in the order in which the header has them. */
enum field {
    F_INO,
    F_MODE,
    F_UID,
    F_GID,
    F_NLINK,
    F_MTIME,
    F_FILESIZE,
    F_DEVMAJOR,
    F_DEVMINOR,
    F_RDEVMAJOR,
    F_RDEVMINOR,
    F_NAMESIZE,
    F_CHECK,
};

/* Hard links share a number, and the last of their names brings the content. */
struct link {
    const struct ib_inode *inode;
    uint32_t ino;
    uint32_t names_left;
};

struct writer {
    struct ib_buf *out;
    size_t start;
    uint32_t mtime;
    uint32_t next_ino;
    struct link *links;
    size_t link_count;
    struct ib_error **err;
};

static void pad(struct ib_buf *out, size_t start)
{
    ib_buf_append_zeros(out, (ALIGN - (out->size - start) % ALIGN) % ALIGN);
}

static void put_header(struct writer *w, const char *name, const uint32_t fields[static FIELDS])
{
    char text[9];

    ib_buf_append(w->out, MAGIC, 6);
    for (size_t i = 0; i < FIELDS; i++) {
        snprintf(text, sizeof(text), "%08" PRIX32, fields[i]);
        ib_buf_append(w->out, text, 8);
    }
    ib_buf_append(w->out, name, strlen(name) + 1);
    pad(w->out, w->start);
}

static struct link *find_link(struct writer *w, const struct ib_inode *inode)
{
    for (size_t i = 0; i < w->link_count; i++)
        if (w->links[i].inode == inode)
            return &w->links[i];
    w->links = ib_reallocarray(w->links, w->link_count + 1, sizeof(*w->links));
    w->links[w->link_count] = (struct link){inode, w->next_ino++, inode->nlink};
    return &w->links[w->link_count++];
}

static int put_content(struct writer *w, const struct ib_inode *inode)
{
    if (S_ISLNK(inode->mode)) {
        ib_buf_append(w->out, inode->target, (size_t)inode->size);
    } else {
        void *room = ib_buf_reserve(w->out, (size_t)inode->size);
        if (ib_inode_read(inode, room, (size_t)inode->size, 0, w->err) < 0)
            return -1;
        w->out->size += (size_t)inode->size;
    }
    pad(w->out, w->start);
    return 0;
}

static int put_node(struct ib_node *node, const char *path, void *userdata)
{
    struct writer *w = userdata;
    const struct ib_inode *inode = node->inode;
    bool regular = S_ISREG(inode->mode), has_data = regular || S_ISLNK(inode->mode);
    uint32_t ino;

    if (!*path)
        return 0;
    if (S_ISSOCK(inode->mode) || inode->size > INT32_MAX || strlen(path) >= NAME_MAX_SIZE)
        return ib_failf(w->err, IB_E_INVALID, "'%s' cannot be held by a cpio archive", path);
    if (!S_ISDIR(inode->mode) && inode->nlink > 1) {
        struct link *link = find_link(w, inode);
        ino = link->ino;
        has_data = has_data && --link->names_left == 0;
    } else {
        ino = w->next_ino++;
    }
    const uint32_t fields[FIELDS] = {
        [F_INO] = ino,
        [F_MODE] = inode->mode,
        [F_UID] = inode->uid,
        [F_GID] = inode->gid,
        [F_NLINK] = S_ISDIR(inode->mode) ? 2 : inode->nlink,
        [F_MTIME] = w->mtime,
        [F_FILESIZE] = has_data ? (uint32_t)inode->size : 0,
        [F_RDEVMAJOR] = inode->rdev_major,
        [F_RDEVMINOR] = inode->rdev_minor,
        [F_NAMESIZE] = (uint32_t)strlen(path) + 1,
    };
    put_header(w, path, fields);
    return has_data ? put_content(w, inode) : 0;
}

int ib_cpio_write(const struct ib_tree *tree, uint64_t mtime_s, struct ib_buf *ret,
                  struct ib_error **err)
{
    struct writer w = {.out = ret, .start = ret->size, .next_ino = 1, .err = err};

    if (mtime_s > UINT32_MAX)
        return ib_failf(err, IB_E_INVALID, "a cpio archive cannot hold the time %" PRIu64, mtime_s);
    w.mtime = (uint32_t)mtime_s;
    int r = ib_tree_walk(tree, put_node, &w);
    free(w.links);
    if (r != 0)
        return ib_wrap(err, NULL, "write the cpio archive");
    put_header(&w, TRAILER,
               (const uint32_t[FIELDS]){[F_NLINK] = 1, [F_NAMESIZE] = sizeof(TRAILER)});
    return 0;
}

/* One entry as it stands in the archive; pointers into it. */
struct entry {
    uint32_t fields[FIELDS];
    const char *name;
    const uint8_t *data;
};

static bool parse_field(const uint8_t *p, uint32_t *ret)
{
    uint32_t v = 0;

    for (int i = 0; i < 8; i++) {
        int digit = p[i] >= '0' && p[i] <= '9'   ? p[i] - '0'
                    : p[i] >= 'A' && p[i] <= 'F' ? p[i] - 'A' + 10
                    : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10
                                                 : -1;
        if (digit < 0)
            return false;
        v = v << 4 | (uint32_t)digit;
    }
    *ret = v;
    return true;
}

/* The entry at *pos, which moves behind it; NULL, or what is wrong. */
static const char *next_entry(const uint8_t *data, size_t size, size_t *pos, struct entry *ret)
{
    const uint8_t *p = data + *pos;

    if (size - *pos < HEADER_SIZE || memcmp(p, MAGIC, 6) != 0)
        return "an entry does not begin with 070701";
    for (size_t i = 0; i < FIELDS; i++)
        if (!parse_field(p + 6 + 8 * i, &ret->fields[i]))
            return "a header field is not hexadecimal";
    size_t name_size = ret->fields[F_NAMESIZE], data_size = ret->fields[F_FILESIZE];
    if (name_size == 0 || name_size > NAME_MAX_SIZE || name_size > size - *pos - HEADER_SIZE)
        return "a name's length is out of range";
    ret->name = (const char *)p + HEADER_SIZE;
    if (memchr(ret->name, 0, name_size) != ret->name + name_size - 1)
        return "a name does not end where its header says";
    size_t at = (size_t)ib_round_up(*pos + HEADER_SIZE + name_size, ALIGN);
    if (at > size || data_size > size - at)
        return "it ends early";
    ret->data = data + at;
    at = (size_t)ib_round_up(at + data_size, ALIGN);
    *pos = IB_MIN(at, size);
    return NULL;
}

static bool only_zeros(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (data[i])
            return false;
    return true;
}

/* An entry being read, and the one whose inode it shares where it is a hard link. */
struct member {
    struct entry entry;
    char *path;            /* normalized */
    struct member *leader; /* the first of its names */
};

struct reader {
    struct member *members;
    size_t count, capacity;
};

static void reader_clear(struct reader *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->members[i].path);
    free(r->members);
}

static int collect_members(const uint8_t *data, size_t size, const char *name, struct reader *r,
                           struct ib_error **err)
{
    for (size_t pos = 0;;) {
        struct member m = {0};
        const char *wrong = next_entry(data, size, &pos, &m.entry);
        if (wrong)
            return ib_failf(err, IB_E_INVALID, "'%s' is not a cpio archive: %s", name, wrong);
        if (ib_streq(m.entry.name, TRAILER)) {
            if (!only_zeros(data + pos, size - pos))
                return ib_failf(err, IB_E_INVALID, "'%s' has data behind its end", name);
            return 0;
        }
        if (r->count == IB_CPIO_ENTRIES_MAX)
            return ib_failf(err, IB_E_INVALID, "'%s' has more than %d entries", name,
                            IB_CPIO_ENTRIES_MAX);
        m.path = ib_path_normalize(m.entry.name);
        if (!m.path)
            return ib_failf(err, IB_E_INVALID, "'%s' has an entry outside of itself: '%s'", name,
                            m.entry.name);
        if (r->count == r->capacity) {
            r->capacity = r->capacity ? 2 * r->capacity : 64;
            r->members = ib_reallocarray(r->members, r->capacity, sizeof(*r->members));
        }
        r->members[r->count++] = m;
    }
}

static bool is_link(const struct member *m)
{
    return S_ISREG(m->entry.fields[F_MODE]) && m->entry.fields[F_NLINK] > 1;
}

static int by_inode(const void *a, const void *b)
{
    const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
    uint32_t i = x->entry.fields[F_INO], j = y->entry.fields[F_INO];

    if (i != j)
        return i < j ? -1 : 1;
    return x < y ? -1 : x > y; /* archive order */
}

/* Gives each group of hard links the content that stands with one of them. */
static void join_links(struct reader *r)
{
    _cleanup_(ib_freep) struct member **links = ib_calloc(r->count, sizeof(struct member *));
    size_t n = 0;

    for (size_t i = 0; i < r->count; i++)
        if (is_link(&r->members[i]))
            links[n++] = &r->members[i];
    if (n > 1)
        qsort(links, n, sizeof(struct member *), by_inode);
    for (size_t i = 0; i < n; i++) {
        struct member *m = links[i], *before = i > 0 ? links[i - 1] : NULL;
        bool same = before && before->entry.fields[F_INO] == m->entry.fields[F_INO];
        m->leader = same ? before->leader : m;
        if (m->entry.fields[F_FILESIZE] > 0) {
            m->leader->entry.data = m->entry.data;
            m->leader->entry.fields[F_FILESIZE] = m->entry.fields[F_FILESIZE];
        }
    }
}

/* By name, not by node: a crafted archive may have replaced what the leader brought. */
static struct ib_node *add_link(struct ib_tree *tree, const struct member *m, struct ib_error **err)
{
    struct ib_node *existing = ib_tree_find(tree, m->leader->path);

    if (existing && S_ISREG(existing->inode->mode))
        return ib_tree_add_hardlink(tree, m->path, existing, IB_LAYER_OVERLAYS, err);
    ib_failf(err, IB_E_INVALID, "'%s' is a hard link to '%s', which is no file", m->path,
             m->leader->path);
    return NULL;
}

static struct ib_node *add_member(struct ib_tree *tree, const struct member *m,
                                  struct ib_error **err)
{
    const uint32_t *f = m->entry.fields, mode = f[F_MODE];
    enum ib_layer layer = IB_LAYER_OVERLAYS;

    if (S_ISDIR(mode))
        return ib_tree_add_directory(tree, m->path, mode, layer, err);
    if (S_ISREG(mode) && m->leader && m->leader != m)
        return add_link(tree, m, err);
    if (S_ISREG(mode))
        return ib_tree_add_file(tree, m->path, mode, m->entry.data, f[F_FILESIZE], layer, err);
    if (S_ISLNK(mode)) {
        _cleanup_(ib_freep) char *target = ib_strndup((const char *)m->entry.data, f[F_FILESIZE]);
        return ib_tree_add_symlink(tree, m->path, target, layer, err);
    }
    if (S_ISCHR(mode) || S_ISBLK(mode) || S_ISFIFO(mode))
        return ib_tree_add_special(tree, m->path, mode, f[F_RDEVMAJOR], f[F_RDEVMINOR], layer, err);
    ib_failf(err, IB_E_INVALID, "'%s' has the unknown mode 0%o", m->path, mode);
    return NULL;
}

int ib_cpio_read(const void *data, size_t size, const char *name, struct ib_tree *tree,
                 struct ib_error **err)
{
    _cleanup_(reader_clear) struct reader r = {0};

    if (collect_members(data, size, name, &r, err) < 0)
        return -1;
    join_links(&r);
    for (size_t i = 0; i < r.count; i++) {
        struct member *m = &r.members[i];
        struct ib_node *node = add_member(tree, m, err);
        if (!node)
            return ib_wrap(err, name, "read the cpio archive");
        node->inode->uid = m->entry.fields[F_UID];
        node->inode->gid = m->entry.fields[F_GID];
        node->inode->mtime_s = m->entry.fields[F_MTIME];
    }
    return 0;
}

/* True when an archive begins at data, with inode 1 as ours do, and fills size. */
static bool is_whole(const uint8_t *data, size_t size)
{
    struct entry e;

    for (size_t pos = 0; next_entry(data, size, &pos, &e) == NULL;)
        if (ib_streq(e.name, TRAILER))
            return pos == size;
    return false;
}

bool ib_cpio_find_last(const void *data, size_t size, size_t *ret_offset)
{
    enum { TRIES = 64 }; /* a crafted initrd must not cost the square of its size */
    const uint8_t *p = data;
    int tries = 0;

    if (size % ALIGN || size < HEADER_SIZE)
        return false;
    for (size_t at = ((size - HEADER_SIZE) / ALIGN) * ALIGN;; at -= ALIGN) {
        if (p[at] == '0' && memcmp(p + at, "07070100000001", 14) == 0) {
            if (is_whole(p + at, size - at)) {
                *ret_offset = at;
                return true;
            }
            if (++tries == TRIES)
                return false;
        }
        if (at == 0)
            return false;
    }
}
