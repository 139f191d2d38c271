/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of verify share. */
#pragma once

#include "image/artifact.h"
#include "image/reader.h"
#include "ops/inspect.h"
#include "ops/verify.h"

struct ib_verifying {
    const char *path;
    const struct ib_verify_options *options;
    struct ib_verify_report *report;
};

void ib_verify_passed(const struct ib_verifying *v, const char *name, const char *fmt, ...)
    _printf_(3, 4);
void ib_verify_skipped(const struct ib_verifying *v, const char *name, const char *fmt, ...)
    _printf_(3, 4);

/* The manifest's signature, before anything else in the artifact is used. */
int ib_verify_signature(const struct ib_verifying *v, const struct ib_artifact *a, const char *name,
                        struct ib_error **err) _must_check_;
/* Every boot image's roothash= is one of these roots. */
int ib_verify_ukis(const struct ib_verifying *v, const struct ib_image *image,
                   const struct ib_sha256 *roots, size_t root_count,
                   struct ib_error **err) _must_check_;

int ib_verify_disk(const struct ib_verifying *v, struct ib_error **err) _must_check_;
int ib_verify_compare(const struct ib_verifying *v, struct ib_error **err) _must_check_;
