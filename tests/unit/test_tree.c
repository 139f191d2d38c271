/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "io/tree.h"

#define LAYER IB_LAYER_OVERLAYS

/* "path type mode uid:gid rdev mtime size target xattrs" of every name: a tree as text. */
static int describe(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    struct ib_buf *text = userdata;
    struct ib_sha256 hash;
    char hex[IB_SHA256_HEX_SIZE] = "-";

    if (S_ISREG(inode->mode) && inode->size < IB_MIB) {
        _cleanup_(ib_freep) char *data = ib_malloc((size_t)inode->size);
        cr_assert_eq(ib_inode_read(inode, data, (size_t)inode->size, 0, NULL), 0);
        ib_sha256(data, (size_t)inode->size, &hash);
        ib_sha256_hex(&hash, hex);
    }
    ib_buf_printf(text, "'%s' %o %u:%u %u:%u %" PRId64 " n%u l%d %" PRIu64 " %s %.8s", path,
                  inode->mode, inode->uid, inode->gid, inode->rdev_major, inode->rdev_minor,
                  inode->mtime_s, inode->nlink, (int)inode->layer, inode->size,
                  inode->target ? inode->target : "-", hex);
    for (size_t i = 0; i < inode->xattr_count; i++) {
        ib_buf_printf(text, " %s=", inode->xattrs[i].name);
        for (size_t k = 0; k < inode->xattrs[i].size; k++)
            ib_buf_printf(text, "%02x", inode->xattrs[i].value[k]);
    }
    ib_buf_append_str(text, "\n");
    return 0;
}

static char *tree_text(const struct ib_tree *tree)
{
    struct ib_buf text = {0};

    cr_assert_eq(ib_tree_walk(tree, describe, &text), 0);
    return ib_buf_steal_string(&text);
}

