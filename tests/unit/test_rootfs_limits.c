/* SPDX-License-Identifier: Apache-2.0 */
/* Where formats change and tables fill up, and what squashfs cannot hold. */
#include "rootfs_helpers.h"

/* Looks up one name in a hundred. */
static int stat_node(struct ib_node *node, const char *path, void *userdata)
{
    if (!S_ISDIR(node->inode->mode) && !ib_endswith(path, "77"))
        return 0;
    _cleanup_(ib_freep) char *real = ib_asprintf("%s/%s", (const char *)userdata, path);
    struct stat st;

    cr_assert_eq(lstat(real, &st), 0, "%s: %s", path, strerror(errno));
    cr_assert_eq(st.st_mode, node->inode->mode);
    return 0;
}

static size_t count_names(const char *image)
{
    _cleanup_(ib_freep) char *program = ib_find_program("unsquashfs");
    const char *const argv[] = {"unsquashfs", "-ls", image, NULL};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    if (!program)
        cr_skip_test("unsquashfs is not installed");
    _cleanup_(ib_buf_clear) struct ib_buf out = run(argv);
    ib_strv_split(&lines, (const char *)out.data, "\n");
    return lines.count;
}

Test(rootfs_limits, a_directory_of_70000)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    char name[64];

    for (unsigned i = 0; i < 70000; i++) {
        snprintf(name, sizeof(name), "many/file-%05u", i);
        cr_assert(ib_tree_add_symlink(tree, name, "target", IB_LAYER_BASE, NULL));
    }
    struct ib_rootfs_info info = write_image(tree, p.image, (struct ib_rootfs_options){.level = 1});
    cr_assert_eq(info.inode_count, 70002);
    cr_assert_eq(count_names(p.image), 70002);
    if (mount_image(&p))
        ib_tree_walk(tree, stat_node, p.mount);
}

static unsigned listing_size(const char *image)
{
    const char *const argv[] = {"rdsquashfs", "--stat", "dir", image, NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = run(argv);
    const char *line = strstr((const char *)out.data, "Listing size: ");

    cr_assert_not_null(line);
    return (unsigned)strtoul(line + strlen("Listing size: "), NULL, 10);
}

/* A basic directory inode holds the listing's size + 3 in 16 bits. */
Test(rootfs_limits, directories_whose_listing_is_about_64_kib)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_freep) char *program = ib_find_program("rdsquashfs");
    struct ib_rootfs_options options = {.level = 1};
    char name[300] = "dir/";

    if (!program)
        cr_skip_test("rdsquashfs is not installed");
    for (unsigned i = 0; i < 1810; i++) {
        snprintf(name + 4, sizeof(name) - 4, "%028u", i);
        cr_assert(ib_tree_add_symlink(tree, name, "x", IB_LAYER_BASE, NULL));
    }
    memset(name + 4, 'z', 255);
    name[5] = 0;
    cr_assert(ib_tree_add_symlink(tree, name, "x", IB_LAYER_BASE, NULL));
    write_image(tree, p.image, options);
    unsigned base = listing_size(p.image) - 1;
    for (unsigned size = 65531; size < 65538; size++) {
        ib_tree_remove(tree, name);
        memset(name + 4, 'z', 255);
        name[4 + size - base] = 0;
        cr_assert(ib_tree_add_symlink(tree, name, "x", IB_LAYER_BASE, NULL));
        write_image(tree, p.image, options);
        cr_assert_eq(listing_size(p.image), size, "base %u size %u real %u", base, size,
                     listing_size(p.image));
        cr_assert_eq(count_names(p.image), 1813, "%u", size);
        if (mount_image(&p)) {
            ib_tree_walk(tree, compare_node, p.mount);
            umount2(p.mount, MNT_DETACH);
        }
    }
}

Test(rootfs_limits, files_over_4_gib)
{
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    /* holes are read fastest from a tmpfs */
    _cleanup_(ib_closep) int fd =
        ib_temp_file(ib_path_exists("/dev/shm") ? "/dev/shm" : p.dir, NULL);
    uint64_t size = 4 * IB_GIB + 12345;
    _cleanup_(ib_freep) char *path = ib_path_join(p.mount, "big");
    char end[8];

    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    cr_assert_eq(ib_pwrite_full(fd, "the end", 7, size - 7), 0);
    cr_assert(ib_tree_add_file_range(tree, "big", 0644, fd, 0, size, IB_LAYER_PAYLOADS, NULL));
    struct ib_rootfs_info info =
        write_image(tree, p.image, (struct ib_rootfs_options){.level = 1, .block_size = 1 << 20});
    cr_assert_lt(info.size, 64 * IB_KIB);
    if (!mount_image(&p))
        cr_skip_test("squashfs cannot be mounted here");
    _cleanup_(ib_closep) int back = ib_open_read(path, NULL);
    struct stat st;
    cr_assert(fstat(back, &st) == 0 && (uint64_t)st.st_size == size);
    cr_assert_eq(ib_pread_full(back, end, 8, size - 8), 0);
    cr_assert_eq(memcmp(end, "\0the end", 8), 0);
}

