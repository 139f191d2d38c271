/* SPDX-License-Identifier: Apache-2.0 */
#include "image/squashfs.h"

#include <errno.h>
#include <sqfs/compressor.h>
#include <sqfs/data_reader.h>
#include <sqfs/dir.h>
#include <sqfs/dir_reader.h>
#include <sqfs/error.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/io.h>
#include <sqfs/super.h>
#include <sqfs/xattr.h>
#include <sqfs/xattr_reader.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

enum { PATH_MAX_SIZE = 4096, XATTRS_MAX = 256 };
#define NO_XATTRS UINT32_C(0xFFFFFFFF)

/* libsquashfs' file interface on a range of a descriptor. */
struct range_file {
    sqfs_file_t base;
    int fd;
    uint64_t offset, size;
    int errnum; /* of the last failed read */
};

struct ib_squashfs {
    char *name;
    struct range_file file;
    sqfs_super_t super;
    sqfs_compressor_t *compressor;
    sqfs_id_table_t *ids;
    sqfs_xattr_reader_t *xattrs; /* NULL: the image has none */
    sqfs_dir_reader_t *dirs;
    sqfs_data_reader_t *data;
    struct ib_squashfs_entry *entries;
    size_t count, capacity;
    uint64_t path_bytes;
};

static int range_read_at(sqfs_file_t *base, sqfs_u64 offset, void *buffer, size_t size)
{
    struct range_file *f = (struct range_file *)base;

    if (offset > f->size || size > f->size - offset)
        return SQFS_ERROR_OUT_OF_BOUNDS;
    if (ib_pread_full(f->fd, buffer, size, f->offset + offset) == 0)
        return 0;
    f->errnum = errno;
    return SQFS_ERROR_IO;
}

static int range_write_at(sqfs_file_t *base _unused_, sqfs_u64 offset _unused_,
                          const void *buffer _unused_, size_t size _unused_)
{
    return SQFS_ERROR_UNSUPPORTED;
}

static sqfs_u64 range_get_size(const sqfs_file_t *base)
{
    return ((const struct range_file *)base)->size;
}

static int range_truncate(sqfs_file_t *base _unused_, sqfs_u64 size _unused_)
{
    return SQFS_ERROR_UNSUPPORTED;
}

static void range_destroy(sqfs_object_t *object _unused_)
{
}

static int fail(const struct ib_squashfs *fs, int code, struct ib_error **err)
{
    if (code == SQFS_ERROR_IO)
        return ib_fail(err, IB_E_IO, fs->file.errnum, fs->name, "read");
    if (code == SQFS_ERROR_ALLOC) /* sizes come from the image: it is the liar, not the machine */
        return ib_failf(err, IB_E_INVALID, "'%s' claims tables larger than memory", fs->name);
    if (code == SQFS_ERROR_UNSUPPORTED)
        return ib_failf(err, IB_E_UNSUPPORTED,
                        "this libsquashfs does not know the compression or version of '%s'",
                        fs->name);
    return ib_failf(err, IB_E_INVALID, "'%s' is not a sound squashfs image (error %d)", fs->name,
                    code);
}

static int open_tables(struct ib_squashfs *fs, struct ib_error **err)
{
    sqfs_file_t *file = &fs->file.base;
    sqfs_compressor_config_t config;
    int r = sqfs_super_read(&fs->super, file);

    /* libsquashfs takes this count on trust: a table of 512 entries needs 8 bytes in the image */
    if (r == 0 && fs->super.fragment_entry_count > fs->file.size / 8 * 512)
        r = SQFS_ERROR_CORRUPTED;
    if (r == 0)
        r = sqfs_compressor_config_init(&config, (SQFS_COMPRESSOR)fs->super.compression_id,
                                        fs->super.block_size, SQFS_COMP_FLAG_UNCOMPRESS);
    if (r == 0)
        r = sqfs_compressor_create(&config, &fs->compressor);
    if (r != 0)
        return fail(fs, r, err);
    fs->ids = sqfs_id_table_create(0);
    fs->dirs = sqfs_dir_reader_create(&fs->super, fs->compressor, file, 0);
    fs->data = sqfs_data_reader_create(file, fs->super.block_size, fs->compressor, 0);
    if (!fs->ids || !fs->dirs || !fs->data)
        abort();
    r = sqfs_id_table_read(fs->ids, file, &fs->super, fs->compressor);
    if (r == 0)
        r = sqfs_data_reader_load_fragment_table(fs->data, &fs->super);
    if (r == 0 && !(fs->super.flags & SQFS_FLAG_NO_XATTRS)) {
        fs->xattrs = sqfs_xattr_reader_create(0);
        if (!fs->xattrs)
            abort();
        r = sqfs_xattr_reader_load(fs->xattrs, &fs->super, file, fs->compressor);
    }
    return r == 0 ? 0 : fail(fs, r, err);
}

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct ib_sha256));
}