static char *save(const struct ib_tree *tree, const char *dir, const char *name)
{
    char *path = ib_path_join(dir, name);
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct ib_sha256 told, real;
    struct ib_error *err = NULL;

    cr_assert_eq(ib_tree_save(tree, fd, NULL, &told, &err), 0, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    cr_assert_eq(ib_sha256_fd(fd, &real, NULL), 0);
    cr_assert(ib_sha256_equal(&told, &real));
    return path;
}

static struct ib_tree *load(const char *path)
{
    struct ib_error *err = NULL;
    struct ib_tree *tree = ib_tree_load(path, &err);

    cr_assert(tree, "%s", err ? ib_error_text(err) : "");
    return tree;
}

static char *file_text(const struct ib_tree *tree, const char *path)
{
    struct ib_buf content = {0};

    cr_assert_eq(ib_tree_read_file(tree, path, IB_MIB, &content, NULL), 0, "%s", path);
    return ib_buf_steal_string(&content);
}

static struct ib_node *add_file(struct ib_tree *tree, const char *path, const char *text)
{
    struct ib_node *node =
        ib_tree_add_file(tree, path, 0644, text, strlen(text), IB_LAYER_BASE, NULL);

    cr_assert(node);
    return node;
}

/* Everything a root can hold. */
static struct ib_tree *rich_tree(void)
{
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, '=', '\n'};
    struct ib_tree *tree = ib_tree_new();
    struct ib_node *n;
    char name[256], deep[4000] = "";

    ib_tree_root(tree)->inode->mtime_s = 1700000000;
    n = add_file(tree, "usr/bin/ping", "ping\n");
    n->inode->mode |= S_ISUID | 0111;
    ib_inode_set_xattr(n->inode, "security.capability", capability, sizeof(capability));
    ib_inode_set_xattr(n->inode, "user.a=b%c", "x", 1);
    ib_inode_set_xattr(n->inode, "user.empty", "", 0);
    ib_inode_set_xattr(n->inode, "security.selinux", "system_u:object_r:bin_t:s0", 27);
    cr_assert(ib_tree_add_hardlink(tree, "usr/bin/aping", n, LAYER, NULL));
    cr_assert(ib_tree_add_hardlink(tree, "zping", n, LAYER, NULL));
    cr_assert(ib_tree_add_symlink(tree, "lib", "usr/lib", LAYER, NULL));
    cr_assert(ib_tree_add_special(tree, "dev/null", S_IFCHR | 0666, 1, 3, LAYER, NULL));
    cr_assert(ib_tree_add_special(tree, "dev/big", S_IFBLK | 0660, 4095, 1048575, LAYER, NULL));
    cr_assert(ib_tree_add_special(tree, "dev/huge", S_IFBLK | 0660, 3000000, 4294967295, 1, NULL));
    cr_assert(ib_tree_add_special(tree, "run/fifo", S_IFIFO | 0600, 9, 9, IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_special(tree, "run/socket", S_IFSOCK | 0600, 0, 0, LAYER, NULL));
    cr_assert(ib_tree_add_special(tree, "run/s2", S_IFSOCK | 0600, 0, 0, IB_LAYER_BASE, NULL));
    n = add_file(tree, "etc/no\xff\xfeutf8", "bytes\n");
    n->inode->uid = 4294967294;
    n->inode->gid = 2097152;
    n->inode->mtime_s = -86400;
    n->inode->layer = IB_LAYER_PACKAGES;
    memset(name, 'n', 255);
    name[255] = 0;
    while (strlen(deep) + 260 < sizeof(deep))
        strcat(strcat(deep, name), "/");
    n = add_file(tree, strcat(deep, "end"), "deep\n");
    n->inode->layer = IB_LAYER_PAYLOADS;
    memset(name, 0xf0, 120);
    name[120] = 0;
    add_file(tree, name, "long and not UTF-8\n")->inode->mtime_s = INT64_C(1) << 40;
    cr_assert(ib_tree_add_symlink(tree, "long-target", deep, LAYER, NULL));
    n = ib_tree_add_directory(tree, "var/tmp", 01777, LAYER, NULL);
    ib_inode_set_xattr(n->inode, "system.posix_acl_default", "\2\0\0\0", 4);
    add_file(tree, "etc/empty", "");
    return tree;
}

Test(tree, adds_sorted_and_makes_parents)
{
    static const char *const names[] = {"b/y", "a", "b/x/1", "c", "B", "b/x/0", "b-"};
    struct ib_tree *tree = ib_tree_new();

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++)
        add_file(tree, names[i], names[i]);
    const struct ib_node *root = ib_tree_root(tree);
    cr_assert_eq(root->child_count, 5);
    cr_assert_str_eq(root->children[0]->name, "B");
    cr_assert_str_eq(root->children[3]->name, "b-");
    const struct ib_node *x = ib_tree_find(tree, "b/x");
    cr_assert(x && x->inode->mode == (S_IFDIR | 0755) && x->child_count == 2);
    cr_assert_eq(ib_tree_find(tree, ""), root);
    cr_assert_null(ib_tree_find(tree, "b/z"));
    cr_assert_null(ib_tree_find(tree, "a/z"));
    char *path = ib_node_path(x->children[1]);
    cr_assert_str_eq(path, "b/x/1");
    free(path);
    path = ib_node_path(root);
    cr_assert_str_eq(path, "");
    free(path);
    cr_assert_eq(ib_tree_entry_count(tree), 10);
    cr_assert_eq(ib_tree_content_size(tree), 3 + 1 + 5 + 1 + 1 + 5 + 2);
    ib_tree_remove(tree, "b");
    ib_tree_remove(tree, "b");
    cr_assert_eq(ib_tree_entry_count(tree), 5);
    cr_assert_eq(ib_tree_content_size(tree), 5 - 0);
    ib_tree_remove(tree, "");
    cr_assert_eq(ib_tree_entry_count(tree), 1);
    ib_tree_free(tree);
}

