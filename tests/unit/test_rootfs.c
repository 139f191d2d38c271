/* SPDX-License-Identifier: Apache-2.0 */
/* Images are read back by others: the kernel (loop mount, as root), squashfs-tools, -tools-ng. */
#include "rootfs_helpers.h"

static void add_sizes(struct ib_tree *tree)
{
    static const size_t sizes[] = {0,     1,         4095,          BLOCK - 1,
                                   BLOCK, BLOCK + 1, 3 * BLOCK + 7, 5 * BLOCK};
    unsigned char *zeros = ib_calloc(1, 3 * BLOCK);

    for (size_t i = 0; i < IB_ARRAY_SIZE(sizes); i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("sizes/noise%zu", sizes[i]);
        _cleanup_(ib_freep) char *again = ib_asprintf("sizes/same%zu", sizes[i]);
        add_noise(tree, name, sizes[i], i, IB_LAYER_BASE);
        add_noise(tree, again, sizes[i], i, IB_LAYER_PACKAGES);
    }
    for (int i = 0; i < 700; i++) { /* more than one fragment block */
        _cleanup_(ib_freep) char *name = ib_asprintf("sizes/small/%03d", i);
        add_noise(tree, name, 100 + (size_t)i, 1000 + (uint64_t)i, IB_LAYER_BASE);
    }
    ib_tree_add_file(tree, "sizes/zeros-small", 0644, zeros, 100, IB_LAYER_BASE, NULL);
    ib_tree_add_file(tree, "sizes/zeros", 0644, zeros, 2 * BLOCK, IB_LAYER_BASE, NULL);
    ib_tree_add_file(tree, "sizes/zeros-tail", 0644, zeros, 2 * BLOCK + 5, IB_LAYER_BASE, NULL);
    memcpy(zeros + BLOCK, "data", 4);
    ib_tree_add_file(tree, "sizes/hole-data-hole", 0644, zeros, 3 * BLOCK, IB_LAYER_BASE, NULL);
    free(zeros);
}

static void add_names(struct ib_tree *tree)
{
    char name[300];

    add_text(tree, "names/with space", "1", IB_LAYER_BASE);
    add_text(tree, "names/\xc3\xa6\xc3\xb8\xc3\xa5", "2", IB_LAYER_BASE);
    add_text(tree, "names/a.txt", "3", IB_LAYER_BASE);
    add_text(tree, "names/a/b", "4", IB_LAYER_BASE);
    add_text(tree, "names/a-b", "5", IB_LAYER_BASE);
    memset(name, 'n', sizeof(name));
    memcpy(name, "names/", 6);
    name[6 + 255] = 0;
    add_text(tree, name, "255 bytes", IB_LAYER_BASE);
    ib_tree_add_directory(tree, "names/empty", 0700, IB_LAYER_BASE, NULL);
}

static void add_specials(struct ib_tree *tree)
{
    char target[4096];
    enum ib_layer layer = IB_LAYER_BASE;

    memset(target, 't', sizeof(target));
    target[4095] = 0;
    cr_assert(ib_tree_add_symlink(tree, "special/long", target, layer, NULL));
    struct ib_node *link =
        ib_tree_add_symlink(tree, "special/link", "../sizes/noise1", layer, NULL);
    cr_assert(ib_tree_add_hardlink(tree, "special/link-again", link, layer, NULL));
    cr_assert(ib_tree_add_special(tree, "special/null", S_IFCHR | 0666, 1, 3, layer, NULL));
    struct ib_node *disk =
        ib_tree_add_special(tree, "special/disk", S_IFBLK | 0660, 259, 300000, layer, NULL);
    disk->inode->gid = 6;
    cr_assert(ib_tree_add_special(tree, "special/fifo", S_IFIFO | 0600, 0, 0, layer, NULL));
    cr_assert(ib_tree_add_special(tree, "special/sock", S_IFSOCK | 0755, 0, 0, layer, NULL));

    struct ib_node *setuid = add_noise(tree, "special/setuid", 5000, 77, layer);
    setuid->inode->mode = S_IFREG | 04755;
    setuid->inode->uid = 4000000000;
    setuid->inode->gid = 65534;
    cr_assert(ib_tree_add_hardlink(tree, "special/deep/hard", setuid, layer, NULL));
    cr_assert(ib_tree_add_hardlink(tree, "a-hard", setuid, layer, NULL));
    ib_tree_add_directory(tree, "tmp", 01777, layer, NULL);
}

