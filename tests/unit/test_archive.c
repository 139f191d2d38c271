/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "io/archive.h"
#include "tar_by_hand.h"

Test(archive, keeps_what_a_root_holds)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf tar = {0}, records = {0};
    _cleanup_(ib_closep) int spool = spool_file();
    char deep[1001];

    cr_assert_eq(write(spool, "before", 6), 6);
    put_entry(&tar, '5', "./", "");
    put_entry(&tar, '0', "./etc/a", "content");
    put_entry(&tar, '1', "b", "./etc/a");
    put_entry(&tar, '2', "link", "../..//x");
    put_entry(&tar, '1', "hard-link-to-link", "link");
    put_entry(&tar, '3', "dev/null", "");
    put_entry(&tar, '6', "fifo", "");
    for (size_t i = 0; i < 1000; i++)
        deep[i] = i % 100 == 50 ? '/' : 'd';
    deep[1000] = 0;
    add_record(&records, "path", deep, 1000);
    add_record(&records, "mtime", "-5.5", 4);
    add_record(&records, "uid", "4294967294", 10);
    put_records(&tar, &records);
    put_entry(&tar, '0', "short", "deep");
    put_end(&tar);
    lay(tree, spool, &tar, 0);

    assert_content(tree, "etc/a", "content");
    assert_content(tree, deep, "deep");
    const struct ib_inode *a = ib_tree_find(tree, "etc/a")->inode;
    cr_assert(a->nlink == 2 && a == ib_tree_find(tree, "b")->inode);
    cr_assert(a->uid == 7 && a->gid == 8 && a->mtime_s == 1700000000 && a->mode == 0100644);
    cr_assert_str_eq(ib_tree_find(tree, "link")->inode->target, "../..//x");
    cr_assert_eq(ib_tree_find(tree, "link")->inode->nlink, 2);
    const struct ib_inode *null = ib_tree_find(tree, "dev/null")->inode;
    cr_assert(S_ISCHR(null->mode) && null->rdev_major == 1 && null->rdev_minor == 3);
    cr_assert(S_ISFIFO(ib_tree_find(tree, "fifo")->inode->mode));
    cr_assert_eq(ib_tree_find(tree, deep)->inode->uid, 4294967294U);
    cr_assert_lt(ib_tree_find(tree, deep)->inode->mtime_s, 0);
    cr_assert_eq(ib_tree_root(tree)->inode->uid, 7);
    ib_tree_free(tree);
}

Test(archive, names_keep_their_bytes)
{
    static const char *const names[] = {"nfd-e\xcc\x81", "nfc-\xc3\xa9", "latin1-\xe9", "\xff\xfe"};
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf tar = {0};
    _cleanup_(ib_closep) int spool = spool_file();

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        put_record(&tar, "path", names[i], strlen(names[i]));
        put_entry(&tar, '0', "x", names[i]);
        put_record(&tar, "linkpath", names[i], strlen(names[i]));
        put_entry(&tar, '1', (char[]){'h', (char)('0' + i), 0}, "x");
    }
    put_entry(&tar, '0', "raw-\xe9", "raw");
    put_end(&tar);
    lay(tree, spool, &tar, 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++)
        assert_content(tree, names[i], names[i]);
    assert_content(tree, "raw-\xe9", "raw");
    assert_content(tree, "h0", names[0]);
    ib_tree_free(tree);
}

static void assert_xattr(const struct ib_tree *tree, const char *path, const char *name,
                         const void *value, size_t size)
{
    const struct ib_xattr *x = ib_inode_get_xattr(ib_tree_find(tree, path)->inode, name);

    cr_assert(x, "%s has no %s", path, name);
    cr_assert(x->size == size && memcmp(x->value, value, size) == 0, "%s of %s", name, path);
}

