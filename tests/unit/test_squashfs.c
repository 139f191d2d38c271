/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/rootfs.h"
#include "image/squashfs.h"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(squashfs, .init = make_dir, .fini = remove_dir);

/* A root of every type, written behind 4096 other bytes, as in a disk image. */
enum { START = 4096, BIG = 3000000 };

static int write_image(uint64_t *ret_size)
{
    struct ib_tree *tree = ib_tree_new();
    uint8_t *big = ib_malloc(BIG);
    struct ib_rootfs_info info;
    struct ib_error *err = NULL;

    for (size_t i = 0; i < BIG; i++)
        big[i] = (uint8_t)(i * i >> 7);
    struct ib_node *sh = ib_tree_add_file(tree, "usr/bin/sh", 04755, big, BIG, 0, NULL);
    ib_inode_set_xattr(sh->inode, "security.selinux", "system_u:object_r:shell_exec_t:s0", 34);
    ib_inode_set_xattr(sh->inode, "user.note", "x", 1);
    sh->inode->uid = 1000;
    cr_assert_not_null(ib_tree_add_hardlink(tree, "usr/bin/bash", sh, 0, NULL));
    cr_assert_not_null(ib_tree_add_symlink(tree, "bin", "usr/bin", 0, NULL));
    cr_assert_not_null(ib_tree_add_special(tree, "dev/sda", S_IFBLK | 0660, 8, 300, 0, NULL));
    cr_assert_not_null(ib_tree_add_file(tree, "etc/hostname", 0644, "odin\n", 5, 0, NULL));
    int plain = ib_temp_file(dir, NULL), fd = ib_temp_file(dir, NULL);
    const struct ib_rootfs_options options = {.epoch_s = 1700000000};
    cr_assert_eq(ib_rootfs_write(tree, plain, &options, &info, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(lseek(fd, START, SEEK_SET), START);
    cr_assert_eq(ib_copy_range(plain, 0, fd, info.size), 0);
    *ret_size = info.size;
    close(plain), free(big), ib_tree_free(tree);
    return fd;
}

static const struct ib_squashfs_entry *find(const struct ib_squashfs *fs, const char *path)
{
    size_t count;
    const struct ib_squashfs_entry *e = ib_squashfs_entries(fs, &count);

    for (size_t i = 0; i < count; i++)
        if (ib_streq(e[i].path, path))
            return &e[i];
    return NULL;
}

Test(squashfs, what_was_written_is_listed_and_read)
{
    struct ib_error *err = NULL;
    uint64_t size;
    size_t count;
    int fd = write_image(&size);
    uint8_t *data = ib_malloc(BIG);

    struct ib_squashfs *fs = ib_squashfs_open(fd, START, size, "root", &err);
    cr_assert_not_null(fs, "%s", ib_error_text(err));
    const struct ib_squashfs_entry *e = ib_squashfs_entries(fs, &count);
    static const char *const paths[] = {
        "",    "bin",     "dev",          "dev/sda",   "etc", "etc/hostname",
        "usr", "usr/bin", "usr/bin/bash", "usr/bin/sh"};
    cr_assert_eq(count, IB_ARRAY_SIZE(paths));
    for (size_t i = 0; i < count; i++)
        cr_assert_str_eq(e[i].path, paths[i]);
    const struct ib_squashfs_entry *sh = find(fs, "usr/bin/sh"), *bash = find(fs, "usr/bin/bash");
    cr_assert(sh->mode == (S_IFREG | 04755) && sh->uid == 1000 && sh->size == BIG);
    cr_assert(sh->xattr_count == 2 && ib_sha256_equal(&sh->xattrs, &bash->xattrs));
    cr_assert_eq(sh->mtime_s, 1700000000);
    cr_assert_str_eq(find(fs, "bin")->target, "usr/bin");
    cr_assert(find(fs, "dev/sda")->rdev_major == 8 && find(fs, "dev/sda")->rdev_minor == 300);
    cr_assert(S_ISDIR(find(fs, "usr")->mode) && S_ISBLK(find(fs, "dev/sda")->mode));

    cr_assert_eq(ib_squashfs_read(fs, sh, data, BIG, 0, &err), 0);
    for (size_t i = 0; i < BIG; i++)
        cr_assert_eq(data[i], (uint8_t)(i * i >> 7));
    cr_assert_eq(ib_squashfs_read(fs, find(fs, "etc/hostname"), data, 5, 0, &err), 0);
    cr_assert_eq(memcmp(data, "odin\n", 5), 0);
    cr_assert_eq(ib_squashfs_read(fs, find(fs, "etc/hostname"), data, 6, 0, &err), -1);
    ib_error_clear(&err);
    ib_squashfs_free(fs), free(data), close(fd);
}

Test(squashfs, damage_is_an_error)
{
    uint64_t size;
    int fd = write_image(&size);
    struct ib_error *err = NULL;

    cr_assert_null(ib_squashfs_open(fd, 0, size, "root", &err)); /* zeros, not a super block */
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    for (uint64_t cut = 1; cut < size; cut = cut * 2 + 4096) {
        struct ib_squashfs *fs = ib_squashfs_open(fd, START, size - cut, "root", &err);
        ib_squashfs_free(fs); /* padding may be missing: not every cut is damage */
        ib_error_clear(&err);
    }
    cr_assert_null(ib_squashfs_open(fd, START, size / 2, "root", &err));
    ib_error_clear(&err);
    close(fd);
}
