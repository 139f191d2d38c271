/* SPDX-License-Identifier: Apache-2.0 */
/* What io/archive.h refuses: a function that makes each such archive, and what the error says. */
#include "tar_by_hand.h"

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