Test(archive, xattrs_acls_and_labels)
{
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, '=', '\n'};
    static const char label[] = "system_u:object_r:etc_t:s0"; /* with its NUL */
    static const char acl[] = "user::rwx,group::r--,group:wheel:r-x,user:lp:rwx:1234,user:7:-wx,"
                              "mask::rwx,other::---";
    static const unsigned char acl_bytes[] = {
        2, 0, 0,    0,    1,    0,    7,    0,  0xff, 0xff, 0xff, 0xff, 2,    0,    3,
        0, 7, 0,    0,    0,    2,    0,    7,  0,    0xd2, 4,    0,    0,    4,    0,
        4, 0, 0xff, 0xff, 0xff, 0xff, 8,    0,  5,    0,    10,   0,    0,    0,    16,
        0, 7, 0,    0xff, 0xff, 0xff, 0xff, 32, 0,    0,    0,    0xff, 0xff, 0xff, 0xff,
    };
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf tar = {0}, records = {0};
    _cleanup_(ib_closep) int spool = spool_file();

    put_entry(&tar, '0', "etc/group", "root:x:0:\nwheel:x:10:\n");
    add_record(&records, "SCHILY.xattr.security.capability", capability, sizeof(capability));
    add_record(&records, "SCHILY.xattr.user.a%3Db%25", "x", 1);
    add_record(&records, "SCHILY.xattr.user.empty", "", 0);
    add_record(&records, "RHT.security.selinux", label, strlen(label));
    add_record(&records, "SCHILY.fflags", "immutable", 9);
    add_record(&records, "SCHILY.acl.access", acl, strlen(acl));
    put_records(&tar, &records);
    put_entry(&tar, '0', "a", "x");
    add_record(&records, "SCHILY.acl.default", acl, strlen(acl));
    add_record(&records, "SCHILY.xattr.security.selinux", label, sizeof(label));
    put_records(&tar, &records);
    put_entry(&tar, '5', "d", "");
    add_record(&records, "SCHILY.acl.access", acl, strlen(acl));
    add_record(&records, "SCHILY.xattr.system.posix_acl_access", "raw", 3);
    put_records(&tar, &records);
    put_entry(&tar, '0', "both", "");
    put_end(&tar);
    lay(tree, spool, &tar, 0);

    assert_xattr(tree, "a", "security.capability", capability, sizeof(capability));
    assert_xattr(tree, "a", "user.a=b%", "x", 1);
    assert_xattr(tree, "a", "user.empty", "", 0);
    assert_xattr(tree, "a", "security.selinux", label, sizeof(label));
    assert_xattr(tree, "d", "security.selinux", label, sizeof(label));
    assert_xattr(tree, "a", "system.posix_acl_access", acl_bytes, sizeof(acl_bytes));
    assert_xattr(tree, "d", "system.posix_acl_default", acl_bytes, sizeof(acl_bytes));
    assert_xattr(tree, "both", "system.posix_acl_access", "raw", 3);
    cr_assert_eq(ib_tree_find(tree, "a")->inode->xattr_count, 5);
    cr_assert_eq(ib_tree_find(tree, "a")->inode->mode, 0100770); /* the group's part is the mask */
    cr_assert_eq(ib_tree_find(tree, "d")->inode->mode, 040755U);
    ib_tree_free(tree);
}

Test(archive, later_entries_win_and_older_links_are_followed)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf tar = {0};
    _cleanup_(ib_closep) int spool = spool_file();

    put_entry(&tar, '0', "a", "first");
    put_entry(&tar, '0', "a", "second");
    put_entry(&tar, '2', "lib", "usr/lib");
    put_entry(&tar, '2', "abs", "/usr");
    put_entry(&tar, '5', "usr/lib", "");
    put_end(&tar);
    lay(tree, spool, &tar, 0);
    assert_content(tree, "a", "second");
    put_entry(&tar, '0', "lib/x", "through");
    put_entry(&tar, '1', "y", "abs/lib/x");
    put_entry(&tar, '2', "a", "other type: the tree's own may be replaced");
    put_end(&tar);
    lay(tree, spool, &tar, 0);
    assert_content(tree, "usr/lib/x", "through");
    assert_content(tree, "y", "through");
    put_end(&tar); /* an empty archive is one */
    lay(tree, spool, &tar, 0);
    ib_tree_free(tree);
}

