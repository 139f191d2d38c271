/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of archive entries, ACLs among them: tar carries these as text
 * (SCHILY.acl.access), Linux keeps them as an xattr (linux/posix_acl_xattr.h, version 2).
 */
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include <sys/stat.h>

#include "archive_internal.h"

enum {
    MAX_XATTRS = 1024,     /* of one inode; Linux' own bound is the 64 KiB of its list of names */
    MAX_NAME = 255,        /* XATTR_NAME_MAX */
    MAX_VALUE = 64 * 1024, /* XATTR_SIZE_MAX */
    MAX_PASSWD = 4 * 1024 * 1024,
    ACL_VERSION = 2,
};

/* One ACL entry: tags sort as the kernel wants them (linux/posix_acl.h). */
struct acl_entry {
    uint16_t tag, permissions;
    uint32_t id;
};

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
#define NO_ID UINT32_MAX

/* GNU tar writes '=' and '%' of a name as %3D and %25, since '=' ends the key. */
static char *decode_name(const char *name)
{
    char *decoded = ib_malloc(strlen(name) + 1), *out = decoded;

    for (; *name; name++) {
        bool percent = strncmp(name, "%25", 3) == 0, equals = strncmp(name, "%3D", 3) == 0;
        *out++ = equals ? '=' : *name;
        name += percent || equals ? 2 : 0;
    }
    *out = 0;
    return decoded;
}

static int set_xattr(struct ib_inode *inode, const char *name, const void *value, size_t size,
                     struct ib_error **err)
{
    if (!strchr(name, '.') || strlen(name) > MAX_NAME)
        return ib_failf(err, IB_E_INVALID, "'%.40s' is not the name of an extended attribute",
                        name);
    if (size > MAX_VALUE)
        return ib_failf(err, IB_E_INVALID,
                        "its extended attribute '%s' has %zu bytes, more than "
                        "the %d that Linux can hold",
                        name, size, MAX_VALUE);
    if (ib_streq(name, "security.selinux")) {
        size_t length = strnlen(value, size);
        _cleanup_(ib_freep) char *label = ib_strndup(value, length);
        ib_inode_set_xattr(inode, name, label, length + 1);
        return 0;
    }
    ib_inode_set_xattr(inode, name, value, size);
    return 0;
}

static int take_plain(struct archive_entry *entry, struct ib_inode *inode, uint64_t *size,
                      struct ib_error **err)
{
    const char *name;
    const void *value;
    size_t value_size;

    if (archive_entry_xattr_reset(entry) > MAX_XATTRS)
        return ib_failf(err, IB_E_INVALID, "it has more than %d extended attributes", MAX_XATTRS);
    while (archive_entry_xattr_next(entry, &name, &value, &value_size) == ARCHIVE_OK) {
        _cleanup_(ib_freep) char *decoded = decode_name(name);
        if (set_xattr(inode, decoded, value ? value : "", value_size, err) < 0)
            return -1;
        *size += strlen(name) + value_size;
    }
    return 0;
}

/* ACLs ---------------------------------------------------------------------------------------- */

/* The number in the third field of NAME's line in etc/passwd or etc/group of the tree. */
static bool look_up(const struct ib_tree *tree, const char *file, const char *name, uint32_t *ret)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    size_t length = strlen(name);

    if (!*name || ib_tree_read_file(tree, file, MAX_PASSWD, &text, NULL) < 0)
        return false;
    for (const char *line = (const char *)text.data; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) != 0 || line[length] != ':')
            continue;
        const char *id = line + length + 1;
        id += strcspn(id, ":\n");
        _cleanup_(ib_freep) char *digits =
            *id == ':' ? ib_strndup(id + 1, strcspn(id + 1, ":\n")) : NULL;
        uint64_t v;
        if (!ib_parse_u64(digits, NO_ID - 1, &v))
            return false;
        *ret = (uint32_t)v;
        return true;
    }
    return false;
}

