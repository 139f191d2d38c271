/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel of a tree: which one it is, where its image lies, which drivers it has; and the
 * processors' microcode, which the kernel wants before everything else.
 */
#pragma once

#include "io/tree.h"

struct ib_kernel {
    char *version;          /* the name of its directory below usr/lib/modules */
    char *image;            /* path in the tree */
    struct ib_strv drivers; /* all it has, built in or as modules; "-" written "_"; sorted */
};

/*
 * Finds the one kernel of the tree. `pattern` is the absolute path of its image with one "*" in the
 * place of the version. No kernel is IB_E_NOT_FOUND; two are IB_E_INVALID and both are named.
 */
int ib_kernel_find(const struct ib_tree *tree, const char *pattern, struct ib_kernel *ret,
                   struct ib_error **err) _must_check_;
void ib_kernel_clear(struct ib_kernel *kernel);

bool ib_kernel_has_driver(const struct ib_kernel *kernel, const char *name);
/* An error names the first driver that the kernel lacks, and the nearest that it has. */
int ib_kernel_check_drivers(const struct ib_kernel *kernel, const struct ib_strv *drivers,
                            struct ib_error **err) _must_check_;

/*
 * The files of the early initrd that brings microcode (kernel/x86/microcode/GenuineIntel.bin and
 * AuthenticAMD.bin; Linux Documentation/arch/x86/microcode.rst), from what the tree's firmware
 * directories hold. A tree without any gives an empty one. Must come first in the initrd, and
 * uncompressed.
 */
struct ib_tree *ib_kernel_microcode(const struct ib_tree *tree, struct ib_error **err) _must_check_;