Test(archive, whiteouts)
{
    static const char *const gone[] = {"gone",     "dir/gone", "opaque/old", "opaque/both/old",
                                       "late/old", ".wh.gone", "remade/old"};
    static const char *const there[] = {
        "kept",     "dir/kept",   "opaque/new",        "opaque/both/new",
        "late/new", "remade/new", ".wh.plain-in-lower"};
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf tar = {0};
    _cleanup_(ib_closep) int spool = spool_file();

    put_entry(&tar, '0', "gone/below", "x");
    put_entry(&tar, '0', "kept", "x");
    put_entry(&tar, '0', "dir/gone", "x");
    put_entry(&tar, '0', "dir/kept", "x");
    put_entry(&tar, '0', "opaque/old", "x");
    put_entry(&tar, '0', "opaque/both/old", "x");
    put_entry(&tar, '0', "late/old", "x");
    put_entry(&tar, '0', "remade/old", "x");
    put_entry(&tar, '0', ".wh.plain-in-lower", "x"); /* without the flag: a name like any other */
    put_end(&tar);
    lay(tree, spool, &tar, 0);

    put_entry(&tar, '0', "/.wh.gone", "");
    put_entry(&tar, '0', "./dir/.wh.gone", "");
    put_entry(&tar, '0', "dir/.wh.never-was", "");
    put_entry(&tar, '0', "no/such/dir/.wh.x", "");
    put_entry(&tar, '0', ".wh.", "");
    put_entry(&tar, '0', ".wh...", "");
    put_entry(&tar, '0', ".wh..wh.plnk", "");
    put_entry(&tar, '0', "opaque/.wh..wh..opq", "");
    put_entry(&tar, '0', "opaque/new", "x");
    put_entry(&tar, '0', "opaque/both/new", "x");
    put_entry(&tar, '5', "late", "");
    put_entry(&tar, '0', "late/new", "x");
    put_entry(&tar, '0', "late/.wh..wh..opq", "");
    put_entry(&tar, '0', "late/.wh.new", ""); /* hides only what lower layers brought */
    put_entry(&tar, '0', ".wh.remade", "");
    put_entry(&tar, '0', "remade/new", "x");
    put_end(&tar);
    lay(tree, spool, &tar, IB_ARCHIVE_WHITEOUTS);
    for (size_t i = 0; i < IB_ARRAY_SIZE(gone); i++)
        cr_assert_null(ib_tree_find(tree, gone[i]), "%s", gone[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(there); i++)
        cr_assert(ib_tree_find(tree, there[i]), "%s", there[i]);
    ib_tree_free(tree);
}

static ssize_t fail_read(void *userdata, void *data, size_t size, struct ib_error **err)
{
    (void)userdata, (void)data, (void)size;
    return ib_failf(err, IB_E_NETWORK, "the line is dead");
}

Test(archive, errors_from_below_stay_themselves)
{
    static const volatile sig_atomic_t cancel = 1;
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;
    _cleanup_(ib_closep) int spool = spool_file();

    cr_assert_eq(
        ib_archive_read_stream(tree, fail_read, NULL, "a.tar", spool, 0, 0, NULL, NULL, NULL, &err),
        -1);
    cr_assert_eq(ib_error_code(err), IB_E_NETWORK);
    ib_error_clear(&err);
    cr_assert_eq(ib_archive_read_stream(tree, fail_read, NULL, "a.tar", spool, 0, 0, NULL, progress,
                                        NULL, &err),
                 -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
    cr_assert_eq(ib_archive_read_stream(tree, fail_read, NULL, "a.tar", spool, 0, 0, NULL, progress,
                                        NULL, NULL),
                 -1);
    ib_progress_free(progress);
    ib_tree_free(tree);
}

/* Other programs' archives */

static void run(const char *const *argv)
{
    struct ib_error *err = NULL;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", ib_error_text(err));
}

static void read_path(struct ib_tree *tree, const char *path)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_closep) int fd = ib_open_read(path, NULL), spool = spool_file();

    cr_assert_eq(ib_archive_read(tree, fd, path, spool, IB_LAYER_BASE, 0, NULL, NULL, NULL, &err),
                 0, "%s", ib_error_text(err));
}

Test(archive, gnu_tar_in_every_compression)
{
    static const char *const programs[] = {"", "gzip", "bzip2", "xz", "lzma", "zstd", "lz4"};
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    char *root = ib_path_join(dir, "root"), *sub = ib_path_join(root, "sub");
    char *sparse = ib_path_join(root, "sparse"), *file = ib_path_join(sub, "file");
    char *tar = ib_path_join(dir, "a.tar");

    cr_assert_eq(ib_mkdir_p(sub, NULL), 0);
    int fd = open(sparse, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 1 << 24), 0);
    cr_assert_eq(pwrite(fd, "in the middle", 13, 1 << 23), 13);
    close(fd);
    fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    cr_assert_eq(write(fd, "hello", 5), 5);
    bool xattrs = fsetxattr(fd, "user.note", "a\0b", 3, 0) == 0;
    close(fd);
    for (size_t i = 0; i < IB_ARRAY_SIZE(programs); i++) {
        char *program = *programs[i] ? ib_find_program(programs[i]) : ib_strdup("");
        if (!program)
            continue;
        run((const char *const[]){"tar", "--xattrs", "-S", "-cf", tar, "-C", root, ".",
                                  *program ? "-I" : NULL, program, NULL});
        struct ib_tree *tree = ib_tree_new();
        read_path(tree, tar);
        assert_content(tree, "sub/file", "hello");
        if (xattrs)
            assert_xattr(tree, "sub/file", "user.note", "a\0b", 3);
        const struct ib_inode *inode = ib_tree_find(tree, "sparse")->inode;
        char middle[15];
        cr_assert_eq(inode->size, 1 << 24);
        cr_assert_eq(ib_inode_read(inode, middle, 15, (1 << 23) - 1, NULL), 0);
        cr_assert_eq(memcmp(middle, "\0in the middle", 15), 0);
        ib_tree_free(tree);
        free(program);
    }
    free(root), free(sub), free(sparse), free(file), free(tar);
    ib_temp_dirp(&dir);
}

