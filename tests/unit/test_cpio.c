/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image/cpio.h"

static struct ib_tree *make_tree(void)
{
    struct ib_tree *tree = ib_tree_new();

    struct ib_node *hosts =
        ib_tree_add_file(tree, "etc/hostname", 0644, "odin\n", 5, IB_LAYER_OVERLAYS, NULL);
    cr_assert_not_null(hosts);
    cr_assert_not_null(
        ib_tree_add_file(tree, "etc/secret", 0600, "abc", 3, IB_LAYER_OVERLAYS, NULL));
    cr_assert_not_null(ib_tree_add_symlink(tree, "etc/localtime", "../usr/share/zoneinfo/UTC",
                                           IB_LAYER_OVERLAYS, NULL));
    cr_assert_not_null(ib_tree_add_hardlink(tree, "etc/name", hosts, IB_LAYER_OVERLAYS, NULL));
    cr_assert_not_null(
        ib_tree_add_special(tree, "dev/null", S_IFCHR | 0666, 1, 3, IB_LAYER_OVERLAYS, NULL));
    hosts->inode->uid = 7;
    return tree;
}

/* GNU cpio lists what we wrote, in our order. */
Test(cpio, gnu_cpio_reads_it)
{
    struct ib_error *err = NULL;
    struct ib_tree *tree = make_tree();
    struct ib_buf archive = {0}, out = {0};
    char *cpio = ib_find_program("cpio"), *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);

    if (!cpio)
        cr_skip_test("cpio is not installed");
    char *path = ib_path_join(dir, "a.cpio");
    cr_assert_eq(ib_cpio_write(tree, 1000000000, &archive, &err), 0);
    cr_assert_eq(archive.size % 4, 0);
    cr_assert_eq(ib_atomic_write(path, 0600, archive.data, archive.size, &err), 0);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *const argv[] = {"cpio", "-itvn", "--quiet", NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .stdin_fd = fd, .out = &out}, &err), 0);
    cr_assert_str_eq((char *)out.data,
                     "drwxr-xr-x   2 0        0               0 Sep  9  2001 dev\n"
                     "crw-rw-rw-   1 0        0          1,   3 Sep  9  2001 dev/null\n"
                     "drwxr-xr-x   2 0        0               0 Sep  9  2001 etc\n"
                     "-rw-r--r--   2 7        0               0 Sep  9  2001 etc/hostname\n"
                     "lrwxrwxrwx   1 0        0              25 Sep  9  2001 etc/localtime -> "
                     "../usr/share/zoneinfo/UTC\n"
                     "-rw-r--r--   2 7        0               5 Sep  9  2001 etc/name\n"
                     "-rw-------   1 0        0               3 Sep  9  2001 etc/secret\n",
                     "%s", (char *)out.data);
    close(fd), ib_tree_free(tree), ib_buf_clear(&archive), ib_buf_clear(&out);
    free(path), free(cpio), ib_temp_dirp(&dir);
}

Test(cpio, reads_back_what_it_wrote)
{
    struct ib_error *err = NULL;
    struct ib_tree *tree = make_tree(), *again = ib_tree_new();
    struct ib_buf a = {0}, b = {0}, text = {0};

    cr_assert_eq(ib_cpio_write(tree, 5, &a, &err), 0);
    cr_assert_eq(ib_cpio_read(a.data, a.size, "a", again, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_cpio_write(again, 5, &b, &err), 0);
    cr_assert(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    cr_assert_eq(ib_tree_read_file(again, "etc/hostname", 100, &text, &err), 0);
    cr_assert_str_eq((char *)text.data, "odin\n");
    cr_assert_eq(ib_tree_find(again, "etc/name")->inode,
                 ib_tree_find(again, "etc/hostname")->inode);
    ib_tree_free(tree), ib_tree_free(again);
    ib_buf_clear(&a), ib_buf_clear(&b), ib_buf_clear(&text);
}

Test(cpio, the_last_archive_is_found_behind_others)
{
    struct ib_tree *tree = make_tree();
    struct ib_buf initrd = {0};
    size_t offset = 0;

    cr_assert_eq(ib_cpio_write(tree, 5, &initrd, NULL), 0);
    ib_buf_append(&initrd, "\x28\xb5\x2f\xfd compressed..", 16);
    cr_assert_not(ib_cpio_find_last(initrd.data, initrd.size, &offset));
    size_t begin = initrd.size;
    cr_assert_eq(ib_cpio_write(tree, 5, &initrd, NULL), 0);
    cr_assert(ib_cpio_find_last(initrd.data, initrd.size, &offset));
    cr_assert_eq(offset, begin);
    ib_tree_free(tree), ib_buf_clear(&initrd);
}

Test(cpio, every_truncation_and_wrong_digit_is_refused)
{
    struct ib_tree *tree = make_tree();
    struct ib_buf a = {0};

    cr_assert_eq(ib_cpio_write(tree, 5, &a, NULL), 0);
    for (size_t size = 0; size < a.size - 3; size++) {
        struct ib_tree *again = ib_tree_new();
        unsigned char *exact = ib_memdup(a.data, size); /* so that a sanitizer sees the end */
        cr_assert_eq(ib_cpio_read(exact, size, "a", again, NULL), -1, "%zu bytes", size);
        ib_tree_free(again), free(exact);
    }
    for (size_t i = 0; i < 110; i++) {
        struct ib_tree *again = ib_tree_new();
        unsigned char before = a.data[i];
        a.data[i] = 'g';
        cr_assert_eq(ib_cpio_read(a.data, a.size, "a", again, NULL), -1, "digit %zu", i);
        a.data[i] = before;
        ib_tree_free(again);
    }
    ib_tree_free(tree), ib_buf_clear(&a);
}
