/* SPDX-License-Identifier: Apache-2.0 */
/* Both copies of a disk's GUID partition table, checked as firmware checks them. */
#pragma once

#include "base/error.h"

/*
 * Checks signature, place and CRC32s of the table at the disk's start and of its backup, and that
 * both list the same (UEFI specification 2.10, 5.3.2). Sectors of 512 bytes. IB_E_VERIFY.
 * *ret_at_end (may be NULL): whether the backup is in the disk's last sector, as it should be;
 * otherwise an image was copied to a larger disk.
 */
int ib_gpt_check(int fd, const char *name, bool *ret_at_end, struct ib_error **err) _must_check_;