Test(archive, what_the_tree_saved_comes_back)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL), *path = ib_path_join(dir, "a.tar");
    struct ib_tree *tree = ib_tree_new(), *again = ib_tree_new();
    struct ib_sha256 first, second;
    char name[201];

    memset(name, 'n', 200);
    name[100] = '/';
    name[200] = 0;
    struct ib_node *n = ib_tree_add_file(tree, name, 0755, "x", 1, IB_LAYER_BASE, NULL);
    ib_inode_set_xattr(n->inode, "user.a=b", "\0\n", 2);
    n->inode->uid = 3000000;
    n->inode->mtime_s = -7;
    ib_tree_add_hardlink(tree, "z", n, IB_LAYER_BASE, NULL);
    ib_tree_add_symlink(tree, "l", "target", IB_LAYER_BASE, NULL);
    ib_tree_add_special(tree, "dev", S_IFBLK | 0600, 8, 1, IB_LAYER_BASE, NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert_eq(ib_tree_save(tree, fd, NULL, &first, NULL), 0);
    read_path(again, path);
    cr_assert_eq(ftruncate(fd, 0), 0);
    cr_assert_eq(ib_tree_save(again, fd, NULL, &second, NULL), 0);
    cr_assert(ib_sha256_equal(&first, &second));
    close(fd);
    ib_tree_free(tree), ib_tree_free(again);
    free(path);
    ib_temp_dirp(&dir);
}

static void set_xattr(const char *path, const char *name, const void *value, size_t size)
{
    cr_assert_eq(lsetxattr(path, name, value, size, 0), 0, "%s of %s", name, path);
}

static void assert_real_xattr(const char *path, const char *name, const void *value, size_t size)
{
    char real[256];

    cr_assert_eq(lgetxattr(path, name, real, sizeof(real)), (ssize_t)size, "%s of %s", name, path);
    cr_assert_eq(memcmp(real, value, size), 0, "%s of %s", name, path);
}

/* From a real file system through GNU tar into a tree, out as a tree archive, and back through tar.
 */
Test(archive, a_real_root_there_and_back)
{
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};
    static const unsigned char acl[] = {
        2, 0,    0,    0,    1,    0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   7,
        0, 0xd2, 4,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
        5, 0,    0xff, 0xff, 0xff, 0xff, 32, 0, 0,    0,    0xff, 0xff, 0xff, 0xff};
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    char *from = ib_path_join(dir, "from"), *to = ib_path_join(dir, "to");
    char *file = ib_path_join(from, "file"), *null = ib_path_join(from, "null");
    char *back = ib_path_join(to, "file"), *tar = ib_path_join(dir, "a.tar");
    struct ib_tree *tree = ib_tree_new();
    struct stat st;

    if (geteuid() != 0 || mkdir(from, 0700) < 0 || mkdir(to, 0700) < 0 ||
        mknod(null, S_IFCHR | 0666, makedev(1, 3)) < 0)
        cr_skip_test("needs the right to make devices");
    cr_assert_eq(ib_atomic_write(file, 0640, "hello", 5, NULL), 0);
    cr_assert_eq(lchown(file, 1234, 5678), 0);
    set_xattr(file, "security.capability", capability, sizeof(capability));
    set_xattr(file, "system.posix_acl_access", acl, sizeof(acl));
    run((const char *const[]){"tar", "--format=posix", "--numeric-owner", "--acls", "--xattrs",
                              "--xattrs-include=*", "-cf", tar, "-C", from, ".", NULL});
    read_path(tree, tar);
    assert_xattr(tree, "file", "security.capability", capability, sizeof(capability));
    assert_xattr(tree, "file", "system.posix_acl_access", acl, sizeof(acl));
    cr_assert_eq(lstat(file, &st), 0);
    cr_assert_eq(ib_tree_find(tree, "file")->inode->mode, st.st_mode);

    int fd = open(tar, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(ib_tree_save(tree, fd, NULL, NULL, NULL), 0);
    close(fd);
    run((const char *const[]){"tar", "--xattrs", "--xattrs-include=*", "-xpf", tar, "-C", to,
                              NULL});
    assert_real_xattr(back, "security.capability", capability, sizeof(capability));
    assert_real_xattr(back, "system.posix_acl_access", acl, sizeof(acl));
    cr_assert(lstat(back, &st) == 0 && st.st_uid == 1234 && st.st_gid == 5678);
    free(null), null = ib_path_join(to, "null");
    cr_assert(lstat(null, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
    ib_tree_free(tree);
    free(from), free(to), free(file), free(null), free(back), free(tar);
    ib_temp_dirp(&dir);
}