static void add_xattrs(struct ib_tree *tree)
{
    static const unsigned char capability[20] = {1, 0, 0, 2, 0, 4};
    static const char label[] = "system_u:object_r:etc_t:s0";
    struct ib_node *node = add_text(tree, "xattrs/ping", "x", IB_LAYER_BASE);
    _cleanup_(ib_freep) unsigned char *big = noise(20000, 5);

    ib_inode_set_xattr(node->inode, "security.capability", capability, sizeof(capability));
    ib_inode_set_xattr(node->inode, "security.selinux", label, sizeof(label));
    node = add_text(tree, "xattrs/user", "y", IB_LAYER_BASE);
    ib_inode_set_xattr(node->inode, "user.empty", "", 0);
    ib_inode_set_xattr(node->inode, "user.big", big, 20000);
    ib_inode_set_xattr(node->inode, "trusted.overlay.opaque", "y", 1);
    ib_inode_set_xattr(ib_tree_find(tree, "xattrs")->inode, "security.selinux", label,
                       sizeof(label));
    ib_inode_set_xattr(ib_tree_find(tree, "special/null")->inode, "security.selinux", label,
                       sizeof(label));
    ib_inode_set_xattr(ib_tree_find(tree, "special/fifo")->inode, "security.selinux", label,
                       sizeof(label));
    ib_inode_set_xattr(ib_tree_find(tree, "special/link")->inode, "security.selinux", label,
                       sizeof(label));
    ib_inode_set_xattr(ib_tree_root(tree)->inode, "security.selinux", label, sizeof(label));
}

static struct ib_tree *sample(void)
{
    struct ib_tree *tree = ib_tree_new();

    add_sizes(tree);
    add_names(tree);
    add_specials(tree);
    add_xattrs(tree);
    return tree;
}

Test(rootfs, kernel_reads_back_everything)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    struct ib_rootfs_info info = write_image(tree, p.image, (struct ib_rootfs_options){0});

    cr_assert_gt(info.duplicate_count, 6);
    cr_assert_eq(info.dropped_xattr_count, 0);
    if (!mount_image(&p))
        cr_skip_test("squashfs cannot be mounted here");
    ib_tree_walk(tree, compare_node, p.mount);
    struct stat a, b;
    _cleanup_(ib_freep) char *one = ib_path_join(p.mount, "special/setuid");
    _cleanup_(ib_freep) char *two = ib_path_join(p.mount, "special/deep/hard");
    cr_assert(stat(one, &a) == 0 && stat(two, &b) == 0 && a.st_ino == b.st_ino);
}

static const char *type_name(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "slink";
    case S_IFIFO:
        return "pipe";
    case S_IFSOCK:
        return "sock";
    case S_IFREG:
        return "file";
    default:
        return "nod";
    }
}

/* One line a name, as `rdsquashfs --describe` prints it, all lines sorted. */
static int describe(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    struct ib_strv *lines = userdata;
    bool quote = strpbrk(path, " \t");
    struct ib_buf line = {0};

    if (!*path)
        return 0;
    ib_buf_printf(&line, quote ? "%s \"%s\" 0%o %u %u" : "%s %s 0%o %u %u", type_name(inode->mode),
                  path, inode->mode & 07777, inode->uid, inode->gid);
    if (S_ISLNK(inode->mode))
        ib_buf_printf(&line, " %s", inode->target);
    if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
        ib_buf_printf(&line, " %c %u %u", S_ISCHR(inode->mode) ? 'c' : 'b', inode->rdev_major,
                      inode->rdev_minor);
    ib_strv_take(lines, ib_buf_steal_string(&line));
    return 0;
}

