/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two images, down to single files: nothing is guessed from names or times.
 *
 * Sections, in this order: image (node, role, versions, sizes), partitions, packages, sources,
 * uki (sections of the boot images), identity (files that the UKI carries), root (files of the
 * root file system). Times of files are not compared: a build sets them all to one.
 */
#pragma once

#include "ops/inspect.h"

enum ib_diff_kind { IB_DIFF_ADDED, IB_DIFF_REMOVED, IB_DIFF_CHANGED };

struct ib_diff_item {
    enum ib_diff_kind kind;
    char *name;
    char *from, *to; /* NULL: absent (added, removed) */
    char *what;      /* which properties of it: "mode, content"; NULL where from and to say it */
};

struct ib_diff_section {
    const char *name;
    struct ib_diff_item *items; /* by name */
    size_t count, capacity;
    size_t same;    /* how many are in both and do not differ */
    bool identical; /* known to be the same bytes without looking at each (same then is 0) */
};

enum {
    IB_DIFF_IMAGE,
    IB_DIFF_PARTITIONS,
    IB_DIFF_PACKAGES,
    IB_DIFF_SOURCES,
    IB_DIFF_UKI,
    IB_DIFF_IDENTITY,
    IB_DIFF_ROOT,
    IB_DIFF_SECTIONS,
};

struct ib_diff {
    struct ib_diff_section sections[IB_DIFF_SECTIONS];
    bool have_frames;        /* both are artifacts: */
    uint64_t new_raw_bytes;  /* of b's content, what none of a's frames holds */
    uint64_t new_size_bytes; /* and its compressed size: what a delta would fetch */
};

/* Compares; temporary files (unpacked roots) are made under temp_dir and removed. */
int ib_diff_run(const struct ib_image *a, const struct ib_image *b, const char *temp_dir,
                struct ib_progress *progress, struct ib_diff *ret,
                struct ib_error **err) _must_check_;
void ib_diff_clear(struct ib_diff *diff);
/* True when no section has an item. */
bool ib_diff_is_empty(const struct ib_diff *diff);
const char *ib_diff_kind_name(enum ib_diff_kind kind); /* "added", … */
