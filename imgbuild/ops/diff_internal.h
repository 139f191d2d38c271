/* SPDX-License-Identifier: Apache-2.0 */
/* What diff.c (sections) and diff_files.c (file trees) share. */
#pragma once

#include "ops/diff.h"

/* Adds an item; texts are copied, NULL stays NULL. Returns it, until the next is added. */
struct ib_diff_item *ib_diff_add(struct ib_diff_section *section, const char *name,
                                 const char *from, const char *to);

/* Merges two lists sorted by name: calls fn with each name's members, NULL where absent. */
struct diff_merge {
    size_t a_count, b_count;
    const char *(*name)(const void *list, size_t index);
    const void *a, *b;
    /* index SIZE_MAX: absent. 0, or -1 and an error. */
    int (*fn)(const struct diff_merge *merge, size_t i, size_t j, struct ib_error **err);
    void *userdata;
};
int ib_diff_merge(const struct diff_merge *merge, struct ib_error **err) _must_check_;

int ib_diff_trees(const struct ib_tree *a, const struct ib_tree *b, struct ib_diff_section *section,
                  struct ib_error **err) _must_check_;

/* An opened squashfs, with the descriptor it lies on. */
struct diff_root {
    int fd;
    uint64_t offset, size;
    const char *name;
};
int ib_diff_roots(const struct diff_root *a, const struct diff_root *b,
                  struct ib_progress *progress, struct ib_diff_section *section,
                  struct ib_error **err) _must_check_;