Test(rootfs, other_programs_list_the_same)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    _cleanup_(ib_strv_clear) struct ib_strv expected = {0}, real = {0};
    _cleanup_(ib_freep) char *program = ib_find_program("rdsquashfs");
    const char *const describe_it[] = {"rdsquashfs", "--describe", p.image, NULL};
    const char *const cat[] = {"rdsquashfs", "--cat", "special/setuid", p.image, NULL};

    if (!program)
        cr_skip_test("rdsquashfs is not installed");
    write_image(tree, p.image, (struct ib_rootfs_options){.level = 3});
    _cleanup_(ib_buf_clear) struct ib_buf out = run(describe_it);
    ib_strv_split(&real, (const char *)out.data, "\n");
    ib_tree_walk(tree, describe, &expected);
    ib_strv_sort(&real);
    ib_strv_sort(&expected);
    _cleanup_(ib_freep) char *a = ib_strv_join(&expected, "\n"), *b = ib_strv_join(&real, "\n");
    cr_assert_str_eq(b, a);

    _cleanup_(ib_buf_clear) struct ib_buf content = run(cat);
    _cleanup_(ib_freep) unsigned char *bytes = noise(5000, 77);
    cr_assert(content.size == 5000 && memcmp(content.data, bytes, 5000) == 0);
}

Test(rootfs, unsquashfs_unpacks_what_was_put_in)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    _cleanup_(ib_freep) char *program = ib_find_program("unsquashfs");
    _cleanup_(ib_freep) char *out = ib_path_join(p.dir, "out");
    const char *const argv[] = {"unsquashfs", "-q", "-n", "-d", out, p.image, NULL};

    if (!program || geteuid() != 0)
        cr_skip_test("unsquashfs is not installed, or we are not root");
    /* more than a file on ext4 can hold */
    ib_inode_remove_xattr(ib_tree_find(tree, "xattrs/user")->inode, "user.big");
    write_image(tree, p.image, (struct ib_rootfs_options){.level = 1, .block_size = 4096});
    struct ib_buf log = run(argv);
    ib_buf_clear(&log);
    ib_tree_remove(tree, "special/sock"); /* unsquashfs makes none */
    ib_tree_walk(tree, compare_node, out);
}

static void assert_same_file(const char *a_path, const char *b_path)
{
    struct ib_buf a = {0}, b = {0};

    ok(ib_read_file(a_path, 64 * IB_MIB, &a, NULL), NULL);
    ok(ib_read_file(b_path, 64 * IB_MIB, &b, NULL), NULL);
    cr_assert_eq(a.size, b.size);
    cr_assert_eq(memcmp(a.data, b.data, a.size), 0);
    ib_buf_clear(&a);
    ib_buf_clear(&b);
}

Test(rootfs, same_bytes_whatever_the_threads)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_freep) char *other = ib_path_join(p.dir, "other");
    static const unsigned threads[] = {1, 4, 4, 0, 13};
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();

    write_image(tree, p.image, (struct ib_rootfs_options){.level = 7, .threads = 1});
    for (size_t i = 0; i < IB_ARRAY_SIZE(threads); i++) {
        _cleanup_(ib_tree_freep) struct ib_tree *again = sample(); /* other addresses */
        write_image(again, other, (struct ib_rootfs_options){.level = 7, .threads = threads[i]});
        assert_same_file(p.image, other);
    }
}