static int hash_xattr(struct ib_squashfs *fs, struct ib_sha256 *ret, struct ib_error **err)
{
    sqfs_xattr_entry_t *key = NULL;
    sqfs_xattr_value_t *value = NULL;
    int r = sqfs_xattr_reader_read_key(fs->xattrs, &key);

    if (r == 0)
        r = sqfs_xattr_reader_read_value(fs->xattrs, key, &value);
    if (r == 0) {
        _cleanup_(ib_hasher_freep) struct ib_hasher *h = ib_hasher_new();
        ib_hasher_field_str(h, (const char *)key->key);
        ib_hasher_field(h, value->value, value->size);
        ib_hasher_final(h, ret);
    }
    sqfs_free(key);
    sqfs_free(value);
    return r == 0 ? 0 : fail(fs, r, err);
}

/* One hash for all, whatever their order in the image. */
static int read_xattrs(struct ib_squashfs *fs, struct ib_squashfs_entry *e, struct ib_error **err)
{
    struct ib_sha256 hashes[XATTRS_MAX];
    sqfs_xattr_id_t id;
    sqfs_u32 index;
    int r = sqfs_inode_get_xattr_index(e->inode, &index);

    if (r != 0)
        return fail(fs, r, err);
    if (!fs->xattrs || index == NO_XATTRS)
        return 0;
    if ((r = sqfs_xattr_reader_get_desc(fs->xattrs, index, &id)) != 0 ||
        (r = sqfs_xattr_reader_seek_kv(fs->xattrs, &id)) != 0)
        return fail(fs, r, err);
    if (id.count > XATTRS_MAX)
        return fail(fs, SQFS_ERROR_CORRUPTED, err);
    for (size_t i = 0; i < id.count; i++)
        if (hash_xattr(fs, &hashes[i], err) < 0)
            return -1;
    e->xattr_count = id.count;
    if (id.count > 1)
        qsort(hashes, id.count, sizeof(hashes[0]), compare_hashes);
    ib_sha256(hashes, id.count * sizeof(hashes[0]), &e->xattrs);
    return 0;
}

static void read_device(struct ib_squashfs_entry *e, uint32_t device)
{
    /* Linux new_encode_dev() */
    e->rdev_major = (device >> 8) & 0xfff;
    e->rdev_minor = (device & 0xff) | ((device >> 12) & 0xfff00);
}

static int read_type(struct ib_squashfs *fs, struct ib_squashfs_entry *e, struct ib_error **err)
{
    const sqfs_inode_generic_t *inode = e->inode;
    sqfs_u64 size = 0;

    switch (inode->base.type) {
    case SQFS_INODE_FILE:
    case SQFS_INODE_EXT_FILE:
        if (sqfs_inode_get_file_size(inode, &size) != 0)
            return fail(fs, SQFS_ERROR_CORRUPTED, err);
        e->size = size;
        return 0;
    case SQFS_INODE_SLINK:
    case SQFS_INODE_EXT_SLINK: /* both begin alike */
        e->target = ib_strndup((const char *)inode->extra, inode->data.slink.target_size);
        return 0;
    case SQFS_INODE_BDEV:
    case SQFS_INODE_CDEV:
        read_device(e, inode->data.dev.devno);
        return 0;
    case SQFS_INODE_EXT_BDEV:
    case SQFS_INODE_EXT_CDEV:
        read_device(e, inode->data.dev_ext.devno);
        return 0;
    default:
        return 0;
    }
}

/* Takes path and inode. */
static int add_entry(struct ib_squashfs *fs, char *path, sqfs_inode_generic_t *inode,
                     struct ib_error **err)
{
    if (fs->count == fs->capacity) {
        fs->capacity = fs->capacity ? 2 * fs->capacity : 1024;
        fs->entries = ib_reallocarray(fs->entries, fs->capacity, sizeof(*fs->entries));
    }
    struct ib_squashfs_entry *e = &fs->entries[fs->count++];
    *e = (struct ib_squashfs_entry){.path = path, .inode = inode};
    e->mode = inode->base.mode;
    e->mtime_s = inode->base.mod_time;
    fs->path_bytes += strlen(path) + 1;
    if (fs->count > IB_SQUASHFS_ENTRIES_MAX || fs->path_bytes > IB_SQUASHFS_PATHS_MAX)
        return ib_failf(err, IB_E_INVALID, "'%s' has more files than an image can have", fs->name);
    int r = sqfs_id_table_index_to_id(fs->ids, inode->base.uid_idx, &e->uid);
    if (r == 0)
        r = sqfs_id_table_index_to_id(fs->ids, inode->base.gid_idx, &e->gid);
    if (r != 0)
        return fail(fs, r, err);
    return read_type(fs, e, err) < 0 ? -1 : read_xattrs(fs, e, err);
}