Test(tree, parents_follow_links_as_usr_merge_needs)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;

    ib_tree_add_directory(tree, "usr/lib", 0755, LAYER, NULL);
    ib_tree_add_symlink(tree, "lib", "usr/lib", LAYER, NULL);
    ib_tree_add_symlink(tree, "usr/abs", "/lib/../lib", LAYER, NULL);
    ib_tree_add_symlink(tree, "up", "../../../usr", LAYER, NULL);
    ib_tree_add_symlink(tree, "loop", "loop", LAYER, NULL);
    ib_tree_add_symlink(tree, "gone", "nowhere", LAYER, NULL);
    add_file(tree, "lib/x", "x");
    add_file(tree, "usr/abs/sub/y", "y");
    add_file(tree, "up/z", "z");
    cr_assert(ib_tree_find(tree, "usr/lib/x"));
    cr_assert(ib_tree_find(tree, "usr/lib/sub/y"));
    cr_assert(ib_tree_find(tree, "usr/z"));
    cr_assert_eq(ib_tree_resolve(tree, "up/abs/sub/../x"), ib_tree_find(tree, "usr/lib/x"));
    cr_assert_eq(ib_tree_resolve(tree, "/lib/"), ib_tree_find(tree, "usr/lib"));
    cr_assert_null(ib_tree_resolve(tree, "loop"));
    cr_assert_null(ib_tree_resolve(tree, "gone"));
    cr_assert_null(ib_tree_resolve(tree, "lib/x/y"));

    static const char *const bad[] = {"loop/a", "gone/a", "lib/x/a", "a/../b", "a//b", "", "."};
    for (size_t i = 0; i < IB_ARRAY_SIZE(bad); i++) {
        cr_assert_null(ib_tree_add_file(tree, bad[i], 0644, "", 0, LAYER, &err), "%s", bad[i]);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        ib_error_clear(&err);
    }
    ib_tree_free(tree);
}

Test(tree, replaces_but_a_directory_keeps_its_children)
{
    struct ib_tree *tree = ib_tree_new();

    add_file(tree, "d/a", "one");
    ib_tree_find(tree, "d")->inode->uid = 5;
    struct ib_node *d = ib_tree_add_directory(tree, "d", 0700, LAYER, NULL);
    cr_assert(d->child_count == 1 && d->inode->mode == (S_IFDIR | 0700) && d->inode->uid == 0);
    add_file(tree, "d/a", "second");
    cr_assert_eq(ib_tree_content_size(tree), 6);
    add_file(tree, "d", "now a file");
    cr_assert_eq(ib_tree_entry_count(tree), 2);
    ib_tree_add_directory(tree, "", 0711, LAYER, NULL);
    cr_assert_eq(ib_tree_root(tree)->inode->mode, (uint32_t)S_IFDIR | 0711);
    ib_tree_free(tree);
}

Test(tree, hard_links_share_one_inode_until_the_last_name_goes)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_node *a = add_file(tree, "a/b", "content");

    struct ib_node *b = ib_tree_add_hardlink(tree, "b", a, LAYER, NULL);
    cr_assert(b && b->inode == a->inode && a->inode->nlink == 2);
    cr_assert_eq(ib_tree_add_hardlink(tree, "b", a, LAYER, NULL), b);
    cr_assert_eq(b->inode->nlink, 2);
    cr_assert_eq(ib_tree_content_size(tree), 7);
    /* the new name replaces the directory in which the old one stands */
    struct ib_node *c = ib_tree_add_hardlink(tree, "a", a, LAYER, NULL);
    cr_assert(c && c->inode == b->inode && c->inode->nlink == 2);
    ib_tree_remove(tree, "b");
    char *text = file_text(tree, "a");
    cr_assert_str_eq(text, "content");
    free(text);
    cr_assert_null(ib_tree_add_hardlink(tree, "x", ib_tree_root(tree), LAYER, NULL));
    ib_tree_free(tree);
}

Test(tree, xattrs_stay_sorted)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_inode *inode = ib_tree_root(tree)->inode;
    char name[16];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user.%02u", i * 37 % 100);
        ib_inode_set_xattr(inode, name, name, 7);
    }
    ib_inode_set_xattr(inode, "user.05", "new", 3);
    for (unsigned i = 0; i < 100; i += 2) {
        snprintf(name, sizeof(name), "user.%02u", i);
        ib_inode_remove_xattr(inode, name);
        ib_inode_remove_xattr(inode, name);
    }
    cr_assert_eq(inode->xattr_count, 50);
    for (size_t i = 0; i + 1 < inode->xattr_count; i++)
        cr_assert_lt(strcmp(inode->xattrs[i].name, inode->xattrs[i + 1].name), 0);
    cr_assert_eq(ib_inode_get_xattr(inode, "user.05")->size, 3);
    cr_assert_null(ib_inode_get_xattr(inode, "user.06"));
    ib_tree_free(tree);
}

