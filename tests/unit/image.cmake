# SPDX-License-Identifier: Apache-2.0
ib_unit_test(image
    artifact
    bmap_read
    cpio
    esp
    frames
    gpt
    rootfs
    rootfs_limits
    selinux_root
    squashfs
    uki
    verity)
