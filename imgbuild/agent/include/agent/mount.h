/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few kinds of mount that a machine's file systems are put together from, and plain files.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* An ext4 partition, without access times. */
int ib_mount_ext4(const char *device, const char *target, struct ib_error **err) _must_check_;
int ib_mount_bind(const char *from, const char *to, struct ib_error **err) _must_check_;
/* A tmpfs of at most size_mib, mode 0755, without devices and set-user-ID programs. */
int ib_mount_tmpfs(const char *target, unsigned size_mib, struct ib_error **err) _must_check_;
/* An overlay; `lower` is its list of lower directories, the uppermost first, joined by ':'. */
int ib_mount_overlay(const char *lower, const char *upper, const char *work, const char *target,
                     struct ib_error **err) _must_check_;

/* Writes a file, 0644, that need not survive a crash (on /run). */
int ib_write_plain(const char *path, const struct ib_buf *content,
                   struct ib_error **err) _must_check_;