Test(tree, save_and_load_keep_everything)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_tree *tree = rich_tree();
    char *first = save(tree, dir, "first.tar"), *second = save(tree, dir, "second.tar");
    struct ib_tree *loaded = load(first);
    char *third = save(loaded, dir, "third.tar");
    struct ib_buf a = {0}, b = {0};
    char *before = tree_text(tree), *after = tree_text(loaded);

    cr_assert_str_eq(before, after);
    cr_assert_eq(ib_tree_entry_count(tree), ib_tree_entry_count(loaded));
    cr_assert_eq(ib_tree_content_size(tree), ib_tree_content_size(loaded));
    cr_assert_eq(ib_read_file(first, IB_MIB, &a, NULL), 0);
    cr_assert_eq(ib_read_file(second, IB_MIB, &b, NULL), 0);
    cr_assert(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    cr_assert_eq(ib_read_file(third, IB_MIB, &b, NULL), 0);
    cr_assert(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    free(before), free(after), free(first), free(second), free(third);
    ib_buf_clear(&a), ib_buf_clear(&b);
    ib_tree_free(tree), ib_tree_free(loaded);
    ib_temp_dirp(&dir);
}

/* The first bytes of a tree archive too large to be written. */
static void save_head(const struct ib_tree *tree, void *head, size_t size)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(ib_tree_save(tree, ends[1], NULL, NULL, NULL) == 0 ? 0 : 1); /* ends by SIGPIPE */
    }
    close(ends[1]);
    cr_assert_eq(ib_read_full(ends[0], head, size), 0);
    close(ends[0]);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(tree, a_file_beyond_8_gib)
{
    static const uint64_t size = UINT64_C(9) << 30;
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL), *path = ib_path_join(dir, "a.tar");
    struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_closep) int big = ib_temp_file(dir, NULL);
    _cleanup_(ib_closep) int out = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    char head[4 * 512]; /* the root, and the file's extended header, records and header */

    cr_assert_eq(ftruncate(big, (off_t)size), 0); /* a hole, here and in the archive */
    cr_assert(ib_tree_add_file_range(tree, "big", 0644, big, 0, size, IB_LAYER_BASE, NULL));
    cr_assert_null(ib_tree_add_file_range(tree, "x", 0644, big, UINT64_MAX, 2, LAYER, NULL));
    cr_assert_eq(ib_tree_content_size(tree), size);
    save_head(tree, head, sizeof(head));
    ib_tree_free(tree);
    cr_assert(memmem(head, sizeof(head), "19 size=9663676416\n", 19));
    cr_assert_eq(ib_pwrite_full(out, head, sizeof(head), 0), 0);
    cr_assert_eq(ib_pwrite_full(out, "tail", 4, sizeof(head) + size - 4), 0);
    cr_assert_eq(ftruncate(out, (off_t)(sizeof(head) + size + 1024)), 0);

    tree = load(path);
    const struct ib_inode *inode = ib_tree_find(tree, "big")->inode;
    cr_assert_eq(inode->size, size);
    cr_assert_eq(ib_inode_read(inode, head, 4, size - 4, NULL), 0);
    cr_assert_eq(memcmp(head, "tail", 4), 0);
    ib_tree_free(tree);
    free(path);
    ib_temp_dirp(&dir);
}

/* What another program says of the archive. */
static char *run(const char *const *argv)
{
    struct ib_buf out = {0}, log = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .out = &out, .log = &log}, &err), 0, "%s",
                 err ? ib_error_text(err) : "");
    cr_assert_eq(log.size, 0, "%s complains: %s", argv[0], (const char *)log.data);
    ib_buf_clear(&log);
    return ib_buf_steal_string(&out);
}

Test(tree, other_programs_read_the_archive)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_tree *tree = ib_tree_new();

    struct ib_node *n = add_file(tree, "usr/a", "text");
    ib_inode_set_xattr(n->inode, "user.note", "hello", 5);
    ib_inode_set_xattr(n->inode, "user.a=b", "x", 1);
    n->inode->mtime_s = -1;
    n->inode->uid = 3000000;
    n->inode->layer = LAYER;
    ib_tree_add_hardlink(tree, "usr/b", n, LAYER, NULL);
    char *path = save(tree, dir, "a.tar");
    char *gnu = run((const char *const[]){"tar", "--xattrs", "-tvvf", path, NULL});
    cr_assert(strstr(gnu, "drwxr-xr-x  0/0"), "%s", gnu);
    cr_assert(strstr(gnu, "3000000/0"), "%s", gnu);
    cr_assert(strstr(gnu, "1969-12-31 23:59 usr/a"), "%s", gnu);
    cr_assert(strstr(gnu, "x: 5 user.note"), "%s", gnu);
    cr_assert(strstr(gnu, "x: 1 user.a=b"), "%s", gnu);
    cr_assert(strstr(gnu, "usr/b link to usr/a"), "%s", gnu);
    free(gnu);
    char *bsdtar = ib_find_program("bsdtar");
    if (bsdtar) {
        char *text = run((const char *const[]){bsdtar, "-tvf", path, NULL});
        cr_assert(strstr(text, "usr/b link to usr/a"), "%s", text);
        free(text);
        text = run((const char *const[]){bsdtar, "-xOf", path, "usr/a", NULL});
        cr_assert_str_eq(text, "text");
        free(text);
    }
    free(bsdtar), free(path);
    ib_tree_free(tree);
    ib_temp_dirp(&dir);
}

