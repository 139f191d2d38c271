/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disk images with Fedora's layouts, made by tests/fixtures/fedora-images (a test of its own, so
 * that they are made once), through an appliance into a tree.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "os/base_file.h"
#include "os/host.h"

struct import {
    struct ib_tree *tree;
    int spool_fd;
    struct ib_error *err;
    int result;
};

static void import_clear(struct import *i)
{
    ib_tree_free(i->tree);
    ib_error_free(i->err);
    ib_closep(&i->spool_fd);
}

static struct import import(const char *name)
{
    struct import i = {.tree = ib_tree_new()};
    _cleanup_(ib_freep) char *path = ib_path_join(IB_IMAGES_DIR, name);

    if (!ib_path_exists(IB_IMAGES_DIR "/complete"))
        cr_skip_test("the images were not made (ctest -R fixture/fedora-images)");
    i.spool_fd = ib_temp_file("/tmp", NULL);
    i.result = ib_base_file_import(&(struct ib_base){.kind = IB_BASE_DISK_IMAGE}, path, NULL,
                                   i.tree, i.spool_fd, NULL, NULL, &i.err);
    return i;
}

#define LABEL(type) "system_u:object_r:" type ":s0"
#define N50 "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

/* What the fixture's script writes. */
static const struct expected {
    const char *path;
    uint32_t mode, uid, gid;
    const char *content; /* or a link's target; NULL: not compared */
    const char *label;   /* NULL: none */
} expected[] = {
    {"bin", S_IFLNK | 0777, 0, 0, "usr/bin", LABEL("bin_t")},
    {"boot/efi/EFI/BOOT/BOOTX64.EFI", S_IFREG | 0755, 0, 0, "MZ", NULL},
    {"boot/loader/entries/fedora.conf", S_IFREG | 0644, 0, 0, "title Fedora", NULL},
    {"dev/disk", S_IFBLK | 0660, 0, 0, NULL, NULL},
    {"dev/null", S_IFCHR | 0666, 0, 0, NULL, NULL},
    {"etc/machine-id", S_IFREG | 0644, 0, 0, "uninitialized", LABEL("machineid_t")},
    {"etc/os-release", S_IFLNK | 0777, 0, 0, "../usr/lib/os-release", NULL},
    {"home/fedora", S_IFDIR | 0755, 1000, 1000, NULL, NULL},
    {"home/fedora/note", S_IFREG | 0640, 1000, 2000000000, "in home", NULL},
    {"run/fifo", S_IFIFO | 0600, 0, 0, NULL, NULL},
    {"tmp", S_IFDIR | 01777, 0, 0, NULL, NULL},
    {"usr/bin/newuidmap", S_IFREG | 0755, 0, 0, "capable", LABEL("bin_t")},
    {"usr/bin/sudo", S_IFREG | 04111, 0, 0, "setuid", LABEL("sudo_exec_t")},
    {"usr/share/latin-\xe6\xf8\xe5", S_IFREG | 0644, 0, 0, "latin-1", NULL},
    {"usr/share/" N50 N50 N50 N50 N50, S_IFREG | 0644, 0, 0, "long", NULL},
    {"var/log/journal", S_IFDIR | 02755, 0, 190, NULL, LABEL("var_log_t")},
};

static void check_content(const struct ib_node *node, const struct expected *e)
{
    char data[64] = {0};

    if (S_ISLNK(e->mode)) {
        cr_assert_str_eq(node->inode->target, e->content, "%s", e->path);
        return;
    }
    cr_assert_eq(node->inode->size, strlen(e->content), "%s", e->path);
    cr_assert_eq(ib_inode_read(node->inode, data, node->inode->size, 0, NULL), 0);
    cr_assert_str_eq(data, e->content, "%s", e->path);
}

static void check_xattr(const struct ib_tree *tree, const char *path, const char *name,
                        const void *value, size_t size)
{
    const struct ib_node *node = ib_tree_find(tree, path);
    const struct ib_xattr *x = node ? ib_inode_get_xattr(node->inode, name) : NULL;

    cr_assert(x, "'%s' has no %s", path, name);
    cr_assert_eq(x->size, size, "%s of '%s': %zu bytes", name, path, x->size);
    cr_assert_arr_eq(x->value, value, size, "%s of '%s'", name, path);
}

static void check_table(const struct ib_tree *tree)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(expected); i++) {
        const struct expected *e = &expected[i];
        const struct ib_node *node = ib_tree_find(tree, e->path);
        cr_assert(node, "'%s' is not there", e->path);
        cr_assert_eq(node->inode->mode, e->mode, "'%s' is %o", e->path, node->inode->mode);
        cr_assert_eq(node->inode->uid, e->uid, "%s", e->path);
        cr_assert_eq(node->inode->gid, e->gid, "%s", e->path);
        if (e->content)
            check_content(node, e);
        if (e->label)
            check_xattr(tree, e->path, "security.selinux", e->label, strlen(e->label) + 1);
        else
            cr_assert_null(ib_inode_get_xattr(node->inode, "security.selinux"), "%s", e->path);
    }
}

/* linux/capability.h, struct vfs_cap_data, revision 2: CAP_SETUID (7) permitted and effective. */
static const unsigned char cap_setuid[] = {1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0,
                                           0, 0, 0, 0, 0,    0, 0, 0, 0, 0};

