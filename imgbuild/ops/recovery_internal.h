/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of `recovery` share (ops/recovery.h). */
#pragma once

#include <string.h>

#include "build_internal.h"
#include "image/medium.h"
#include "ops/recovery.h"

struct ib_recovery {
    struct ib_build *build;
    const struct ib_recovery_options *options;
    struct ib_cache_entry *initrd;
    char *dir; /* for work in progress */
    char *esp; /* its image */
    uint64_t esp_size;
};

/* Makes r->esp, of r->esp_size bytes, for the medium of that identity. */
int ib_recovery_make_esp(struct ib_recovery *r, const struct ib_sha256 *id,
                         struct ib_error **err) _must_check_;
