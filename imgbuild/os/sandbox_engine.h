/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox engine does for os/sandbox.h. Private to os/.
 *
 * sandbox.c checks arguments, keeps the steps and reads host files into a tree; an engine makes a
 * tree real, runs programs in it and saves what they left. Paths are in ib_path_normalize's form.
 */
#pragma once

#include "os/sandbox.h"

struct ib_sandbox;

struct ib_sandbox_ops {
    enum ib_sandbox_engine engine;
    const char *name;
    int (*probe)(struct ib_error **err);
    /* Makes sandbox->tree real; `state` is the engine's. On failure close is called all the same.
     */
    int (*open)(struct ib_sandbox *sandbox, struct ib_error **err);
    void (*close)(struct ib_sandbox *sandbox);
    /* Lays `files` over the directory, which is made (0755) where it is missing. */
    int (*merge)(struct ib_sandbox *sandbox, const struct ib_tree *files, const char *directory,
                 struct ib_error **err);
    /* Writes the content of the regular file behind `path` (links are followed) to fd. */
    int (*read_file)(struct ib_sandbox *sandbox, const char *path, int fd, struct ib_error **err);
    /* env is complete. stdout goes to `out`, or where that is NULL to the lines of the error. */
    int (*run)(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
               struct ib_buf *out, struct ib_error **err);
    int (*remove)(struct ib_sandbox *sandbox, const char *path, struct ib_error **err);
    int (*save)(struct ib_sandbox *sandbox, int fd, struct ib_error **err);
};

struct ib_sandbox {
    const struct ib_sandbox_ops *ops;
    const struct ib_tree *tree; /* as it came in; borrowed */
    struct ib_sandbox_options options;
    char *scratch_dir; /* our copy of the option */
    void *state;
};

extern const struct ib_sandbox_ops ib_sandbox_namespace_ops;
extern const struct ib_sandbox_ops ib_sandbox_guestfs_ops;

enum { IB_SANDBOX_MAX_OUTPUT = 16 * 1024 * 1024 }; /* bytes that a program may print to `out` */
