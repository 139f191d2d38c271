/* SPDX-License-Identifier: Apache-2.0 */
/* What gpt.c and gpt_fit.c share: libfdisk on a file or memory. */
#pragma once

#include <libfdisk.h>

#include "image/gpt.h"

/* A context whose sector size does not depend on the device the image lies on. */
struct fdisk_context *ib_fdisk_open(int fd, const char *name, bool read_only,
                                    struct ib_error **err) _must_check_;
void ib_fdisk_unrefp(struct fdisk_context **cxt);

/* Adds a partition with its number and place; 0 or -errno. */
int ib_fdisk_add(struct fdisk_context *cxt, const struct ib_gpt_partition *p) _must_check_;