Test(rootfs, same_tree_whatever_the_block_size_and_level)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_freep) char *other = ib_path_join(p.dir, "other");
    _cleanup_(ib_freep) char *program = ib_find_program("sqfsdiff");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    const char *const argv[] = {"sqfsdiff", "--old", p.image, "--new", other, NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    int status;

    if (!program)
        cr_skip_test("sqfsdiff is not installed");
    ib_tree_remove(tree, "sizes/zeros"); /* whether there is a hole depends on the block's size */
    ib_tree_remove(tree, "sizes/zeros-tail");
    ib_tree_remove(tree, "sizes/hole-data-hole");
    write_image(tree, p.image, (struct ib_rootfs_options){.level = 1, .block_size = 1 << 20});
    write_image(tree, other, (struct ib_rootfs_options){.level = 19, .block_size = 1 << 14});
    ok(ib_run(&(struct ib_run){.argv = argv, .out = &out, .ret_status = &status}, NULL), NULL);
    cr_assert_eq(status, 0, "%s", (const char *)out.data);
}

/* base + packages + payloads + overlays, small and large files in each. */
static struct ib_tree *layered(const char *overlay_text, bool one_more)
{
    static const char *const tops[] = {"usr/base", "usr/packages", "opt/payloads", "etc/overlays"};
    struct ib_tree *tree = ib_tree_new();

    for (unsigned layer = 0; layer < IB_ROOTFS_LAYERS; layer++) {
        for (unsigned i = 0; i < 40; i++) {
            _cleanup_(ib_freep) char *path = ib_asprintf("%s/%02u", tops[layer], i);
            add_noise(tree, path, i % 10 == 9 ? 3 * BLOCK + i : 3000 + i, layer * 100 + i,
                      (enum ib_layer)layer);
        }
    }
    add_text(tree, "aaa-first-by-path", overlay_text, IB_LAYER_OVERLAYS);
    add_noise(tree, "etc/overlays/copy-of-base", 3007, 7, IB_LAYER_OVERLAYS);
    if (one_more)
        add_noise(tree, "usr/base/another-overlay", 70000, 4711, IB_LAYER_OVERLAYS);
    return tree;
}

Test(rootfs, a_change_in_an_overlay_moves_only_what_is_behind_it)
{
    enum { SUPER_SIZE = 96 };
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *before = layered("one", false);
    _cleanup_(ib_tree_freep) struct ib_tree *after = layered("another, longer", true);
    _cleanup_(ib_buf_clear) struct ib_buf a = {0}, b = {0};
    struct ib_rootfs_options options = {.level = 5, .threads = 3};

    struct ib_rootfs_info x = write_image(before, p.image, options);
    ok(ib_read_file(p.image, 64 * IB_MIB, &a, NULL), NULL);
    struct ib_rootfs_info y = write_image(after, p.image, options);
    ok(ib_read_file(p.image, 64 * IB_MIB, &b, NULL), NULL);

    for (int layer = IB_LAYER_BASE; layer < IB_LAYER_OVERLAYS; layer++) {
        cr_assert_eq(x.data_end[layer], y.data_end[layer]);
        cr_assert_gt(x.data_end[layer], layer ? x.data_end[layer - 1] + 4 * BLOCK : SUPER_SIZE);
    }
    cr_assert_lt(x.data_end[IB_LAYER_OVERLAYS], y.data_end[IB_LAYER_OVERLAYS]);
    uint64_t tail = x.data_end[IB_LAYER_PAYLOADS];
    cr_assert_eq(memcmp(a.data + SUPER_SIZE, b.data + SUPER_SIZE, tail - SUPER_SIZE), 0);
    cr_assert_eq(x.duplicate_count, 1); /* the copy of a base file takes no room */
    if (mount_image(&p))
        ib_tree_walk(after, compare_node, p.mount);
}

static void assert_fails(const struct ib_tree *tree, int fd, struct ib_rootfs_options options,
                         enum ib_error_code code, const char *text)
{
    struct ib_error *err = NULL;
    struct ib_rootfs_info info;

