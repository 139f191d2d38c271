/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"

/* Not in the kernel's exported headers: fs/ext4/ext4.h. Argument: the new size in blocks. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

void ib_disk_clear(struct ib_disk *disk)
{
    free(disk->sysfs);
    free(disk->path);
    *disk = (struct ib_disk){0};
}

/* sysfs writes the slash of names like "cciss/c0d0" as '!'. */
static char *device_path(const char *sysfs_name)
{
    char *path = ib_asprintf("/dev/%s", sysfs_name);

    for (char *c = strchr(path, '!'); c; c = strchr(c, '!'))
        *c = '/';
    return path;
}

/* Names in a directory, without dot files, sorted. */
static int list(const char *path, struct ib_strv *ret, struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(path);

    if (!dir)
        return ib_fail(err, IB_E_IO, errno, path, "open directory");
    for (struct dirent *d; (errno = 0, d = readdir(dir));)
        if (d->d_name[0] != '.')
            ib_strv_add(ret, d->d_name);
    if (errno)
        return ib_fail(err, IB_E_IO, errno, path, "read directory");
    ib_strv_sort(ret);
    return 0;
}

static bool is_partition(const char *sysfs)
{
    _cleanup_(ib_freep) char *number = ib_path_join(sysfs, "partition");

    return ib_path_exists(number);
}

/* The sysfs directory of the disk that the slave, a partition, is on. */
static char *disk_of_slave(const char *slaves, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *link = ib_path_join(slaves, name);
    _cleanup_(ib_freep) char *real = realpath(link, NULL);

    if (!real) {
        ib_fail(err, IB_E_IO, errno, link, "resolve");
        return NULL;
    }
    if (!is_partition(real)) {
        ib_failf(err, IB_E_INVALID, "the root lies on '%s', which is not a partition", name);
        return NULL;
    }
    return ib_path_dir(real);
}

int ib_disk_find(const char *mapping, const char *sysfs, struct ib_disk *ret, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};
    _cleanup_(ib_freep) char *real = realpath(mapping, NULL);
    _cleanup_(ib_freep) char *disk = NULL;

    if (!real)
        return ib_fail(err, IB_E_IO, errno, mapping, "find the device");
    _cleanup_(ib_freep) char *slaves =
        ib_asprintf("%s/class/block/%s/slaves", sysfs, ib_path_base(real));
    if (list(slaves, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *other = disk_of_slave(slaves, names.items[i], err);
        if (!other)
            return -1;
        if (disk && !ib_streq(disk, other))
            return ib_failf(err, IB_E_INVALID, "root and its hashes lie on two disks, %s and %s",
                            ib_path_base(disk), ib_path_base(other));
        if (!disk)
            disk = ib_steal(&other);
    }
    if (!disk)
        return ib_failf(err, IB_E_INVALID, "'%s' lies on no device", mapping);
    *ret = (struct ib_disk){.path = device_path(ib_path_base(disk)), .sysfs = disk};
    disk = NULL;
    return 0;
}

int ib_disk_partitions(const struct ib_disk *disk, struct ib_strv *ret, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (list(disk->sysfs, &names, err) < 0)
        return -1;
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *sysfs = ib_path_join(disk->sysfs, names.items[i]);
        if (is_partition(sysfs))
            ib_strv_take(ret, device_path(names.items[i]));
    }
    return 0;
}

/* blkid fails on a partition whose content it cannot name; such a one is not ours. */
static int read_type(const char *device, struct ib_buf *ret, struct ib_error **err)
{
    const char *const argv[] = {"blkid",           "-p",   "-o", "value", "-s",
                                "PART_ENTRY_TYPE", device, NULL};
    int status = 0;

    ib_buf_clear(ret);
    if (ib_run(&(struct ib_run){.argv = argv, .out = ret, .ret_status = &status}, err) < 0)
        return -1;
    if (ret->size && ret->data[ret->size - 1] == '\n')
        ret->data[--ret->size] = 0;
    return 0;
}

