/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "os/kernel.h"

static void add(struct ib_tree *tree, const char *path, const char *text)
{
    cr_assert(ib_tree_add_file(tree, path, 0644, text, strlen(text), IB_LAYER_BASE, NULL));
}

static void add_kernel(struct ib_tree *tree, const char *version)
{
    char path[200];

    snprintf(path, sizeof(path), "usr/lib/modules/%s/modules.dep", version);
    add(tree, path,
        "kernel/drivers/usb/storage/usb-storage.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz\n"
        "kernel/fs/ext4/ext4.ko.zst:\nkernel/drivers/scsi/scsi_mod.ko.xz:\nupdates/igc.ko:\n");
    snprintf(path, sizeof(path), "usr/lib/modules/%s/modules.builtin", version);
    add(tree, path, "kernel/drivers/virtio/virtio_pci.ko\nkernel/fs/ext4/ext4.ko\n");
    snprintf(path, sizeof(path), "boot/vmlinuz-%s", version);
    add(tree, path, "MZ");
}

Test(kernel, is_found_by_its_image_and_knows_its_drivers)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_kernel kernel = {0};
    struct ib_error *err = NULL;

    add_kernel(tree, "6.12.107+deb13-amd64");
    add(tree, "usr/lib/modules/6.1.0-old/modules.dep", ""); /* left by a removed kernel */
    cr_assert_eq(ib_kernel_find(tree, "/boot/vmlinuz-*", &kernel, &err), 0, "%s",
                 ib_error_text(err));
    cr_assert_str_eq(kernel.version, "6.12.107+deb13-amd64");
    cr_assert_str_eq(kernel.image, "boot/vmlinuz-6.12.107+deb13-amd64");
    char *drivers = ib_strv_join(&kernel.drivers, " ");
    cr_assert_str_eq(drivers, "ext4 igc scsi_mod usb_storage virtio_pci");
    free(drivers);
    cr_assert(ib_kernel_has_driver(&kernel, "usb-storage"));
    cr_assert_not(ib_kernel_has_driver(&kernel, "usb"));

    struct ib_strv wanted = {0};
    ib_strv_split(&wanted, "ext4 usb_storge", " ");
    cr_assert_eq(ib_kernel_check_drivers(&kernel, &wanted, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0),
                     "the kernel 6.12.107+deb13-amd64 has no driver 'usb_storge'");
    cr_assert_str_eq(ib_error_hint(err), "did you mean 'usb_storage'?");
    ib_error_free(err);
    ib_strv_clear(&wanted);
    ib_kernel_clear(&kernel);
    ib_tree_free(tree);
}

Test(kernel, fedoras_place_and_a_usr_merged_pattern)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_kernel kernel = {0};

    add_kernel(tree, "6.19.10-300.fc44.x86_64");
    add(tree, "usr/lib/modules/6.19.10-300.fc44.x86_64/vmlinuz", "MZ");
    cr_assert(ib_tree_add_symlink(tree, "lib", "usr/lib", IB_LAYER_BASE, NULL));
    cr_assert_eq(ib_kernel_find(tree, "/lib/modules/*/vmlinuz", &kernel, NULL), 0);
    cr_assert_str_eq(kernel.image, "usr/lib/modules/6.19.10-300.fc44.x86_64/vmlinuz");
    ib_kernel_clear(&kernel);
    ib_tree_free(tree);
}

Test(kernel, none_and_two_are_errors)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_kernel kernel = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_kernel_find(tree, "/boot/vmlinuz-*", &kernel, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
    add_kernel(tree, "6.1");
    add_kernel(tree, "6.12");
    cr_assert_eq(ib_kernel_find(tree, "/boot/vmlinuz-*", &kernel, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "the tree holds two kernels, 6.1 and 6.12");
    ib_error_clear(&err);
    cr_assert_null(kernel.version);
    ib_tree_free(tree);
}

Test(kernel, microcode_is_one_blob_a_vendor)
{
    struct ib_tree *tree = ib_tree_new(), *early;
    _cleanup_(ib_buf_clear) struct ib_buf blob = {0};

    early = ib_kernel_microcode(tree, NULL);
    cr_assert(early && ib_tree_entry_count(early) <= 1); /* the root alone */
    ib_tree_free(early);
    add(tree, "usr/lib/firmware/intel-ucode/06-9e-0d", "second");
    add(tree, "usr/lib/firmware/intel-ucode/06-9e-09", "first ");
    add(tree, "usr/lib/firmware/amd-ucode/microcode_amd.bin", "amd");
    add(tree, "usr/lib/firmware/amd-ucode/README", "not code");
    early = ib_kernel_microcode(tree, NULL);
    cr_assert_eq(ib_tree_read_file(early, "kernel/x86/microcode/GenuineIntel.bin", 99, &blob, NULL),
                 0);
    cr_assert_str_eq((char *)blob.data, "first second");
    cr_assert_eq(ib_tree_read_file(early, "kernel/x86/microcode/AuthenticAMD.bin", 99, &blob, NULL),
                 0);
    cr_assert_str_eq((char *)blob.data, "amd");
    ib_tree_free(early);
    ib_tree_free(tree);
}