/* acl(5) as Linux keeps it, linux/posix_acl_xattr.h: u::rwx g::r-x g:10:r-x m::r-x o::r-x. */
static const unsigned char acl[] = {
    2,  0, 0, 0,                         /* version */
    1,  0, 7, 0, 0xff, 0xff, 0xff, 0xff, /* owner */
    4,  0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* owning group */
    8,  0, 5, 0, 10,   0,    0,    0,    /* group 10 */
    16, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* mask */
    32, 0, 5, 0, 0xff, 0xff, 0xff, 0xff, /* others */
};

static void check_attributes(const struct ib_tree *tree)
{
    const struct ib_node *sudo = ib_tree_find(tree, "usr/bin/sudo");
    const struct ib_inode *null = ib_tree_find(tree, "dev/null")->inode;
    const struct ib_inode *disk = ib_tree_find(tree, "dev/disk")->inode;

    check_xattr(tree, "usr/bin/newuidmap", "security.capability", cap_setuid, sizeof(cap_setuid));
    check_xattr(tree, "home/fedora/note", "user.comment", "one two", 7);
    check_xattr(tree, "var/log/journal", "system.posix_acl_access", acl, sizeof(acl));
    check_xattr(tree, "var/log/journal", "system.posix_acl_default", acl, sizeof(acl));
    cr_assert_eq(ib_tree_find(tree, "usr/bin/sudoedit")->inode, sudo->inode, "a hard link");
    cr_assert_eq(sudo->inode->nlink, 2);
    cr_assert_eq(sudo->inode->mtime_s, 1700000000);
    cr_assert(null->rdev_major == 1 && null->rdev_minor == 3);
    cr_assert(disk->rdev_major == 259 && disk->rdev_minor == 70000);
}

static void check_sparse(const struct ib_tree *tree)
{
    const uint64_t hole = 20 * IB_MIB;
    const struct ib_node *node = ib_tree_find(tree, "var/sparse");
    char data[8];

    cr_assert(node);
    cr_assert_eq(node->inode->size, hole + 3);
    cr_assert_eq(ib_inode_read(node->inode, data, 5, hole - 2, NULL), 0);
    cr_assert_arr_eq(data, "\0\0end", 5);
    cr_assert_eq(ib_inode_read(node->inode, data, 8, hole / 2, NULL), 0);
    cr_assert_arr_eq(data, "\0\0\0\0\0\0\0\0", 8);
}

/* As for packages: licences stay, documentation and other languages go. */
static void check_excluded(const struct ib_tree *tree)
{
    static const char *const gone[] = {"usr/share/doc/bash/README", "usr/share/man/man1",
                                       "usr/share/locale/nb"};
    static const char *const kept[] = {"usr/share/doc/bash/COPYING", "usr/share/locale/en/bash.mo"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(gone); i++)
        cr_assert_null(ib_tree_find(tree, gone[i]), "%s", gone[i]);
    for (size_t i = 0; i < IB_ARRAY_SIZE(kept); i++)
        cr_assert(ib_tree_find(tree, kept[i]), "%s", kept[i]);
}

static void check_fedora(const char *name, const char *release)
{
    _cleanup_(import_clear) struct import i = import(name);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    cr_assert_eq(i.result, 0, "%s", i.err ? ib_error_text(i.err) : "");
    check_table(i.tree);
    check_attributes(i.tree);
    check_sparse(i.tree);
    check_excluded(i.tree);
    cr_assert_eq(ib_tree_read_file(i.tree, "etc/fedora-release", 100, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, release);
}

Test(diskimage, fedora_43_boot_on_ext4, .timeout = 900)
{
    check_fedora("fedora-43.qcow2", "Fedora release 43");
}

Test(diskimage, fedora_44_all_on_btrfs, .timeout = 900)
{
    check_fedora("fedora-44.qcow2", "Fedora release 44");
}

/* Before any appliance is launched: QEMU would open these files of the host. */
Test(diskimage, images_that_lead_to_other_files_are_refused)
{
    static const struct {
        const char *name, *message;
    } cases[] = {
        {"backing.qcow2", "' is a qcow2 image with a backing file"},
        {"data-file.qcow2", "' is a qcow2 image with a data file"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        _cleanup_(import_clear) struct import r = import(cases[i].name);
        cr_assert_eq(r.result, -1);
        cr_assert_eq(ib_error_code(r.err), IB_E_INVALID);
        cr_assert(strstr(ib_error_line(r.err, 1), cases[i].message), "%s", ib_error_line(r.err, 1));
        cr_assert_str_eq(ib_error_hint(r.err),
                         "put both into one: qemu-img convert -O qcow2 IMAGE NEW");
    }
}

static void check_refused(const char *name, const char *message)
{
    _cleanup_(import_clear) struct import i = import(name);

    cr_assert_eq(i.result, -1, "%s", name);
    cr_assert(strstr(ib_error_line(i.err, 0), "cannot import disk image"));
    _cleanup_(ib_freep) char *text = ib_error_text(i.err);
    if (message)
        cr_assert(strstr(text, message), "%s", text);
}

Test(diskimage, image_without_a_system_is_refused, .timeout = 900)
{
    check_refused("no-system.qcow2", "there is no operating system in the image");
}

Test(diskimage, garbage_is_refused, .timeout = 900)
{
    check_refused("garbage.img", "there is no operating system in the image");
}

Test(diskimage, half_an_image_is_refused, .timeout = 900)
{
    check_refused("truncated.qcow2", NULL);
}

Test(diskimage, missing_and_empty_images_are_refused)
{
    check_refused("no-such-file.qcow2", "No such file or directory");
    check_refused("empty.img", "is too small for a disk image");
}
