/* SPDX-License-Identifier: Apache-2.0 */
/* A small real tree for the sandbox's tests: the host's static busybox and what a root has. */
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "io/tree.h"

/* A file capability: cap_net_raw=ep (struct vfs_cap_data, revision 2, little-endian). */
static const unsigned char net_raw_capability[20] = {1, 0, 0, 2, 0, 0x20};
/* user::rw-, user:1:r--, group::r--, mask::r--, other::--- (linux/posix_acl_xattr.h). */
static const unsigned char small_acl[] = {
    2, 0, 0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,   4,  0, 1, 0, 0,   0,   4,   0,
    4, 0, 255, 255, 255, 255, 16, 0, 4,   0,   255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};

/* The static busybox, or -1: every program of the tests is one of its applets. */
static int open_busybox(void)
{
    static const char *const paths[] = {"/bin/busybox", "/sbin/busybox", "/usr/bin/busybox-static"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(paths); i++) {
        _cleanup_(ib_closep) int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > 64 << 20)
            continue;
        _cleanup_(ib_freep) char *data = ib_malloc((size_t)st.st_size);
        /* a dynamic program names its interpreter */
        if (ib_pread_full(fd, data, (size_t)st.st_size, 0) == 0 &&
            !memmem(data, (size_t)st.st_size, "/ld-linux", 9) &&
            !memmem(data, (size_t)st.st_size, "/lib/ld-", 8))
            return ib_steal_fd(&fd);
    }
    return -1;
}

static void own(struct ib_node *node, uint32_t uid, uint32_t gid)
{
    cr_assert_not_null(node);
    node->inode->uid = uid;
    node->inode->gid = gid;
    node->inode->mtime_s = 1700000000;
}

/* Everything that must survive: owners, setuid, capabilities, ACLs, links, devices, labels, times.
 */
static void add_odd_files(struct ib_tree *tree)
{
    static const char label[] = "system_u:object_r:etc_t:s0";
    const enum ib_layer layer = IB_LAYER_BASE;
    struct ib_node *n;

    own(ib_tree_add_file(tree, "odd/setuid", 06755, "s", 1, layer, NULL), 0, 0);
    own(n = ib_tree_add_file(tree, "odd/capable", 0755, "c", 1, layer, NULL), 0, 0);
    ib_inode_set_xattr(n->inode, "security.capability", net_raw_capability, 20);
    own(n = ib_tree_add_file(tree, "odd/acl", 0640, "a", 1, layer, NULL), 1000, 100);
    ib_inode_set_xattr(n->inode, "system.posix_acl_access", small_acl, sizeof(small_acl));
    own(n = ib_tree_add_file(tree, "odd/labelled", 0600, "l", 1, layer, NULL), 65534, 65534);
    ib_inode_set_xattr(n->inode, "security.selinux", label, sizeof(label));
    ib_inode_set_xattr(n->inode, "user.note", "kept", 4);
    own(n = ib_tree_add_directory(tree, "odd/sticky", 01777, layer, NULL), 0, 5);
    ib_inode_set_xattr(n->inode, "trusted.secret", "t", 1);
    own(ib_tree_add_file(tree, "odd/a", 0644, "linked", 6, layer, NULL), 3, 4);
    cr_assert(ib_tree_add_hardlink(tree, "odd/z/b", ib_tree_find(tree, "odd/a"), layer, NULL));
    own(ib_tree_add_symlink(tree, "odd/dangling", "../../no/where", layer, NULL), 7, 8);
    own(ib_tree_add_special(tree, "odd/fifo", S_IFIFO | 0620, 0, 0, layer, NULL), 9, 9);
    own(n = ib_tree_add_special(tree, "odd/null", S_IFCHR | 0666, 1, 3, layer, NULL), 0, 0);
    ib_inode_set_xattr(n->inode, "security.selinux", label, sizeof(label));
    own(ib_tree_add_special(tree, "odd/disk", S_IFBLK | 0660, 8, 1, layer, NULL), 0, 6);
    own(ib_tree_add_special(tree, "odd/socket", S_IFSOCK | 0777, 0, 0, layer, NULL), 0, 0);
    own(ib_tree_add_file(tree, "odd/far", 0644, "f", 1, layer, NULL), 100000, 2000000);
    own(ib_tree_add_file(tree, "odd/empty \xc3\xa4\nname", 0444, "", 0, layer, NULL), 0, 0);
    own(ib_tree_add_file(tree, "dev/inside", 0644, "covered", 7, layer, NULL), 0, 0);
    own(ib_tree_add_file(tree, "odd/doomed/file", 0644, "d", 1, layer, NULL), 0, 0);
    own(ib_tree_add_special(tree, "odd/doomed/null", S_IFCHR | 0666, 1, 3, layer, NULL), 0, 0);
}

/* NULL without a static busybox. */
static struct ib_tree *make_tree(void)
{
    static const char *const applets[] = {
        "sh",   "cat",      "chmod", "chown",  "cp",       "echo",   "env",   "expr",  "head",
        "id",   "kill",     "ln",    "ls",     "mkdir",    "mkfifo", "mknod", "mount", "mv",
        "ping", "ps",       "rm",    "setsid", "sleep",    "stat",   "test",  "touch", "true",
        "dd",   "hostname", "ip",    "wc",     "readlink", "nc",     "sync",  "grep"};
    static const char *const directories[] = {"proc", "sys", "dev", "run", "tmp", "etc", "root"};
    _cleanup_(ib_closep) int busybox = open_busybox();
    struct stat st;

    if (busybox < 0 || fstat(busybox, &st) < 0)
        return NULL;
    struct ib_tree *tree = ib_tree_new();
    ib_tree_root(tree)->inode->mtime_s = 1700000000;
    own(ib_tree_add_directory(tree, "usr/bin", 0755, IB_LAYER_BASE, NULL), 0, 0);
    own(ib_tree_add_symlink(tree, "bin", "usr/bin", IB_LAYER_BASE, NULL), 0, 0);
    own(ib_tree_add_file_range(tree, "usr/bin/busybox", 0755, busybox, 0, (uint64_t)st.st_size,
                               IB_LAYER_BASE, NULL),
        0, 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(applets); i++) {
        char path[32];
        snprintf(path, sizeof(path), "usr/bin/%s", applets[i]);
        own(ib_tree_add_symlink(tree, path, "busybox", IB_LAYER_BASE, NULL), 0, 0);
    }
    for (size_t i = 0; i < IB_ARRAY_SIZE(directories); i++)
        own(ib_tree_add_directory(tree, directories[i], 0755, IB_LAYER_BASE, NULL), 0, 0);
    add_odd_files(tree);
    return tree;
}