Test(tree, damage_is_found_and_told)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_tree *tree = rich_tree();
    char *path = save(tree, dir, "a.tar"), *bad_path = ib_path_join(dir, "bad.tar");
    struct ib_buf good = {0};
    struct ib_error *err = NULL;
    size_t accepted = 0;

    cr_assert_eq(ib_read_file(path, IB_MIB, &good, NULL), 0);
    ib_tree_free(tree);
    int fd = open(bad_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    for (size_t i = 0; i < good.size; i += 7) { /* a flipped bit in every header and record */
        good.data[i] ^= 1;
        cr_assert_eq(ib_pwrite_full(fd, good.data, good.size, 0), 0);
        tree = ib_tree_load(bad_path, &err);
        accepted += tree != NULL;
        cr_assert(tree || strstr(ib_error_line(err, 0), "bad.tar"));
        cr_assert(tree || strstr(ib_error_hint(err), "imgbuild clean"));
        ib_tree_free(tree);
        ib_error_clear(&err);
        good.data[i] ^= 1;
    }
    cr_assert_lt(accepted, good.size / 14); /* content, values of records, padding */
    cr_assert_eq(ib_pwrite_full(fd, good.data, good.size, 0), 0);
    for (size_t size = good.size; size > 0; size -= IB_MIN(size, (size_t)509)) {
        if (size < good.size) {
            cr_assert_eq(ftruncate(fd, (off_t)size), 0);
            cr_assert_null(ib_tree_load(bad_path, &err), "cut to %zu", size);
            ib_error_clear(&err);
        }
    }
    close(fd);
    cr_assert_null(ib_tree_load("/nonexistent/a.tar", &err));
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_free(err);
    ib_buf_clear(&good);
    free(path), free(bad_path);
    ib_temp_dirp(&dir);
}

Test(tree, content_of_files_below_a_directory)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *sub = ib_path_join(dir, "sub"), *one = ib_path_join(sub, "one"),
                             *link = ib_path_join(dir, "link");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char data[8] = "";

    cr_assert_eq(ib_mkdir_p(sub, NULL), 0);
    cr_assert_eq(ib_atomic_write(one, 0644, "content", 7, NULL), 0);
    cr_assert_eq(symlink("sub/one", link), 0);
    struct ib_node *node =
        ib_tree_add_file_below(tree, "a/b", 0600, dir_fd, "sub/one", 7, LAYER, &err);
    cr_assert(node && node->inode->size == 7);
    cr_assert(ib_tree_add_file_below(tree, "c", 0600, dir_fd, "link", 7, LAYER, &err));
    cr_assert(ib_tree_add_file_below(tree, "e", 0600, dir_fd, "nothing", 0, LAYER, &err));
    close(ib_steal_fd(&dir_fd));
    cr_assert_eq(ib_inode_read(node->inode, data, 4, 3, &err), 0);
    cr_assert_str_eq(data, "tent");
    cr_assert_eq(ib_inode_read(ib_tree_find(tree, "c")->inode, data, 7, 0, &err), -1);
    ib_error_clear(&err); /* a symbolic link is not followed */
    cr_assert_eq(truncate(one, 3), 0);
    cr_assert_eq(ib_inode_read(node->inode, data, 7, 0, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
}

Test(tree, content_that_shrank_is_an_error)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_tree *tree = ib_tree_new();
    struct ib_error *err = NULL;
    char c;

    add_file(tree, "a", "text");
    char *path = save(tree, dir, "a.tar");
    ib_tree_free(tree);
    tree = load(path);
    cr_assert_eq(truncate(path, 100), 0);
    cr_assert_eq(ib_inode_read(ib_tree_find(tree, "a")->inode, &c, 1, 0, &err), -1);
    cr_assert(strstr(ib_error_line(err, 0), "a.tar") && ib_error_hint(err));
    ib_error_free(err);
    ib_tree_free(tree);
    free(path);
    ib_temp_dirp(&dir);
}

