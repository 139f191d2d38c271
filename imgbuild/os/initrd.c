/* SPDX-License-Identifier: Apache-2.0 */
#include "os/initrd.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <zstd.h>

#include "base/file.h"
#include "place.h"
#include "scripts.h"

enum {
    /* beyond this an initrd is a mistake: firmware loads it with 32-bit sizes */
    MAX_INITRD_SIZE = 1 << 30,
    /* 37 MiB: level 6 16.5 MiB in 0.6 s, 15 16.0 MiB in 8 s */
    LEVEL = 6,
};

/* What mounting any of our roots takes; kernels differ in which are modules, built in, or gone. */
static const char *const root_drivers[] = {
    "autofs4",       "crc32c_generic", "crc32c_intel", "dm_mod",       "dm_verity",
    "efivarfs",      "ext4",           "loop",         "nls_ascii",    "nls_cp437",
    "nls_iso8859_1", "nls_utf8",       "overlay",      "sha256_arm64", "sha256_generic",
    "sha256_ssse3",  "sha2_ce",        "squashfs",     "vfat",
};

static char *all_drivers(const struct ib_initrd_options *options)
{
    _cleanup_(ib_strv_clear) struct ib_strv drivers = {0};

    ib_strv_append(&drivers, options->drivers);
    for (size_t i = 0; i < IB_ARRAY_SIZE(root_drivers); i++)
        if (ib_kernel_has_driver(options->kernel, root_drivers[i]))
            ib_strv_add(&drivers, root_drivers[i]);
    ib_strv_sort_unique(&drivers);
    return ib_strv_join(&drivers, " ");
}

static int add_module_file(const char *place, const char *dir, const char *name,
                           struct ib_error **err)
{
    _cleanup_(ib_freep) char *from = ib_path_join(dir, name);
    _cleanup_(ib_freep) char *to = ib_path_join("module", name);
    struct stat st;

    if (stat(from, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "read");
    if (!S_ISREG(st.st_mode)) /* a dracut module is flat; "." and ".." end here too */
        return 0;
    return ib_place_copy(place, to, st.st_mode & 0100 ? 0755 : 0644, from, err);
}

static int add_module(const struct ib_initrd_options *options, const char *place,
                      struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(options->module_dir);

    if (!dir)
        return ib_fail(err, IB_E_IO, errno, options->module_dir, "open");
    if (ib_place_mkdir(place, "module", err) < 0)
        return -1;
    for (const struct dirent *entry; (errno = 0, entry = readdir(dir));)
        if (add_module_file(place, options->module_dir, entry->d_name, err) < 0)
            return -1;
    if (errno)
        return ib_fail(err, IB_E_IO, errno, options->module_dir, "read");
    return ib_place_copy(place, "module/imgbuild-agent", 0755, options->agent, err);
}

static int run_dracut(struct ib_sandbox *sandbox, const struct ib_initrd_options *options,
                      const char *raw_path, struct ib_error **err)
{
    _cleanup_(ib_temp_dirp) char *place = ib_place_new(options->scratch_dir, err);
    _cleanup_(ib_freep) char *drivers = all_drivers(options);
    _cleanup_(ib_freep) char *programs =
        options->programs ? ib_strv_join(options->programs, " ") : NULL;
    const char *const arguments[] = {options->kernel->version, drivers, programs, NULL};

    if (!place || ib_place_write(place, "initrd-job.sh", 0755, ib_script_initrd_job, err) < 0 ||
        add_module(options, place, err) < 0 || ib_place_enter(place, sandbox, err) < 0 ||
        ib_place_run(sandbox, "initrd-job.sh", arguments, NULL, options->date_s, err) < 0 ||
        ib_sandbox_copy_out(sandbox, IB_PLACE "/initrd", raw_path, err) < 0)
        return -1;
    return ib_place_leave(sandbox, err);
}

/*
 * In one piece, so that the frame says how much it unpacks to. Always one thread: how zstd splits
 * work between several decides its bytes.
 */
static int compress_file(const char *raw_path, const char *path, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
    _cleanup_(ib_freep) void *packed = NULL;

    if (ib_read_file(raw_path, MAX_INITRD_SIZE, &raw, err) < 0)
        return -1;
    size_t bound = ZSTD_compressBound(raw.size);
    packed = ib_malloc(bound);
    size_t size = ZSTD_compress(packed, bound, raw.data, raw.size, LEVEL);
    if (ZSTD_isError(size))
        return ib_failf(err, IB_E_INTERNAL, "zstd: %s", ZSTD_getErrorName(size));
    return ib_write_file(path, 0644, packed, size, err);
}

int ib_initrd_build(struct ib_sandbox *sandbox, const struct ib_initrd_options *options,
                    const char *path, struct ib_error **err)
{
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        options->progress, options->step, "initrd", options->kernel->version, 0, IB_UNIT_NONE);
    _cleanup_(ib_temp_dirp) char *dir = NULL;

    if (ib_kernel_check_drivers(options->kernel, options->drivers, err) < 0)
        return ib_wrap(err, NULL, "make the initrd");
    dir = ib_make_temp_dir(options->scratch_dir, "imgbuild-initrd", err);
    if (!dir)
        return -1;
    _cleanup_(ib_freep) char *raw = ib_path_join(dir, "initrd.cpio");
    if (run_dracut(sandbox, options, raw, err) < 0 || compress_file(raw, path, err) < 0)
        return ib_wrap(err, NULL, "make the initrd");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
