/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The place: one directory in a sandbox that holds everything a job of ours needs there (scripts,
 * configuration, packages) and everything it leaves behind. It is gathered on the host, copied in
 * as a whole, and removed as a whole, so that no job can leave a trace. Private to os/.
 *
 * Order: ib_place_new, add things, ib_place_enter, run programs, ib_place_leave; free the name with
 * ib_temp_dirp.
 */
#pragma once

#include "base/buffer.h"
#include "os/sandbox.h"

/* Where it is inside. */
#define IB_PLACE "/.imgbuild"

/* An empty directory below scratch_dir; NULL on failure. */
char *ib_place_new(const char *scratch_dir, struct ib_error **err) _must_check_;
/* `name` is a path below the place whose directory exists. */
int ib_place_write(const char *place, const char *name, unsigned mode, const char *text,
                   struct ib_error **err) _must_check_;
/* A host file's content. */
int ib_place_copy(const char *place, const char *name, unsigned mode, const char *host_path,
                  struct ib_error **err) _must_check_;
/* With its parents. */
int ib_place_mkdir(const char *place, const char *name, struct ib_error **err) _must_check_;

int ib_place_enter(const char *place, struct ib_sandbox *sandbox,
                   struct ib_error **err) _must_check_;
int ib_place_leave(struct ib_sandbox *sandbox, struct ib_error **err) _must_check_;
/*
 * Runs "/bin/sh IB_PLACE/SCRIPT ARGUMENTS…". `arguments` and `env` are NULL-terminated, or NULL.
 * `date_s` becomes SOURCE_DATE_EPOCH.
 */
int ib_place_run(struct ib_sandbox *sandbox, const char *script, const char *const *arguments,
                 const char *const *env, int64_t date_s, struct ib_error **err) _must_check_;
