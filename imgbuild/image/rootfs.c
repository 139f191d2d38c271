/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a squashfs, step by step: options, super block, data, tables, padding. */
#include "image/rootfs.h"

#include <dlfcn.h>
#include <errno.h>
#include <zstd.h>

#include "base/file.h"
#include "rootfs_internal.h"

enum {
    DEFAULT_LEVEL = 15,
    DEFAULT_BLOCK_SIZE = 128 * 1024,
    MAX_THREADS = 64, /* each has a compressor of some MiB */
};

static int fill_options(struct ib_rootfs_options *options, struct ib_error **err)
{
    if (!options->level)
        options->level = DEFAULT_LEVEL;
    if (!options->block_size)
        options->block_size = DEFAULT_BLOCK_SIZE;
    if (!options->threads)
        options->threads = ib_cpu_count();
    options->threads = IB_MIN(options->threads, (unsigned)MAX_THREADS);

    uint32_t size = options->block_size;
    if (size < SQFS_MIN_BLOCK_SIZE || size > SQFS_MAX_BLOCK_SIZE || (size & (size - 1)))
        return ib_failf(err, IB_E_USAGE,
                        "squashfs blocks of %u bytes: not a power of two from 4096 to 1048576",
                        size);
    if (options->level > SQFS_ZSTD_MAX_LEVEL)
        return ib_failf(err, IB_E_USAGE, "zstd level %u: not one of 1 to 22", options->level);
    if (options->epoch_s < 0 || options->epoch_s > UINT32_MAX)
        return ib_failf(err, IB_E_USAGE, "squashfs cannot hold the time %lld",
                        (long long)options->epoch_s);
    return 0;
}

/* The super block's place and, where the level is not zstd's default, the compressor's options. */
static int begin(struct rootfs *r, struct ib_error **err)
{
    sqfs_compressor_config_t config;
    int code = sqfs_super_init(&r->super, r->options.block_size, (sqfs_u32)r->options.epoch_s,
                               SQFS_COMP_ZSTD);

    if (code == 0)
        code = sqfs_compressor_config_init(&config, SQFS_COMP_ZSTD, r->options.block_size, 0);
    if (code == 0) {
        config.level = r->options.level;
        code = sqfs_compressor_create(&config, &r->compressor);
    }
    if (code == 0)
        code = sqfs_super_write(&r->super, &r->file.base);
    if (code == 0)
        code = r->compressor->write_options(r->compressor, &r->file.base);
    if (code < 0)
        return rootfs_fail(r, code, "begin the squashfs", err);
    if (code > 0)
        r->super.flags |= SQFS_FLAG_COMPRESSOR_OPTIONS;
    return 0;
}

static int finish(struct rootfs *r, struct ib_error **err)
{
    int code;

    r->super.inode_count = (sqfs_u32)r->plan.inode_count;
    r->super.bytes_used = r->info.bytes_used = r->file.size;
    r->info.inode_count = r->super.inode_count;
    r->info.size = ib_round_up(r->file.size, IB_ROOTFS_ALIGN);
    code = sqfs_super_write(&r->super, &r->file.base);
    if (code == 0)
        code = r->file.base.truncate(&r->file.base, r->info.size);
    if (code < 0)
        return rootfs_fail(r, code, "finish the squashfs", err);
    return 0;
}

static int write_all(struct rootfs *r, const struct ib_tree *tree, struct ib_error **err)
{
    if (rootfs_plan_make(&r->plan, tree, err) < 0 || begin(r, err) < 0 ||
        rootfs_data_write(r, err) < 0 || rootfs_tables_write(r, err) < 0)
        return -1;
    return finish(r, err);
}

static void rootfs_clear(struct rootfs *r)
{
    sqfs_destroy(r->xattrs);
    sqfs_destroy(r->compressor);
    free(r->first_dropped);
    for (size_t i = 0; i < r->fragment_count; i++)
        free(r->fragments[i]);
    free(r->fragments);
    rootfs_plan_clear(&r->plan);
    ib_step_failp(&r->step);
}

/* The library's file carries its full version ("libsquashfs.so.1.4.0"); it has no function that
 * says one. */
static char *squashfs_library(void)
{
    Dl_info info;
    _cleanup_(ib_freep) char *path = NULL;

    if (dladdr((const void *)(uintptr_t)sqfs_super_init, &info) != 0 && info.dli_fname)
        path = realpath(info.dli_fname, NULL);
    if (path && ib_startswith(ib_path_base(path), "libsquashfs"))
        return ib_strdup(ib_path_base(path));
    return ib_strdup("libsquashfs " IB_SQUASHFS_VERSION); /* linked into the program */
}

char *ib_rootfs_writer_version(void)
{
    _cleanup_(ib_freep) char *squashfs = squashfs_library();

    return ib_asprintf("%s, libzstd %s", squashfs, ZSTD_versionString());
}

int ib_rootfs_write(const struct ib_tree *tree, int fd, const struct ib_rootfs_options *options,
                    struct ib_rootfs_info *ret, struct ib_error **err)
{
    _cleanup_(rootfs_clear) struct rootfs r = {.options = *options};

    if (fill_options(&r.options, err) < 0)
        return -1;
    rootfs_file_init(&r.file, fd);
    r.step = ib_step_begin(r.options.progress, r.options.step, "squashfs", NULL,
                           ib_tree_content_size(tree), IB_UNIT_BYTES);
    if (write_all(&r, tree, err) < 0)
        return ib_wrap(err, NULL, "write the root file system");
    if (r.info.dropped_xattr_count)
        ib_step_note(r.step,
                     "squashfs cannot hold %llu of the tree's extended attributes; left out (the "
                     "first is %s)",
                     (unsigned long long)r.info.dropped_xattr_count, r.first_dropped);
    ib_step_end(ib_steal(&r.step), IB_STEP_DONE);
    *ret = r.info;
    return 0;
}
