/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything behind the data area: inodes, directories, fragments, owners, extended attributes, in
 * the order in which the super block wants them.
 */
#include <sqfs/dir_writer.h>
#include <sqfs/frag_table.h>
#include <sqfs/id_table.h>
#include <sqfs/inode.h>
#include <sqfs/meta_writer.h>
#include <sqfs/xattr_writer.h>
#include <string.h>

#include "rootfs_internal.h"

struct tables {
    struct rootfs *r;
    sqfs_meta_writer_t *inodes;
    sqfs_meta_writer_t *directories; /* kept in memory until all inodes are out */
    sqfs_dir_writer_t *directory;
    sqfs_id_table_t *owners;
};

static sqfs_inode_generic_t *inode_new(size_t payload_size)
{
    sqfs_inode_generic_t *inode = ib_calloc(1, sizeof(*inode) + payload_size);

    inode->payload_bytes_available = (sqfs_u32)payload_size;
    inode->payload_bytes_used = (sqfs_u32)payload_size;
    return inode;
}

/* Always the extended form; libsquashfs makes it basic where nothing needs more. */
static sqfs_inode_generic_t *file_inode(const struct rootfs_inode *file, uint64_t block_size)
{
    const struct rootfs_inode *data = file->same ? file->same : file;
    sqfs_inode_generic_t *inode = inode_new(data->block_count * sizeof(sqfs_u32));
    uint64_t holes = 0;

    inode->base.type = SQFS_INODE_EXT_FILE;
    for (size_t i = 0; i < data->block_count; i++) {
        inode->extra[i] = data->blocks[i].size;
        if (data->blocks[i].size == 0)
            holes += IB_MIN(file->inode->size - i * block_size, block_size);
    }
    /* i_blocks is computed from size - sparse - 1 (fs/squashfs/inode.c): keep one byte, as
     * mksquashfs does */
    if (holes && holes == file->inode->size)
        holes--;
    inode->data.file_ext = (sqfs_inode_file_ext_t){
        .blocks_start = data->block_count ? data->blocks[0].location : 0,
        .file_size = file->inode->size,
        .sparse = holes,
        .nlink = file->inode->nlink,
        .fragment_idx = data->fragment ? data->fragment->index : ROOTFS_NONE,
        .fragment_offset = data->fragment ? data->fragment_offset : ROOTFS_NONE,
        .xattr_idx = ROOTFS_NONE,
    };
    return inode;
}

static sqfs_inode_generic_t *link_inode(const struct ib_inode *link)
{
    size_t size = strlen(link->target);
    sqfs_inode_generic_t *inode = inode_new(size);

    inode->base.type = SQFS_INODE_SLINK;
    inode->data.slink.nlink = link->nlink;
    inode->data.slink.target_size = (sqfs_u32)size;
    memcpy(inode->extra, link->target, size);
    return inode;
}

static sqfs_inode_generic_t *special_inode(const struct ib_inode *special)
{
    sqfs_inode_generic_t *inode = inode_new(0);

    switch (special->mode & S_IFMT) {
    case S_IFIFO:
    case S_IFSOCK:
        inode->base.type = S_ISFIFO(special->mode) ? SQFS_INODE_FIFO : SQFS_INODE_SOCKET;
        inode->data.ipc.nlink = special->nlink;
        break;
    default:
        inode->base.type = S_ISCHR(special->mode) ? SQFS_INODE_CDEV : SQFS_INODE_BDEV;
        inode->data.dev.nlink = special->nlink;
        /* linux/kdev_t.h, new_encode_dev() */
        inode->data.dev.devno = (special->rdev_minor & 0xff) | special->rdev_major << 8 |
                                (special->rdev_minor & ~0xffu) << 12;
        break;
    }
    return inode;
}

/* Writes the entries of a directory, all of whose children are out, and makes its inode. */
static int directory_inode(struct tables *t, const struct rootfs_inode *dir, uint32_t xattrs,
                           sqfs_inode_generic_t **ret)
{
    /* the root's ".." is one behind the last inode, as in mksquashfs */
    uint32_t parent = (uint32_t)t->r->plan.inode_count + 1;
    uint32_t nlink = 2;
    int code = sqfs_dir_writer_begin(t->directory, 0);

    for (size_t i = 0; i < dir->node->child_count && code == 0; i++) {
        const struct rootfs_inode *child = dir->children[i];
        nlink += S_ISDIR(child->inode->mode);
        code = sqfs_dir_writer_add_entry(t->directory, dir->node->children[i]->name, child->number,
                                         child->ref, (sqfs_u16)child->inode->mode);
    }
    if (code == 0)
        code = sqfs_dir_writer_end(t->directory);
    if (code < 0)
        return code;
    if (dir->parent)
        parent = dir->parent->number;
    *ret = sqfs_dir_writer_create_inode(t->directory, 0, xattrs, parent);
    if (!*ret)
        return SQFS_ERROR_ALLOC;
    /* libsquashfs counts every entry */
    if ((*ret)->base.type == SQFS_INODE_EXT_DIR)
        (*ret)->data.dir_ext.nlink = nlink;
    else
        (*ret)->data.dir.nlink = nlink;
    return 0;
}