/* parent + "/" + the entry's name, or NULL where that is no name. */
static char *child_path(const char *parent, const sqfs_dir_entry_t *entry)
{
    const char *name = (const char *)entry->name;
    size_t n = (size_t)entry->size + 1;

    if (memchr(name, 0, n) || memchr(name, '/', n) || (n == 1 && name[0] == '.') ||
        (n == 2 && name[0] == '.' && name[1] == '.') || strlen(parent) + 1 + n >= PATH_MAX_SIZE)
        return NULL;
    return ib_asprintf("%s%s%.*s", parent, *parent ? "/" : "", (int)n, name);
}

static int read_directory(struct ib_squashfs *fs, size_t index, struct ib_error **err)
{
    int r = sqfs_dir_reader_open_dir(fs->dirs, fs->entries[index].inode, 0);

    while (r == 0) {
        sqfs_dir_entry_t *entry = NULL;
        sqfs_inode_generic_t *inode = NULL;
        r = sqfs_dir_reader_read(fs->dirs, &entry);
        if (r > 0) /* the end */
            return 0;
        char *path = r == 0 ? child_path(fs->entries[index].path, entry) : NULL;
        sqfs_free(entry);
        if (r == 0)
            r = path ? sqfs_dir_reader_get_inode(fs->dirs, &inode) : SQFS_ERROR_CORRUPTED;
        if (r != 0)
            free(path);
        else if (add_entry(fs, path, inode, err) < 0)
            return -1;
    }
    return fail(fs, r, err);
}

static int compare_entries(const void *a, const void *b)
{
    const struct ib_squashfs_entry *x = a, *y = b;

    return strcmp(x->path, y->path);
}

/* Breadth first, without recursion: an image that contains itself ends at the longest path. */
static int read_entries(struct ib_squashfs *fs, struct ib_error **err)
{
    sqfs_inode_generic_t *root = NULL;
    int r = sqfs_dir_reader_get_root_inode(fs->dirs, &root);

    if (r != 0)
        return fail(fs, r, err);
    if (add_entry(fs, ib_strdup(""), root, err) < 0)
        return -1;
    for (size_t i = 0; i < fs->count; i++)
        if (S_ISDIR(fs->entries[i].mode) && read_directory(fs, i, err) < 0)
            return -1;
    qsort(fs->entries, fs->count, sizeof(*fs->entries), compare_entries);
    return 0;
}

struct ib_squashfs *ib_squashfs_open(int fd, uint64_t offset, uint64_t size, const char *name,
                                     struct ib_error **err)
{
    _cleanup_(ib_squashfs_freep) struct ib_squashfs *fs = ib_calloc(1, sizeof(*fs));

    fs->name = ib_strdup(name);
    fs->file = (struct range_file){
        .base = {.base = {.destroy = range_destroy},
                 .read_at = range_read_at,
                 .write_at = range_write_at,
                 .get_size = range_get_size,
                 .truncate = range_truncate},
        .fd = fd,
        .offset = offset,
        .size = size,
    };
    return open_tables(fs, err) < 0 || read_entries(fs, err) < 0 ? NULL : ib_steal(&fs);
}

struct ib_squashfs *ib_squashfs_free(struct ib_squashfs *fs)
{
    if (!fs)
        return NULL;
    for (size_t i = 0; i < fs->count; i++) {
        free(fs->entries[i].path);
        free(fs->entries[i].target);
        sqfs_free(fs->entries[i].inode);
    }
    free(fs->entries);
    sqfs_destroy(fs->data);
    sqfs_destroy(fs->dirs);
    sqfs_destroy(fs->xattrs);
    sqfs_destroy(fs->ids);
    sqfs_destroy(fs->compressor);
    free(fs->name);
    free(fs);
    return NULL;
}

void ib_squashfs_freep(struct ib_squashfs **fs)
{
    *fs = ib_squashfs_free(*fs);
}

const struct ib_squashfs_entry *ib_squashfs_entries(const struct ib_squashfs *fs, size_t *ret_count)
{
    *ret_count = fs->count;
    return fs->entries;
}

int ib_squashfs_read(struct ib_squashfs *fs, const struct ib_squashfs_entry *entry, void *data,
                     size_t size, uint64_t offset, struct ib_error **err)
{
    uint8_t *out = data;

    while (size > 0) {
        uint32_t n = (uint32_t)IB_MIN(size, (size_t)INT32_MAX);
        sqfs_s32 got = sqfs_data_reader_read(fs->data, entry->inode, offset, out, n);
        if (got <= 0)
            return fail(fs, got < 0 ? got : SQFS_ERROR_OUT_OF_BOUNDS, err);
        out += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}
