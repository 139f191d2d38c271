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

# tests/bench/flash and tests that need artifacts of other images.
add_executable(raw_artifact fixtures/raw_artifact.c)
target_link_libraries(raw_artifact PRIVATE ib_flags ib_image)
