/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a write: on the medium, and known to the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "target_internal.h"

int ib_target_sync(struct ib_target *target, struct ib_error **err)
{
    /* both: each descriptor is told of a failed write-back once, and only of those in its time */
    int direct = target->direct_fd < 0 ? 0 : fsync(target->direct_fd);
    int direct_errno = errno;

    if (fsync(target->fd) < 0)
        return ib_fail(err, IB_E_IO, errno, target->name, "flush");
    if (direct < 0)
        return ib_fail(err, IB_E_IO, direct_errno, target->name, "flush");
    if (!target->is_new)
        return 0;
    _cleanup_(ib_freep) char *dir = ib_path_dir(target->name);
    _cleanup_(ib_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || (fsync(dir_fd) < 0 && errno != EINVAL))
        return ib_fail(err, IB_E_IO, errno, dir, "flush the directory");
    return 0;
}

/* Without udev nobody makes links that would have to be waited for. */
static int settle(struct ib_error **err)
{
    static const char *const argv[] = {"udevadm", "settle", "--timeout=30", NULL};
    _cleanup_(ib_freep) char *program = ib_find_program("udevadm");
    int status = 0;

    if (!program || !ib_path_exists("/run/udev/control"))
        return 0;
    return ib_run(&(struct ib_run){.argv = argv, .ret_status = &status}, err);
}

int ib_target_reread_table(struct ib_target *target, struct ib_error **err)
{
    enum { TRIES = 50, PAUSE_NS = 100000000 };
    int result = 0;

    if (!target->is_disk)
        return 0;
    /* udev leaves a locked disk alone, and settling would then wait for it in vain */
    if (flock(target->fd, LOCK_UN) < 0)
        return ib_fail(err, IB_E_IO, errno, target->name, "unlock");
    for (int i = 0; i < TRIES && (result = ioctl(target->fd, BLKRRPART)) < 0; i++) {
        if (errno != EBUSY && errno != EINTR)
            break;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    /* EINVAL, ENOTTY: a device without partitions (loop, dm): nothing to be known */
    if (result < 0 && errno != EINVAL && errno != ENOTTY) {
        ib_fail(err, IB_E_IO, errno, target->name, "make the kernel read the partition table of");
        return ib_hint(err, "what was written is complete; unplug the disk and plug it in again, "
                            "or run partprobe");
    }
    return settle(err);
}
