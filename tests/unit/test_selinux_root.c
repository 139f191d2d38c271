/* SPDX-License-Identifier: Apache-2.0 */
/* Labels from a tree's file_contexts, through a squashfs, read back by a program not ours. */
#include "os/selinux.h"
#include "rootfs_helpers.h"

/* In the form and the order of Fedora's targeted policy. */
static const char rules[] =
    "/.*\tsystem_u:object_r:default_t:s0\n"
    "/\t-d\tsystem_u:object_r:root_t:s0\n"
    "/etc(/.*)?\tsystem_u:object_r:etc_t:s0\n"
    "/usr(/.*)?\tsystem_u:object_r:usr_t:s0\n"
    "/usr/bin(/.*)?\tsystem_u:object_r:bin_t:s0\n"
    "/etc/shadow.*\t--\tsystem_u:object_r:shadow_t:s0\n"
    "/usr/bin/(k3s|runc)\t--\tsystem_u:object_r:container_runtime_exec_t:s0\n"
    "/proc\t-d\t<<none>>\n";

static struct ib_tree *labelled_tree(const char *dir)
{
    struct ib_selinux_info info = {0};
    struct ib_error *err = NULL;
    struct ib_tree *tree = ib_tree_new();

    add_text(tree, "etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
             IB_LAYER_BASE);
    add_text(tree, "etc/selinux/targeted/contexts/files/file_contexts", rules, IB_LAYER_PACKAGES);
    add_text(tree, "etc/shadow", "root:!::\n", IB_LAYER_BASE);
    add_text(tree, "usr/bin/k3s", "k3s", IB_LAYER_PAYLOADS);
    add_text(tree, "usr/bin/ls", "ls", IB_LAYER_BASE);
    cr_assert(ib_tree_add_symlink(tree, "bin", "usr/bin", IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_directory(tree, "proc", 0555, IB_LAYER_BASE, NULL));
    ok(ib_selinux_label(tree, dir, NULL, &info, &err), &err);
    cr_assert_str_eq(info.policy, "targeted");
    cr_assert_eq(info.unlabelled_count, 1);
    return tree;
}

static void check_label(const char *image, const char *path, const char *type)
{
    const char *const argv[] = {"rdsquashfs", "--xattr", path, image, NULL};
    _cleanup_(ib_freep) char *wanted =
        type ? ib_asprintf("security.selinux=system_u:object_r:%s:s0", type) : NULL;
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    struct ib_error *err = NULL;

    ok(ib_run(&(struct ib_run){.argv = argv, .out = &out}, &err), &err);
    const char *text = out.size ? (const char *)out.data : "";
    if (wanted)
        cr_assert(strstr(text, wanted), "%s: %s", path, text);
    else
        cr_assert_null(strstr(text, "security.selinux"), "%s: %s", path, text);
}

Test(selinux_root, labels_of_the_policy_stand_in_the_squashfs)
{
    _cleanup_(ib_freep) char *program = ib_find_program("rdsquashfs");
    _cleanup_(place_clear) struct place p = place_new();

    if (!program)
        cr_skip_test("rdsquashfs is not installed");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = labelled_tree(p.dir);
    write_image(tree, p.image, (struct ib_rootfs_options){.level = 1});
    check_label(p.image, "/", "root_t");
    check_label(p.image, "/etc", "etc_t");
    check_label(p.image, "/etc/shadow", "shadow_t");
    check_label(p.image, "/usr/bin", "bin_t");
    check_label(p.image, "/usr/bin/ls", "bin_t");
    check_label(p.image, "/usr/bin/k3s", "container_runtime_exec_t");
    check_label(p.image, "/bin", "default_t");
    check_label(p.image, "/proc", NULL);
}
