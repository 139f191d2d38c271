/* SPDX-License-Identifier: Apache-2.0 */
#include "io/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "io/disk_roots.h"
#include "target_internal.h"

/* linux/fs.h has it from Linux 5.15 on. */
#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, uint64_t)
#endif

enum { MAX_BLOCK = 4096 };

static struct ib_target *new_target(const char *name)
{
    struct ib_target *target = ib_calloc(1, sizeof(*target));

    target->name = ib_strdup(name);
    target->fd = target->direct_fd = -1;
    return target;
}

struct ib_target *ib_target_free(struct ib_target *target)
{
    if (!target)
        return NULL;
    ib_closep(&target->direct_fd);
    ib_closep(&target->fd);
    free(target->name);
    free(target);
    return NULL;
}

void ib_target_freep(struct ib_target **target)
{
    *target = ib_target_free(*target);
}

static int fail_moved(const struct ib_disk *shown, const char *what, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED, "%s is no longer the disk that was shown: %s", shown->path, what);
    return ib_hint(err, "look again (imgbuild flash --list) and name the disk below "
                        "/dev/disk/by-id, which does not move");
}

/* Names move when devices come and go: the disk of this name must be the one that was shown. */
static int compare(const struct ib_disk *shown, const struct ib_disk *now, struct ib_error **err)
{
    const char *moved = shown->devno != now->devno              ? "its device number changed"
                        : shown->sequence != now->sequence      ? "the medium was changed"
                        : shown->size_bytes != now->size_bytes  ? "its size changed"
                        : !ib_streq(shown->model, now->model)   ? "its model is another"
                        : !ib_streq(shown->serial, now->serial) ? "its serial number is another"
                        : shown->logical_block != now->logical_block ? "its block size changed"
                                                                     : NULL;

    return moved ? fail_moved(shown, moved, err) : 0;
}

/* The same again for what was really opened. */
static int compare_open(const struct ib_disk *shown, int fd, struct ib_error **err)
{
    uint64_t size = 0, sequence = 0;
    struct stat st;
    int block = 0, read_only = 0;

    if (fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, shown->path, "look at the open disk");
    if (!S_ISBLK(st.st_mode) || st.st_rdev != shown->devno)
        return fail_moved(shown, "its name leads to another device", err);
    if (ioctl(fd, BLKGETSIZE64, &size) < 0 || ioctl(fd, BLKSSZGET, &block) < 0 ||
        ioctl(fd, BLKROGET, &read_only) < 0)
        return ib_fail(err, IB_E_IO, errno, shown->path, "look at the open disk");
    if (size != shown->size_bytes || (uint32_t)block != shown->logical_block)
        return fail_moved(shown, "its size changed", err);
    if (shown->sequence && ioctl(fd, BLKGETDISKSEQ, &sequence) == 0 && sequence != shown->sequence)
        return fail_moved(shown, "the medium was changed", err);
    if (read_only)
        return ib_failf(err, IB_E_REFUSED, "%s is read-only", shown->path);
    return 0;
}

static int fail_open(const struct ib_disk *disk, struct ib_error **err)
{
    int e = errno;

    if (e == ENOENT || e == ENXIO || e == ENODEV || e == ENOMEDIUM) {
        ib_fail(err, IB_E_NOT_FOUND, e, disk->path, "open the disk");
        return ib_hint(err, "is it still plugged in? imgbuild flash --list shows the disks");
    }
    if (e == EBUSY) {
        ib_failf(err, IB_E_REFUSED, "%s is in exclusive use by another program or by the kernel",
                 disk->path);
        return ib_hint(err, "end what uses it, or choose another disk (imgbuild flash --list)");
    }
    ib_fail(err, e == EROFS ? IB_E_REFUSED : IB_E_IO, e, disk->path, "open the disk for writing");
    return e == EACCES || e == EPERM ? ib_hint(err, "run it as root (sudo)") : -1;
}

/* udev and others look at new disks for moments with an exclusive open or a shared lock. */
static int patiently(int (*attempt)(const void *what), const void *what)
{
    enum { TRIES = 50, PAUSE_NS = 100000000 };
    int result;

    for (int i = 0; (result = attempt(what)) < 0 && i < TRIES; i++) {
        if (errno != EBUSY && errno != EWOULDBLOCK && errno != EINTR)
            break;
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
    }
    return result;
}

/* Never with O_CREAT: a device that is gone must not become a file below /dev. */
static int open_exclusively(const void *path)
{
    return open(path, O_RDWR | O_EXCL | O_CLOEXEC);
}

/* udev stays away from a disk that is locked so (systemd's Locking Block Device Access). */
static int lock(const void *fd)
{
    return flock(*(const int *)fd, LOCK_EX | LOCK_NB);
}