static int convert(const struct ib_tree *tree, int tag, int permissions, int id, const char *name,
                   struct acl_entry *ret, struct ib_error **err)
{
    static const struct {
        int tag;
        uint16_t linux_tag;
    } tags[] = {{ARCHIVE_ENTRY_ACL_USER_OBJ, USER_OBJ},   {ARCHIVE_ENTRY_ACL_USER, USER},
                {ARCHIVE_ENTRY_ACL_GROUP_OBJ, GROUP_OBJ}, {ARCHIVE_ENTRY_ACL_GROUP, GROUP},
                {ARCHIVE_ENTRY_ACL_MASK, MASK},           {ARCHIVE_ENTRY_ACL_OTHER, OTHER}};

    *ret = (struct acl_entry){.permissions = permissions & 7, .id = NO_ID};
    for (size_t i = 0; i < IB_ARRAY_SIZE(tags); i++)
        if (tags[i].tag == tag)
            ret->tag = tags[i].linux_tag;
    if (ret->tag == 0)
        return ib_failf(err, IB_E_INVALID, "it has an ACL that Linux does not know");
    if (ret->tag != USER && ret->tag != GROUP)
        return 0;
    if (id >= 0) {
        ret->id = (uint32_t)id;
        return 0;
    }
    const char *file = ret->tag == USER ? "etc/passwd" : "etc/group";
    if (!name || !look_up(tree, file, name, &ret->id)) {
        ib_failf(err, IB_E_INVALID, "its ACL names '%s', which is not in the tree's %s",
                 name ? name : "", file);
        return ib_hint(err, "make the archive with `tar --numeric-owner`");
    }
    return 0;
}

static int compare_entries(const void *a, const void *b)
{
    const struct acl_entry *x = a, *y = b;

    if (x->tag != y->tag)
        return x->tag < y->tag ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void put_le(struct ib_buf *buf, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        ib_buf_append(buf, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void encode(struct ib_inode *inode, const char *name, struct acl_entry *entries,
                   size_t count)
{
    _cleanup_(ib_buf_clear) struct ib_buf value = {0};

    qsort(entries, count, sizeof(*entries), compare_entries);
    put_le(&value, ACL_VERSION, 4);
    for (size_t i = 0; i < count; i++) {
        put_le(&value, entries[i].tag, 2);
        put_le(&value, entries[i].permissions, 2);
        put_le(&value, entries[i].id, 4);
    }
    ib_inode_set_xattr(inode, name, value.data, value.size);
}

static int take_acl(struct archive_entry *entry, const struct ib_tree *tree, int type,
                    const char *xattr, struct ib_inode *inode, struct ib_error **err)
{
    int count = archive_entry_acl_reset(entry, type), got_type, permissions, tag, id;
    const char *name;
    size_t n = 0;

    if (count <= 0)
        return 0;
    if (count > MAX_XATTRS)
        return ib_failf(err, IB_E_INVALID, "its ACL has more than %d entries", MAX_XATTRS);
    _cleanup_(ib_freep) struct acl_entry *entries = ib_calloc((size_t)count, sizeof(*entries));
    while (n < (size_t)count && archive_entry_acl_next(entry, type, &got_type, &permissions, &tag,
                                                       &id, &name) == ARCHIVE_OK) {
        if (convert(tree, tag, permissions, id, name, &entries[n++], err) < 0)
            return -1;
        /* Linux shows the mask as the group's permissions; libarchive put GROUP_OBJ's there. */
        if (entries[n - 1].tag == MASK && type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
            inode->mode = (inode->mode & ~070U) | (uint32_t)(permissions & 7) << 3;
    }
    if (!ib_inode_get_xattr(inode, xattr)) /* GNU tar writes both forms: the bytes are better */
        encode(inode, xattr, entries, n);
    return 0;
}

int ib_archive_take_xattrs(struct archive_entry *entry, const struct ib_tree *tree,
                           struct ib_inode *inode, uint64_t *size, struct ib_error **err)
{
    if (take_plain(entry, inode, size, err) < 0)
        return -1;
    if (S_ISLNK(inode->mode)) /* has none */
        return 0;
    if (take_acl(entry, tree, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access", inode,
                 err) < 0)
        return -1;
    return take_acl(entry, tree, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default", inode,
                    err);
}