/* libsquashfs overruns a buffer at multiples of 512 distinct sets: what we do about it must hold.
 */
Test(rootfs_limits, many_distinct_xattrs)
{
    static const unsigned counts[] = {511, 512, 513, 1536};
    _cleanup_(place_clear) struct place p = place_new();
    char name[32], value[64];

    for (size_t c = 0; c < IB_ARRAY_SIZE(counts); c++) {
        _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
        for (unsigned i = 0; i < counts[c]; i++) {
            snprintf(name, sizeof(name), "dir/%u", i);
            snprintf(value, sizeof(value), "a value that exists once, %u", i);
            struct ib_node *node = add_text(tree, name, "x", IB_LAYER_BASE);
            ib_inode_set_xattr(node->inode, "security.ima", value, strlen(value));
        }
        write_image(tree, p.image, (struct ib_rootfs_options){.level = 1});
        if (!mount_image(&p))
            cr_skip_test("squashfs cannot be mounted here");
        ib_tree_walk(tree, compare_node, p.mount);
        cr_assert_eq(umount2(p.mount, MNT_DETACH), 0);
    }
}

/* Version 2, then entries of le16 tag, le16 permissions, le32 id (linux/posix_acl_xattr.h). */
static void set_acl(struct ib_node *node, const uint16_t (*entries)[2], size_t count)
{
    unsigned char acl[4 + 8 * 8] = {2};

    for (size_t i = 0; i < count; i++) {
        acl[4 + 8 * i] = (unsigned char)entries[i][0];
        acl[6 + 8 * i] = (unsigned char)entries[i][1];
    }
    ib_inode_set_xattr(node->inode, "system.posix_acl_access", acl, 4 + 8 * count);
}

static int keep_note(const struct ib_event *event, void *userdata)
{
    if (event->kind == IB_EVENT_NOTE)
        ib_buf_append_str(userdata, event->text);
    return 0;
}

static void on_event(const struct ib_event *event, void *userdata)
{
    keep_note(event, userdata);
}

Test(rootfs_limits, an_access_control_list_that_goes_gives_nobody_more)
{
    enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
    static const uint16_t journal[][2] = {
        {USER_OBJ, 7}, {GROUP_OBJ, 5}, {GROUP, 5}, {MASK, 7}, {OTHER, 5}};
    static const uint16_t closed[][2] = {
        {USER_OBJ, 6}, {USER, 6}, {GROUP_OBJ, 0}, {MASK, 6}, {OTHER, 0}};
    static const uint16_t denied[][2] = {{USER_OBJ, 7}, {USER, 7}, {GROUP_OBJ, 7},
                                         {GROUP, 4},    {MASK, 5}, {OTHER, 7}};
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_buf_clear) struct ib_buf note = {0};
    _cleanup_(ib_progress_freep) struct ib_progress *progress =
        ib_progress_new(on_event, &note, NULL);
    const char *const describe_it[] = {"rdsquashfs", "--describe", p.image, NULL};
    _cleanup_(ib_freep) char *program = ib_find_program("rdsquashfs");

    struct ib_node *node = ib_tree_add_directory(tree, "journal", 02775, IB_LAYER_BASE, NULL);
    set_acl(node, journal, IB_ARRAY_SIZE(journal));
    ib_inode_set_xattr(node->inode, "system.posix_acl_default", "\2\0\0\0", 4);
    node = ib_tree_add_file(tree, "key", 0660, "x", 1, IB_LAYER_BASE, NULL);
    set_acl(node, closed, IB_ARRAY_SIZE(closed));
    node = ib_tree_add_file(tree, "denied", 0757, "x", 1, IB_LAYER_BASE, NULL);
    set_acl(node, denied, IB_ARRAY_SIZE(denied));
    ib_inode_set_xattr(node->inode, "btrfs.compression", "zstd", 4);

    struct ib_rootfs_info info =
        write_image(tree, p.image, (struct ib_rootfs_options){.progress = progress});
    cr_assert_eq(info.dropped_xattr_count, 5);
    cr_assert(strstr((char *)note.data, "5 of the tree's extended attributes"), "%s", note.data);
    if (!program)
        cr_skip_test("rdsquashfs is not installed");
    struct ib_buf out = run(describe_it);
    cr_assert(strstr((char *)out.data, "dir journal 02755 0 0\n"), "%s", out.data);
    cr_assert(strstr((char *)out.data, "file key 0600 0 0\n"), "%s", out.data);
    cr_assert(strstr((char *)out.data, "file denied 0754 0 0\n"), "%s", out.data);
    ib_buf_clear(&out);
}