static int make_inode(struct tables *t, const struct rootfs_inode *record, uint32_t xattrs,
                      sqfs_inode_generic_t **ret)
{
    switch (record->inode->mode & S_IFMT) {
    case S_IFDIR:
        return directory_inode(t, record, xattrs, ret);
    case S_IFREG:
        *ret = file_inode(record, t->r->options.block_size);
        break;
    case S_IFLNK:
        *ret = link_inode(record->inode);
        break;
    default:
        *ret = special_inode(record->inode);
        break;
    }
    return sqfs_inode_set_xattr_index(*ret, xattrs);
}

static int write_inode(struct tables *t, struct rootfs_inode *record, struct ib_error **err)
{
    _cleanup_(ib_freep) sqfs_inode_generic_t *inode = NULL;
    uint32_t mode = record->inode->mode & 07777, xattrs, offset;
    uint64_t block;

    if (rootfs_xattrs_add(t->r, record, &xattrs, &mode, err) < 0)
        return -1;
    int code = make_inode(t, record, xattrs, &inode);
    if (code == 0)
        code = sqfs_id_table_id_to_index(t->owners, record->inode->uid, &inode->base.uid_idx);
    if (code == 0)
        code = sqfs_id_table_id_to_index(t->owners, record->inode->gid, &inode->base.gid_idx);
    if (code == 0) {
        inode->base.mode = (sqfs_u16)mode;
        inode->base.mod_time = (sqfs_u32)t->r->options.epoch_s;
        inode->base.inode_number = record->number;
        sqfs_meta_writer_get_position(t->inodes, &block, &offset);
        record->ref = block << 16 | offset;
        code = sqfs_meta_writer_write_inode(t->inodes, inode);
    }
    return code < 0 ? rootfs_fail(t->r, code, "write an inode", err) : 0;
}

static int write_inodes(struct tables *t, struct ib_error **err)
{
    struct rootfs *r = t->r;
    int code;

    r->super.inode_table_start = r->file.size;
    for (size_t i = 0; i < r->plan.inode_count; i++)
        if (write_inode(t, r->plan.by_number[i], err) < 0)
            return -1;
    r->super.root_inode_ref = r->plan.by_number[r->plan.inode_count - 1]->ref;

    code = sqfs_meta_writer_flush(t->inodes);
    if (code == 0)
        code = sqfs_meta_writer_flush(t->directories);
    r->super.directory_table_start = r->file.size;
    if (code == 0)
        code = sqfs_meta_write_write_to_file(t->directories);
    return code < 0 ? rootfs_fail(r, code, "write inodes and directories", err) : 0;
}

static int write_fragments(struct rootfs *r, struct ib_error **err)
{
    _cleanup_(rootfs_destroyp) sqfs_frag_table_t *table = sqfs_frag_table_create(0);
    int code = table ? 0 : SQFS_ERROR_ALLOC;

    for (size_t i = 0; i < r->fragment_count && code == 0; i++)
        code = sqfs_frag_table_append(table, r->fragments[i]->block.location,
                                      r->fragments[i]->block.size, NULL);
    if (code == 0)
        code = sqfs_frag_table_write(table, &r->file.base, &r->super, r->compressor);
    r->super.flags &= (sqfs_u16)~SQFS_FLAG_ALWAYS_FRAGMENTS; /* tails are not packed */
    return code < 0 ? rootfs_fail(r, code, "write the fragment table", err) : 0;
}

static int tables_init(struct tables *t, struct rootfs *r, struct ib_error **err)
{
    t->r = r;
    r->xattrs = sqfs_xattr_writer_create(0);
    t->owners = sqfs_id_table_create(0);
    t->inodes = sqfs_meta_writer_create(&r->file.base, r->compressor, 0);
    t->directories =
        sqfs_meta_writer_create(&r->file.base, r->compressor, SQFS_META_WRITER_KEEP_IN_MEMORY);
    if (t->directories)
        t->directory = sqfs_dir_writer_create(t->directories, 0);
    if (!r->xattrs || !t->owners || !t->inodes || !t->directory)
        return rootfs_fail(r, SQFS_ERROR_ALLOC, "begin the tables", err);
    return 0;
}

static void tables_clear(struct tables *t)
{
    sqfs_destroy(t->directory);
    sqfs_destroy(t->directories);
    sqfs_destroy(t->inodes);
    sqfs_destroy(t->owners);
}

int rootfs_tables_write(struct rootfs *r, struct ib_error **err)
{
    _cleanup_(tables_clear) struct tables t = {0};
    int code;

    if (tables_init(&t, r, err) < 0 || write_inodes(&t, err) < 0 || write_fragments(r, err) < 0)
        return -1;
    code = sqfs_id_table_write(t.owners, &r->file.base, &r->super, r->compressor);
    if (code < 0)
        return rootfs_fail(r, code, "write the owners", err);
    return rootfs_xattrs_write(r, err);
}