/* Virtual machines do not open their disks exclusively; QEMU locks ranges of them. */
static bool is_range_locked(int fd)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

/* A second descriptor for direct I/O: the flag is one of the whole open file, and the odd end of an
 * image needs the page cache. It must be the same device as the one we hold. */
static int open_direct(const char *path, int same_as)
{
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
    uint64_t a_sequence = 0, b_sequence = 0;
    struct stat a, b;

    if (fd < 0 || fstat(fd, &a) < 0 || fstat(same_as, &b) < 0)
        return -1;
    if (S_ISBLK(b.st_mode)) {
        if (!S_ISBLK(a.st_mode) || a.st_rdev != b.st_rdev ||
            (ioctl(same_as, BLKGETDISKSEQ, &b_sequence) == 0 &&
             (ioctl(fd, BLKGETDISKSEQ, &a_sequence) < 0 || a_sequence != b_sequence)))
            return -1;
    } else if (a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
        return -1;
    }
    return ib_steal_fd(&fd);
}

/* What direct I/O must be a multiple of (statx(2), STATX_DIOALIGN, Linux 6.1); 0: not told. */
static uint32_t direct_alignment(int fd)
{
#ifdef STATX_DIOALIGN
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 && (st.stx_mask & STATX_DIOALIGN))
        return IB_MAX(st.stx_dio_mem_align, st.stx_dio_offset_align);
#else
    (void)fd;
#endif
    return 0;
}

static void set_direct(struct ib_target *target, const char *path, uint32_t logical_block)
{
    target->direct_fd = open_direct(path, target->fd);
    uint32_t alignment = target->direct_fd < 0 ? 0 : direct_alignment(target->direct_fd);

    target->logical_block = logical_block;
    target->block = IB_MAX(logical_block, alignment         ? alignment
                                          : target->is_disk ? 512
                                                            : MAX_BLOCK);
    if (target->block > MAX_BLOCK)
        target->block = MAX_BLOCK;
    atomic_init(&target->direct, target->direct_fd >= 0 && alignment <= MAX_BLOCK);
}

/* Looks again, by itself: nothing that was true when the user was asked is taken for granted. */
static int look_again(const struct ib_disk *shown, bool held, struct ib_error **err)
{
    _cleanup_(ib_disk_clear) struct ib_disk now = {0};

    if (ib_disk_look_at(&ib_disk_live, shown->path, shown->all, held, &now, err) < 0 ||
        compare(shown, &now, err) < 0)
        return -1;
    return ib_disk_check(&now, err);
}

struct ib_target *ib_target_open_disk(const struct ib_disk *shown, struct ib_error **err)
{
    _cleanup_(ib_target_freep) struct ib_target *target = new_target(shown->path);

    /* what was refused then stays refused: also what only the caller knew (the source's disk) */
    if (ib_disk_check(shown, err) < 0 || look_again(shown, false, err) < 0)
        return NULL;
    target->fd = patiently(open_exclusively, shown->path);
    if (target->fd < 0) {
        fail_open(shown, err);
        return NULL;
    }
    if (compare_open(shown, target->fd, err) < 0)
        return NULL;
    if (patiently(lock, &target->fd) < 0 || is_range_locked(target->fd)) {
        ib_failf(err, IB_E_REFUSED, "%s is locked by another program", shown->path);
        ib_hint(err, "wait until it has ended, or stop the virtual machine that uses it (lsof %s)",
                shown->path);
        return NULL;
    }
    /* and once more, now that nobody can come in between */
    if (look_again(shown, true, err) < 0)
        return NULL;
    target->size_bytes = shown->size_bytes;
    target->is_disk = true;
    target->is_removable = shown->removable;
    target->zeroes_offloaded = shown->zeroes_offloaded;
    set_direct(target, shown->path, shown->logical_block);
    atomic_init(&target->no_punch, !shown->zeroes_offloaded);
    return ib_steal(&target);
}

/* Below /dev lie devices: a name that is not there is a device that is gone, never a new file. */
static int refuse_dev(const char *path, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(path);
    _cleanup_(ib_freep) char *real_dir = realpath(dir, NULL);
    _cleanup_(ib_freep) char *real = realpath(path, NULL);

    if (!real_dir)
        return ib_fail(err, errno == ENOENT ? IB_E_NOT_FOUND : IB_E_IO, errno, dir,
                       "find the directory");
    if (ib_streq(real_dir, "/dev") || ib_startswith(real_dir, "/dev/") ||
        (real && ib_startswith(real, "/dev/"))) {
        ib_failf(err, IB_E_REFUSED, "'%s' lies below /dev, where no file is made", path);
        return ib_hint(err, "imgbuild flash --list shows the disks of this machine");
    }
    return 0;
}

