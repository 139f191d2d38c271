/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/archive.h"

/* Archives are made by hand here: no tool would make what these tests need ----------------------
 */

static void put_number(char *header, size_t offset, size_t size, uint64_t value)
{
    snprintf(header + offset, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static void seal(char header[static 512])
{
    unsigned sum = 0;

    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

static void put_padded(struct ib_buf *tar, const void *data, size_t size)
{
    ib_buf_append(tar, data, size);
    ib_buf_append_zeros(tar, -size & 511);
}

static void put_header(struct ib_buf *tar, char type, const char *name, const char *link,
                       uint64_t size)
{
    char header[512] = {0};

    memcpy(header, name, IB_MIN(strlen(name), (size_t)100));
    put_number(header, 100, 8, type == '5' ? 0755 : 0644);
    put_number(header, 108, 8, 7);
    put_number(header, 116, 8, 8);
    put_number(header, 124, 12, size);
    put_number(header, 136, 12, 1700000000);
    header[156] = type;
    memcpy(header + 157, link, IB_MIN(strlen(link), (size_t)100));
    memcpy(header + 257, "ustar\00000", 8);
    put_number(header, 329, 8, 1);
    put_number(header, 337, 8, 3);
    seal(header);
    ib_buf_append(tar, header, 512);
}

static void put_entry(struct ib_buf *tar, char type, const char *name, const char *content)
{
    bool file = type == '0';

    put_header(tar, type, name, file ? "" : content, file ? strlen(content) : 0);
    if (file)
        put_padded(tar, content, strlen(content));
}

static void add_record(struct ib_buf *records, const char *key, const void *value, size_t size)
{
    size_t rest = strlen(key) + size + 3, length = rest + 1;

    for (char digits[24]; rest + (size_t)snprintf(digits, 24, "%zu", length) != length;)
        length = rest + strlen(digits);
    ib_buf_printf(records, "%zu %s=", length, key);
    ib_buf_append(records, value, size);
    ib_buf_append(records, "\n", 1);
}

static void put_records(struct ib_buf *tar, struct ib_buf *records)
{
    put_header(tar, 'x', "PaxHeader", "", records->size);
    put_padded(tar, records->data, records->size);
    ib_buf_clear(records);
}

static void put_record(struct ib_buf *tar, const char *key, const void *value, size_t size)
{
    struct ib_buf records = {0};

    add_record(&records, key, value, size);
    put_records(tar, &records);
}

static void put_end(struct ib_buf *tar)
{
    ib_buf_append_zeros(tar, 1024);
}

/* Reading ---------------------------------------------------------------------------------------
 */

static const struct ib_archive_limits small = {100, 10000};

static int read_bytes(struct ib_tree *tree, int spool, const struct ib_buf *tar, unsigned flags,
                      struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = memfd_create("archive", MFD_CLOEXEC);

    cr_assert_eq(ib_write_full(fd, tar->data, tar->size), 0);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    return ib_archive_read(tree, fd, "bad.tar", spool, IB_LAYER_BASE, flags, &small, NULL, NULL,
                           err);
}

/* Reads an archive that must be good over the tree, and empties it. */
static void lay(struct ib_tree *tree, int spool, struct ib_buf *tar, unsigned flags)
{
    struct ib_error *err = NULL;

    cr_assert_eq(read_bytes(tree, spool, tar, flags, &err), 0, "%s", ib_error_text(err));
    ib_buf_clear(tar);
}

static int spool_file(void)
{
    return memfd_create("spool", MFD_CLOEXEC);
}

static void assert_content(const struct ib_tree *tree, const char *path, const char *expected)
{
    struct ib_buf content = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_tree_read_file(tree, path, IB_MIB, &content, &err), 0, "%s",
                 ib_error_text(err));
    cr_assert_str_eq((const char *)content.data, expected);
    ib_buf_clear(&content);
}

/* Refused ---------------------------------------------------------------------------------------
 */

static void make_dot_dot(struct ib_buf *t)
{
    put_entry(t, '0', "a/../../etc/passwd", "x");
}

static void make_absolute(struct ib_buf *t)
{
    put_entry(t, '0', "/etc/passwd", "x");
}

static void make_symlink_write_through(struct ib_buf *t)
{
    put_entry(t, '2', "etc", "/tmp");
    put_entry(t, '0', "etc/passwd", "x");
}

static void make_symlink_write_through_later(struct ib_buf *t)
{
    put_entry(t, '5', "a/b", "");
    put_entry(t, '2', "link", "a");
    put_entry(t, '5', "link/b/c", "");
}

static void make_hard_link_outside(struct ib_buf *t)
{
    put_entry(t, '1', "a", "../../etc/shadow");
}

static void make_hard_link_absolute(struct ib_buf *t)
{
    put_entry(t, '1', "a", "/etc/shadow");
}

static void make_hard_link_to_nothing(struct ib_buf *t)
{
    put_entry(t, '1', "a", "etc/shadow");
}

static void make_hard_link_to_directory(struct ib_buf *t)
{
    put_entry(t, '5', "d", "");
    put_entry(t, '1', "a", "d");
}

static void make_twice(struct ib_buf *t)
{
    put_entry(t, '0', "a", "x");
    put_entry(t, '2', "./a", "b");
}

static void make_file_then_below(struct ib_buf *t)
{
    put_entry(t, '0', "a", "x");
    put_entry(t, '0', "a/b", "x");
}

static void make_root_file(struct ib_buf *t)
{
    put_entry(t, '0', ".", "x");
}

static void make_root_link(struct ib_buf *t)
{
    put_entry(t, '2', ".", "/tmp");
}

static void make_long_part(struct ib_buf *t)
{
    char name[257];

    memset(name, 'n', 256);
    name[256] = 0;
    put_record(t, "path", name, 256);
    put_entry(t, '0', "short", "x");
}

static void make_deep(struct ib_buf *t)
{
    enum { DEPTH = 100000 };
    char *name = ib_malloc(2 * DEPTH);

    for (size_t i = 0; i < DEPTH; i++)
        memcpy(name + 2 * i, "d/", 2);
    put_record(t, "path", name, 2 * DEPTH);
    put_entry(t, '0', "short", "x");
    free(name);
}

static void make_big(struct ib_buf *t)
{
    put_header(t, '0', "big", "", UINT64_C(1) << 32);
}

static void make_big_unknown(struct ib_buf *t)
{
    put_header(t, 'Q', "unknown", "", UINT64_C(1) << 32);
}

static void make_too_much_in_all(struct ib_buf *t)
{
    char *half = ib_calloc(1, 6001);

    memset(half, 'x', 6000);
    put_entry(t, '0', "half", half);
    put_entry(t, '0', "other-half", half);
    free(half);
}

/* GNU tar's sparse format 1.0: a map before the data. One part at the end of 1 TiB. */
static void make_sparse(struct ib_buf *t)
{
    static const char map[] = "1\n1099511627264\n512\n";
    struct ib_buf records = {0};

    add_record(&records, "GNU.sparse.major", "1", 1);
    add_record(&records, "GNU.sparse.minor", "0", 1);
    add_record(&records, "GNU.sparse.name", "sparse", 6);
    add_record(&records, "GNU.sparse.realsize", "1099511627776", 13);
    put_records(t, &records);
    put_header(t, '0', "GNUSparseFile.0/sparse", "", 1024);
    put_padded(t, map, strlen(map));
    ib_buf_append_zeros(t, 512);
}

static void make_many(struct ib_buf *t)
{
    char name[16];

    for (unsigned i = 0; i < 101; i++)
        put_entry(t, '0', (snprintf(name, sizeof(name), "n%u", i), name), "");
}

static void make_wrong_checksum(struct ib_buf *t)
{
    put_entry(t, '0', "a", "x");
    put_entry(t, '0', "b", "x");
    t->data[1024] ^= 1;
}

static void make_truncated_content(struct ib_buf *t)
{
    put_header(t, '0', "a", "", 5000);
    ib_buf_append_zeros(t, 512);
}

static void make_garbage(struct ib_buf *t)
{
    for (unsigned i = 0; i < 2000; i++)
        ib_buf_append(t, &(char){(char)(i * 7919 >> 3)}, 1);
}

static void make_record_bomb(struct ib_buf *t)
{
    put_header(t, 'x', "PaxHeader", "", UINT64_C(1) << 32);
    ib_buf_append_zeros(t, 4096);
}

static void make_header_chain(struct ib_buf *t)
{
    for (unsigned i = 0; i < 5000; i++)
        put_record(t, "comment", "x", 1);
    put_entry(t, '0', "a", "x");
}

static void make_huge_uid(struct ib_buf *t)
{
    put_record(t, "uid", "4294967295", 10);
    put_entry(t, '0', "a", "x");
}

static void make_big_xattr(struct ib_buf *t)
{
    char *value = ib_calloc(1, 70000);

    put_record(t, "SCHILY.xattr.user.a", value, 70000);
    put_entry(t, '0', "a", "x");
    free(value);
}

static void make_xattr_without_namespace(struct ib_buf *t)
{
    put_record(t, "SCHILY.xattr.capability", "x", 1);
    put_entry(t, '0', "a", "x");
}

static void make_acl_of_a_stranger(struct ib_buf *t)
{
    static const char acl[] = "user::rw-,user:lp:rwx,group::r--,mask::r--,other::---";

    put_record(t, "SCHILY.acl.access", acl, sizeof(acl) - 1);
    put_entry(t, '0', "a", "x");
}

static void make_empty_link(struct ib_buf *t)
{
    put_entry(t, '2', "a", "");
}

static const struct {
    const char *name;
    void (*make)(struct ib_buf *tar);
    const char *says;
} refused[] = {
    {"dot-dot", make_dot_dot, "'a/../../etc/passwd' leads out of the tree"},
    {"absolute", make_absolute, "'/etc/passwd' has an absolute name"},
    {"symlink", make_symlink_write_through,
     "'etc/passwd' would be written through the symbolic link 'etc'"},
    {"symlink inside", make_symlink_write_through_later, "through the symbolic link 'link'"},
    {"hard link outside", make_hard_link_outside, "'../../etc/shadow' leads out of the tree"},
    {"hard link absolute", make_hard_link_absolute, "'/etc/shadow' has an absolute name"},
    {"hard link to nothing", make_hard_link_to_nothing, "'etc/shadow', which is not in the tree"},
    {"hard link to directory", make_hard_link_to_directory, "'a' leads to a directory"},
    {"twice", make_twice, "'a' stands in it twice, as a regular file and as a symbolic link"},
    {"file then below", make_file_then_below, "'a/b' lies below 'a', which is a regular file"},
    {"root is a file", make_root_file, "root is not a directory"},
    {"root is a link", make_root_link, "root is not a directory"},
    {"long part", make_long_part, "longer than the 255 bytes"},
    {"deep", make_deep, "more than 4095 bytes"},
    {"big", make_big, "'big' has 4.0 GiB, with which its files hold more than the 9.8 KiB"},
    {"big unknown", make_big_unknown, "hold more than"},
    {"too much in all", make_too_much_in_all, "'other-half' has 5.9 KiB"},
    {"sparse", make_sparse, "'sparse' has 1.0 TiB"},
    {"many", make_many, "more than 100 entries"},
    {"wrong checksum", make_wrong_checksum, ""},
    {"truncated", make_truncated_content, "Truncated"},
    {"garbage", make_garbage, "Unrecognized archive format"},
    {"record bomb", make_record_bomb, ""},
    {"header chain", make_header_chain, ""},
    {"huge uid", make_huge_uid, "impossible user or group 4294967295:8"},
    {"big xattr", make_big_xattr, "'user.a' has 70000 bytes"},
    {"xattr without namespace", make_xattr_without_namespace, "'capability' is not the name"},
    {"ACL of a stranger", make_acl_of_a_stranger, "names 'lp', which is not in the tree's etc/p"},
    {"empty link", make_empty_link, "a target of 0 bytes"},
};

Test(archive, hostile_archives_are_refused_with_cause)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(refused); i++) {
        struct ib_tree *tree = ib_tree_new();
        struct ib_buf tar = {0};
        struct ib_error *err = NULL;
        _cleanup_(ib_closep) int spool = spool_file();

        refused[i].make(&tar);
        put_end(&tar);
        int r = read_bytes(tree, spool, &tar, 0, &err);
        cr_assert_eq(r, -1, "%s was accepted", refused[i].name);
        char *text = ib_error_text(err);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID, "%s: %s", refused[i].name, text);
        cr_assert(strstr(ib_error_line(err, 0), "bad.tar"), "%s: %s", refused[i].name, text);
        cr_assert(strstr(text, refused[i].says), "%s says: %s", refused[i].name, text);
        cr_assert_lt(ib_tree_content_size(tree), 10001);
        free(text);
        ib_error_free(err);
        ib_tree_free(tree);
        ib_buf_clear(&tar);
    }
}

Test(archive, cut_off_anywhere)
{
    struct ib_buf tar = {0};
    char content[3000];

    memset(content, 'x', sizeof(content));
    content[sizeof(content) - 1] = 0;
    for (unsigned i = 0; i < 3; i++) {
        put_record(&tar, "path", "a-name", 6);
        put_entry(&tar, '0', "x", content);
    }
    put_end(&tar);
    for (size_t size = 0; size <= tar.size - 1024; size += 64) {
        struct ib_tree *tree = ib_tree_new();
        struct ib_error *err = NULL;
        _cleanup_(ib_closep) int spool = spool_file();
        struct ib_buf part = {tar.data, size, 0};
        cr_assert_eq(read_bytes(tree, spool, &part, 0, &err), -1, "cut to %zu", size);
        cr_assert(ib_error_hint(err));
        ib_error_free(err);
        ib_tree_free(tree);
    }
    ib_buf_clear(&tar);
}

/* Accepted --------------------------------------------------------------------------------------
 */

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

/* Other programs' archives ----------------------------------------------------------------------
 */

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
