# SPDX-License-Identifier: Apache-2.0
ib_unit_test(image
    cpio
    esp
    frames
    gpt
    uki
    verity)