static int fail_file(int errnum, const char *path, struct ib_error **err)
{
    if (errnum == EEXIST) {
        ib_failf(err, IB_E_REFUSED, "'%s' exists already", path);
        return ib_hint(err, "remove it, or choose another name");
    }
    return ib_fail(err, errnum == ENOENT ? IB_E_NOT_FOUND : IB_E_IO, errnum, path,
                   "open the file for writing");
}

/* Regular, ours alone, and of the right size. */
static int prepare_file(struct ib_target *target, uint64_t size_bytes, struct ib_error **err)
{
    struct stat st;

    if (fstat(target->fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, target->name, "look at the file");
    if (!S_ISREG(st.st_mode))
        return ib_failf(err, IB_E_REFUSED, "'%s' is not a regular file", target->name);
    if (flock(target->fd, LOCK_EX | LOCK_NB) < 0 || is_range_locked(target->fd)) {
        ib_failf(err, IB_E_REFUSED, "another program is writing to '%s'", target->name);
        return ib_hint(err, "wait until it has ended");
    }
    target->size_bytes = IB_MAX((uint64_t)st.st_size, size_bytes);
    if ((uint64_t)st.st_size < size_bytes && ftruncate(target->fd, (off_t)size_bytes) < 0)
        return ib_fail(err, IB_E_IO, errno, target->name, "set the size of");
    return 0;
}

struct ib_target *ib_target_open_file(const char *path, uint64_t size_bytes, bool existing,
                                      struct ib_error **err)
{
    _cleanup_(ib_target_freep) struct ib_target *target = new_target(path);
    struct stat st;

    if (refuse_dev(path, err) < 0)
        return NULL;
    if (existing && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        ib_failf(err, IB_E_REFUSED, "'%s' is not a regular file", path); /* opening may block */
        return NULL;
    }
    target->fd = existing ? open(path, O_RDWR | O_CLOEXEC)
                          : open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (target->fd < 0) {
        fail_file(errno, path, err);
        return NULL;
    }
    target->is_new = !existing;
    if (prepare_file(target, size_bytes, err) < 0) {
        if (target->is_new)
            unlink(path);
        return NULL;
    }
    set_direct(target, path, 512);
    return ib_steal(&target);
}

const char *ib_target_name(const struct ib_target *target)
{
    return target->name;
}

uint64_t ib_target_size(const struct ib_target *target)
{
    return target->size_bytes;
}

bool ib_target_is_disk(const struct ib_target *target)
{
    return target->is_disk;
}

bool ib_target_is_removable(const struct ib_target *target)
{
    return target->is_removable;
}

uint32_t ib_target_block(const struct ib_target *target)
{
    return target->block;
}

uint32_t ib_target_logical_block(const struct ib_target *target)
{
    return target->logical_block;
}

bool ib_target_is_direct(const struct ib_target *target)
{
    return atomic_load(&target->direct);
}

static bool goes_direct(const struct ib_target *target, const void *data, size_t size,
                        uint64_t offset)
{
    return atomic_load(&target->direct) &&
           (((uintptr_t)data | size | offset) & (target->block - 1)) == 0;
}

/* Outside of the target: a mistake of ours that must not reach the disk in any build. */
static bool is_outside(const struct ib_target *target, size_t size, uint64_t offset)
{
    if (offset <= target->size_bytes && size <= target->size_bytes - offset)
        return false;
    errno = ERANGE;
    return true;
}

int ib_target_write(struct ib_target *target, const void *data, size_t size, uint64_t offset)
{
    if (is_outside(target, size, offset))
        return -1;
    if (goes_direct(target, data, size, offset)) {
        if (ib_pwrite_full(target->direct_fd, data, size, offset) == 0)
            return 0;
        if (errno != EINVAL) /* else the device does not take direct I/O, whatever it said */
            return -1;
        atomic_store(&target->direct, false);
    }
    return ib_pwrite_full(target->fd, data, size, offset);
}

/* Cached pages are the medium's bytes only after they were written and forgotten. */
static int drop_cached(const struct ib_target *target, size_t size, uint64_t offset)
{
    if (sync_file_range(target->fd, (off_t)offset, (off_t)size,
                        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                            SYNC_FILE_RANGE_WAIT_AFTER) < 0 &&
        errno != ESPIPE && errno != EINVAL)
        return -1;
    errno = posix_fadvise(target->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
    return errno ? -1 : 0;
}

int ib_target_read(struct ib_target *target, void *data, size_t size, uint64_t offset)
{
    if (is_outside(target, size, offset))
        return -1;
    if (goes_direct(target, data, size, offset)) {
        if (ib_pread_full(target->direct_fd, data, size, offset) == 0)
            return 0;
        if (errno != EINVAL)
            return -1;
        atomic_store(&target->direct, false);
    }
    if (drop_cached(target, size, offset) < 0)
        return -1;
    return ib_pread_full(target->fd, data, size, offset);
}
