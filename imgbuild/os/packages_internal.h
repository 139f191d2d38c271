/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a package manager must be able to do, and what they share. Private to os/.
 */
#pragma once

#include "os/packages.h"

struct ib_package_manager {
    const char *name;
    /* Called with at least one package to install or remove, none of it done yet. */
    int (*apply)(struct ib_sandbox *sandbox, const struct ib_package_job *job,
                 struct ib_error **err);
    /* Lines "NAME TAB VERSION TAB ARCHITECTURE NEWLINE", in any order. */
    int (*query)(struct ib_sandbox *sandbox, struct ib_buf *ret, struct ib_error **err);
};

extern const struct ib_package_manager ib_apt;
extern const struct ib_package_manager ib_rpm;