    cr_assert_eq(ib_rootfs_write(tree, fd, &options, &info, &err), -1);
    _cleanup_(ib_freep) char *chain = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", chain);
    cr_assert(strstr(chain, text), "%s", chain);
    ib_error_clear(&err);
}

Test(rootfs, failures_name_what_and_where)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = sample();
    _cleanup_(ib_closep) int fd = open(p.image, O_RDWR | O_CREAT, 0600);
    _cleanup_(ib_closep) int read_only = open(p.image, O_RDONLY);
    _cleanup_(ib_closep) int full = open("/dev/full", O_RDWR);
    static volatile sig_atomic_t cancel = 1;
    _cleanup_(ib_progress_freep) struct ib_progress *stop = ib_progress_new(NULL, NULL, &cancel);

    assert_fails(tree, fd, (struct ib_rootfs_options){.block_size = 5000}, IB_E_USAGE, "5000");
    assert_fails(tree, fd, (struct ib_rootfs_options){.block_size = 1 << 21}, IB_E_USAGE,
                 "2097152");
    assert_fails(tree, fd, (struct ib_rootfs_options){.level = 23}, IB_E_USAGE, "23");
    assert_fails(tree, fd, (struct ib_rootfs_options){.epoch_s = -1}, IB_E_USAGE, "-1");
    assert_fails(tree, fd, (struct ib_rootfs_options){.epoch_s = INT64_C(1) << 32}, IB_E_USAGE,
                 "4294967296");
    assert_fails(tree, fd, (struct ib_rootfs_options){.progress = stop}, IB_E_INTERRUPTED, "stop");
    assert_fails(tree, full, (struct ib_rootfs_options){0}, IB_E_NO_SPACE, "No space left");
    assert_fails(tree, read_only, (struct ib_rootfs_options){0}, IB_E_IO, "Bad file descriptor");

    struct ib_node *disk = ib_tree_find(tree, "special/disk");
    disk->inode->rdev_minor = 1 << 20;
    assert_fails(tree, fd, (struct ib_rootfs_options){0}, IB_E_INVALID, "'/special/disk'");
    disk->inode->rdev_minor = 0;
    ib_inode_set_xattr(disk->inode, "system.posix_acl_access", "\2\0\0\0x", 5);
    assert_fails(tree, fd, (struct ib_rootfs_options){0}, IB_E_INVALID, "'/special/disk'");
}

Test(rootfs, content_that_is_gone_is_an_error_with_its_path)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_closep) int content = ib_temp_file(p.dir, NULL);
    _cleanup_(ib_closep) int fd = open(p.image, O_RDWR | O_CREAT, 0600);

    cr_assert_eq(ftruncate(content, 100000), 0);
    cr_assert(
        ib_tree_add_file_range(tree, "usr/lib/x", 0644, content, 0, 100000, IB_LAYER_BASE, NULL));
    cr_assert_eq(ftruncate(content, 50000), 0);
    assert_fails(tree, fd, (struct ib_rootfs_options){0}, IB_E_INVALID, "'usr/lib/x'");
}

Test(rootfs, an_empty_tree)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    struct ib_rootfs_info info = write_image(tree, p.image, (struct ib_rootfs_options){0});

    cr_assert_eq(info.inode_count, 1);
    cr_assert_eq(info.size, 4096);
    if (mount_image(&p))
        ib_tree_walk(tree, compare_node, p.mount);
}

/* A cache key of compressed bytes must change with the libraries that make them. */
Test(rootfs, the_versions_of_its_writers_are_known)
{
    _cleanup_(ib_freep) char *version = ib_rootfs_writer_version();

    cr_assert(ib_startswith(version, "libsquashfs"), "%s", version);
    cr_assert(strstr(version, ", libzstd 1."), "%s", version);
    cr_assert(strpbrk(version, "0123456789") < strchr(version, ','), "%s", version);
}
