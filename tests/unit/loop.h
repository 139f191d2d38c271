/* SPDX-License-Identifier: Apache-2.0 */
/* A real block device for a test: a loop device over a file in a fresh directory. It goes away with
 * the process, however that ends. Tests skip with a reason where there are none. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"

struct loop {
    char *dir;  /* scratch */
    char *file; /* under the device */
    char path[32], name[16];
    int fd; /* holds the device: it is detached when the last one closes it */
};

static inline const char *loop_attach(struct loop *loop, const char *file, uint32_t block_size,
                                      uint32_t flags)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int file_fd = open(file, (flags & LO_FLAGS_READ_ONLY ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    struct loop_config config = {
        .fd = (uint32_t)file_fd,
        .block_size = block_size,
        .info.lo_flags = LO_FLAGS_AUTOCLEAR | flags,
    };

    loop->fd = -1;
    for (int tries = 0; control >= 0 && tries < 50 && loop->fd < 0; tries++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(loop->name, sizeof(loop->name), "loop%d", number);
        snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", number);
        loop->fd = number < 0 ? -1 : open(loop->path, O_RDWR | O_CLOEXEC);
        if (loop->fd >= 0 && ioctl(loop->fd, LOOP_CONFIGURE, &config) < 0) {
            close(loop->fd); /* somebody else was faster */
            loop->fd = -1;
        }
    }
    if (control >= 0)
        close(control);
    close(file_fd);
    return loop->fd < 0 ? "no loop devices here" : NULL;
}

/* A device of `size` bytes that are all `fill`. NULL, or why the test is to be skipped. */
static inline const char *loop_new(struct loop *loop, uint64_t size, int fill, uint32_t block_size,
                                   uint32_t flags)
{
    unsigned char chunk[65536];

    *loop = (struct loop){.fd = -1};
    if (geteuid() != 0)
        return "needs root, for loop devices";
    loop->dir = ib_make_temp_dir("/tmp", "ib-loop", NULL);
    loop->file = ib_path_join(loop->dir, "disk.raw");
    int fd = open(loop->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    memset(chunk, fill, sizeof(chunk));
    for (uint64_t at = 0; fill && at < size; at += sizeof(chunk))
        cr_assert_eq(ib_pwrite_full(fd, chunk, IB_MIN(sizeof(chunk), size - at), at), 0);
    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
    return loop_attach(loop, loop->file, block_size, flags);
}

static inline void loop_clear(struct loop *loop)
{
    if (loop->fd >= 0)
        close(loop->fd);
    free(loop->file);
    ib_temp_dirp(&loop->dir);
}

/* What is in the file, as a hash: the proof that not one byte changed. */
static inline void loop_hash(const struct loop *loop, char ret[static 65])
{
    _cleanup_(ib_buf_clear) struct ib_buf data = {0};
    struct ib_sha256 hash;

    if (loop->fd >= 0)
        fsync(loop->fd);
    cr_assert_eq(ib_read_file(loop->file, IB_GIB, &data, NULL), 0);
    ib_sha256(data.data, data.size, &hash);
    ib_sha256_hex(&hash, ret);
}
