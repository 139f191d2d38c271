/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "base/file.h"

int ib_mount_ext4(const char *device, const char *target, struct ib_error **err)
{
    if (mount(device, target, "ext4", MS_NOATIME, NULL) == 0)
        return 0;
    ib_fail(err, IB_E_IO, errno, device, "mount");
    return ib_wrap(err, target, "mount a file system on");
}

int ib_mount_bind(const char *from, const char *to, struct ib_error **err)
{
    if (mount(from, to, NULL, MS_BIND, NULL) == 0)
        return 0;
    ib_fail(err, IB_E_IO, errno, from, "mount");
    return ib_wrap(err, to, "mount a directory on");
}

int ib_mount_tmpfs(const char *target, unsigned size_mib, struct ib_error **err)
{
    _cleanup_(ib_freep) char *options = ib_asprintf("mode=0755,size=%um", size_mib);

    if (mount("imgbuild", target, "tmpfs", MS_NODEV | MS_NOSUID, options) == 0)
        return 0;
    return ib_fail(err, IB_E_IO, errno, target, "mount a tmpfs on");
}

int ib_mount_overlay(const char *lower, const char *upper, const char *work, const char *target,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *options =
        ib_asprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);

    if (mount("imgbuild", target, "overlay", MS_NODEV | MS_NOSUID, options) == 0)
        return 0;
    bool is_unknown = errno == ENODEV;
    ib_fail(err, IB_E_IO, errno, target, "mount an overlay on");
    if (is_unknown)
        ib_hint(err, "the initrd must hold the kernel module 'overlay'");
    return -1;
}

int ib_write_plain(const char *path, const struct ib_buf *content, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0 || (content->size && ib_write_full(fd, content->data, content->size) < 0))
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return 0;
}
