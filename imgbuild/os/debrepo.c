/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debrepo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

char *ib_deb_file_name(const struct ib_deb_control *control)
{
    const char *colon = strchr(control->version, ':');

    return ib_asprintf("%s_%s_%s.deb", control->package, colon ? colon + 1 : control->version,
                       control->architecture);
}

/* What the index says of the file, not what the file says of itself. */
static bool is_index_field(const char *name)
{
    static const char *const ours[] = {"Filename", "Size",   "SHA256", "MD5sum",
                                       "SHA1",     "SHA512", "Status"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(ours); i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return false;
}

void ib_debrepo_append_paragraph(const struct ib_deb *deb, struct ib_buf *ret)
{
    _cleanup_(ib_freep) char *name = ib_deb_file_name(&deb->control);
    char hex[IB_SHA256_HEX_SIZE];

    for (size_t i = 0; i < deb->control.field_count; i++) {
        const struct ib_deb_field *field = &deb->control.fields[i];
        if (!is_index_field(field->name))
            ib_buf_printf(ret, "%s: %s\n", field->name, field->value);
    }
    ib_buf_printf(ret, "Filename: ./%s\nSize: %llu\nSHA256: %s\n\n", name,
                  (unsigned long long)deb->size_bytes, ib_sha256_hex(&deb->sha256, hex));
}

static int copy_file(const char *from, int dir_fd, const char *name, uint64_t size,
                     struct ib_error **err)
{
    _cleanup_(ib_closep) int in_fd = ib_open_read(from, err);
    struct stat st;

    if (in_fd < 0)
        return -1;
    _cleanup_(ib_closep) int out_fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out_fd < 0 || fchmod(out_fd, 0644) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "make");
    if (fstat(in_fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "read");
    if ((uint64_t)st.st_size != size)
        return ib_failf(err, IB_E_VERIFY, "'%s' has %lld bytes, not %llu", from,
                        (long long)st.st_size, (unsigned long long)size);
    if (ib_copy_range(in_fd, 0, out_fd, size) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "write");
    return 0;
}

static int place_deb(const struct ib_deb *deb, int dir_fd, struct ib_error **err)
{
    _cleanup_(ib_freep) char *name = ib_deb_file_name(&deb->control);

    if (linkat(AT_FDCWD, deb->path, dir_fd, name, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno == EEXIST) /* two versions that differ only in their epoch cannot both be installed */
        return ib_fail(err, IB_E_INVALID, EEXIST, name, "put into the package repository");
    return copy_file(deb->path, dir_fd, name, deb->size_bytes, err);
}

int ib_debrepo_make(const char *dir, const struct ib_deb_list *debs, struct ib_progress *progress,
                    struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf index = {0};

    if (mkdir(dir, 0755) < 0)
        return ib_fail(err, IB_E_IO, errno, dir, "make directory");
    _cleanup_(ib_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fchmod(dir_fd, 0755) < 0)
        return ib_fail(err, IB_E_IO, errno, dir, "open");
    for (size_t i = 0; i < debs->count; i++) {
        if (ib_progress_check(progress, err) < 0)
            return -1;
        if (place_deb(debs->items[i], dir_fd, err) < 0)
            return ib_wrap(err, dir, "make the package repository");
        ib_debrepo_append_paragraph(debs->items[i], &index);
    }
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "Packages");
    if (ib_write_file(path, 0644, index.data, index.size, err) < 0)
        return ib_wrap(err, dir, "make the package repository");
    return 0;
}