Test(tree, read_file_checks_type_and_size)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_buf content = {0};
    struct ib_error *err = NULL;

    add_file(tree, "usr/lib/os-release", "ID=debian\n");
    ib_tree_add_symlink(tree, "etc/os-release", "../usr/lib/os-release", LAYER, NULL);
    char *text = file_text(tree, "etc/os-release");
    cr_assert_str_eq(text, "ID=debian\n");
    free(text);
    cr_assert_eq(ib_tree_read_file(tree, "etc/os-release", 9, &content, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    cr_assert_eq(ib_tree_read_file(tree, "etc", 9, &content, &err), -1);
    ib_error_clear(&err);
    cr_assert_eq(ib_tree_read_file(tree, "gone", 9, &content, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
    ib_tree_free(tree);
}

static enum ib_layer layer_of(const struct ib_tree *tree, const char *path)
{
    return ib_tree_find(tree, path)->inode->layer;
}

Test(tree, changes_are_marked)
{
    struct ib_tree *old = ib_tree_new(), *new = ib_tree_new();

    add_file(old, "same", "same");
    add_file(old, "content", "one");
    add_file(old, "mode", "x");
    add_file(old, "d/time", "x");
    add_file(old, "was-file", "x");
    ib_tree_add_hardlink(old, "link1", ib_tree_find(old, "same"), LAYER, NULL);
    ib_tree_find(old, "mode")->inode->layer = IB_LAYER_PAYLOADS;
    ib_tree_find(old, "d/time")->inode->layer = IB_LAYER_PAYLOADS;

    add_file(new, "same", "same");
    add_file(new, "content", "two");
    add_file(new, "mode", "x")->inode->mode |= 0111;
    add_file(new, "d/time", "x")->inode->mtime_s = 5;
    add_file(new, "d/new", "x");
    add_file(new, "was-file/below", "x");
    cr_assert_eq(ib_tree_mark_changes(new, old, IB_LAYER_PACKAGES, NULL), 0);
    cr_assert_eq(layer_of(new, "same"), IB_LAYER_BASE);
    cr_assert_eq(layer_of(new, "content"), IB_LAYER_PACKAGES);
    cr_assert_eq(layer_of(new, "mode"), IB_LAYER_PACKAGES);
    cr_assert_eq(layer_of(new, "d/time"), IB_LAYER_PAYLOADS);
    cr_assert_eq(layer_of(new, "d/new"), IB_LAYER_PACKAGES);
    cr_assert_eq(layer_of(new, "d"), IB_LAYER_BASE);
    cr_assert_eq(layer_of(new, "was-file/below"), IB_LAYER_PACKAGES);
    /* a hard link with one new name is new under both */
    ib_tree_add_hardlink(new, "another", ib_tree_find(new, "same"), LAYER, NULL);
    cr_assert_eq(ib_tree_mark_changes(new, old, IB_LAYER_PACKAGES, NULL), 0);
    cr_assert_eq(layer_of(new, "same"), IB_LAYER_PACKAGES);
    ib_tree_free(old), ib_tree_free(new);
}

Test(tree, a_hundred_thousand_names_in_any_order)
{
    enum { COUNT = 100000 };
    struct ib_tree *tree = ib_tree_new();
    char path[64];

    for (unsigned i = 0; i < COUNT; i++) {
        unsigned k = (unsigned)((uint64_t)i * 70001 % COUNT);
        snprintf(path, sizeof(path), "usr/share/d%u/e%u/f%u", k % 7, k % 300, k);
        add_file(tree, path, "");
    }
    cr_assert_eq(ib_tree_entry_count(tree), COUNT + 1 + 2 + 7 + 7 * 300);
    for (unsigned i = 0; i < COUNT; i += 1000)
        cr_assert(ib_tree_find(
            tree,
            (snprintf(path, sizeof(path), "usr/share/d%u/e%u/f%u", i % 7, i % 300, i), path)));
    ib_tree_free(tree);
}