char *ib_disk_find_type(const struct ib_disk *disk, const char *type, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv devices = {0};
    _cleanup_(ib_buf_clear) struct ib_buf found = {0};
    _cleanup_(ib_freep) char *device = NULL;

    if (ib_disk_partitions(disk, &devices, err) < 0)
        return NULL;
    for (size_t i = 0; i < devices.count; i++) {
        if (read_type(devices.items[i], &found, err) < 0)
            return NULL;
        if (!found.size || !ib_streq((const char *)found.data, type))
            continue;
        if (device) {
            ib_failf(err, IB_E_INVALID, "%s and %s both have the GPT type %s", device,
                     devices.items[i], type);
            ib_hint(err, "remove the one that is not this machine's");
            return NULL;
        }
        device = ib_strdup(devices.items[i]);
    }
    if (!device)
        ib_failf(err, IB_E_NOT_FOUND, "no partition of %s has the GPT type %s", disk->path, type);
    return ib_steal(&device);
}

int ib_disk_repart(const struct ib_disk *disk, const char *definitions, const char *root,
                   struct ib_error **err)
{
    _cleanup_(ib_freep) char *definitions_option = ib_asprintf("--definitions=%s", definitions);
    _cleanup_(ib_freep) char *root_option = ib_asprintf("--root=%s", root);
    const char *const argv[] = {"systemd-repart", definitions_option, root_option,
                                "--dry-run=no",   "--seed=random",    "--discard=no",
                                "--no-pager",     disk->path,         NULL};
    const char *const settle[] = {"udevadm", "settle", "--timeout=30", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf table = {0};

    if (ib_run(&(struct ib_run){.argv = argv, .out = &table}, err) < 0) {
        ib_hint(err, "is the disk large enough for both slots, var and Ceph? See storage: in the "
                     "recipe");
        return ib_wrap(err, disk->path, "partition the disk");
    }
    if (ib_run(&(struct ib_run){.argv = settle}, err) < 0)
        return ib_wrap(err, disk->path, "wait for the partitions of");
    return 0;
}

enum ib_fsck ib_fsck_verdict(int status)
{
    if (status >= 4)
        return IB_FSCK_FAILED;
    return status & 2 ? IB_FSCK_REBOOT : IB_FSCK_OK;
}

int ib_fsck_run(const char *device, bool repair_all, enum ib_fsck *ret, struct ib_error **err)
{
    const char *const argv[] = {"e2fsck", repair_all ? "-y" : "-p", device, NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    int status = 0;

    if (ib_run(&(struct ib_run){.argv = argv, .out = &out, .ret_status = &status}, err) < 0)
        return ib_wrap(err, device, "check");
    *ret = ib_fsck_verdict(status);
    if (*ret != IB_FSCK_FAILED)
        return 0;
    ib_failf(err, IB_E_CHILD, "e2fsck ended with exit status %d: %s", status,
             out.size ? (const char *)out.data : "it printed no reason");
    if (!repair_all)
        ib_hint(err, "start once with fsck.repair=yes on the kernel's command line, which repairs "
                     "at the price of what is damaged");
    return ib_wrap(err, device, "check");
}

int ib_ext4_grow(const char *device, const char *mount_point, struct ib_error **err)
{
    _cleanup_(ib_closep) int device_fd = ib_open_read(device, err);
    _cleanup_(ib_closep) int fd = device_fd < 0 ? -1 : ib_open_read(mount_point, err);
    uint64_t size = 0;
    struct statfs fs;

    if (device_fd < 0 || fd < 0)
        return -1;
    if (ioctl(device_fd, BLKGETSIZE64, &size) < 0 || fstatfs(fd, &fs) < 0)
        return ib_fail(err, IB_E_IO, errno, device, "read the size of");
    uint64_t blocks = size / (uint64_t)fs.f_bsize;
    if (ioctl(fd, EXT4_IOC_RESIZE_FS, &blocks) < 0)
        return ib_fail(err, IB_E_IO, errno, mount_point, "grow the file system on");
    return 0;
}
