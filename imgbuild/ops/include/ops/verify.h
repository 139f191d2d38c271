/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying artifacts and disks. Three questions:
 *
 *     an artifact                is it whole, consistent and signed by whom we trust?
 *     a disk and an artifact     does the disk hold what the artifact unpacks to?
 *     a disk alone               do its partition tables, hash trees and boot images fit together?
 *
 * A disk is a block device or a raw image file. Nothing is written.
 */
#pragma once

#include "base/progress.h"
#include "io/trust.h"

struct ib_verify_options {
    const struct ib_trust *trust;
    const char *image;    /* the artifact to compare a disk with; NULL: the disk alone */
    const char *temp_dir; /* for a sparse copy of an artifact's EFI system partition */
    struct ib_progress *progress;
};

/* One thing that was looked at. */
struct ib_verify_check {
    const char *name; /* "signature", "frames", … */
    char *text;       /* what was found, or why it was not looked at */
    bool passed;      /* false: skipped */
};

struct ib_verify_report {
    const char *kind; /* "artifact", "disk" */
    struct ib_verify_check *items;
    size_t count;
};
void ib_verify_report_clear(struct ib_verify_report *report);

/*
 * Stops at what is wrong first: IB_E_VERIFY (or IB_E_INVALID for what is malformed). A comparison
 * of a disk goes on and counts, per partition. *ret holds what passed until then, also on failure.
 */
int ib_verify(const char *path, const struct ib_verify_options *options,
              struct ib_verify_report *ret, struct ib_error **err) _must_check_;
