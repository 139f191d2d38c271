/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: a tree made real for a while, so that its own programs (package manager, dracut) can
 * run in it. Two engines give the same result:
 *
 *     namespace   user (where not root), mount, PID, IPC and UTS namespaces; chroot. Fast.
 *     guestfs     a libguestfs appliance: its own kernel, no privilege, works anywhere, slow
 *                 without KVM. KVM that does not work falls back to TCG with a note.
 *
 * Inside: the tree at /, /proc, /sys (read-only), a minimal /dev, an empty tmpfs on /tmp and /run,
 * no network, no host files. What an engine cannot hold (device nodes, security.selinux, other
 * security.* xattrs but capabilities) is remembered and put back on export.
 *
 * Order: open, copy_in and run any number of times, export, free.
 */
#pragma once

#include "io/tree.h"

enum ib_sandbox_engine { IB_SANDBOX_AUTO, IB_SANDBOX_NAMESPACE, IB_SANDBOX_GUESTFS };

struct ib_sandbox_options {
    enum ib_sandbox_engine engine;
    const char *scratch_dir; /* host directory for the tree (the cache's tmp/) */
    bool memory;             /* the tree may live on a tmpfs; the caller looked at free memory */
    uint64_t memory_limit_bytes; /* of that tmpfs; 0: the memory that is available now */
    struct ib_progress *progress;
    struct ib_step *step; /* parent for ours; may be NULL */
};

struct ib_sandbox;

/* Materialises `tree` (borrowed until export). */
struct ib_sandbox *ib_sandbox_open(const struct ib_tree *tree,
                                   const struct ib_sandbox_options *options,
                                   struct ib_error **err) _must_check_;
struct ib_sandbox *ib_sandbox_free(struct ib_sandbox *sandbox); /* returns NULL; removes it all */
void ib_sandbox_freep(struct ib_sandbox **sandbox);

/* Copies a host file, or a directory with all below it, to `path` inside. Owner root. */
int ib_sandbox_copy_in(struct ib_sandbox *sandbox, const char *host_path, const char *path,
                       struct ib_error **err) _must_check_;
/* Copies one regular file out to host_path. */
int ib_sandbox_copy_out(struct ib_sandbox *sandbox, const char *path, const char *host_path,
                        struct ib_error **err) _must_check_;
/*
 * Runs argv (NULL-terminated, absolute program path inside) as root with cwd / and the environment
 * env ("K=V", NULL-terminated; PATH, HOME, LC_ALL=C.UTF-8, TZ=UTC0 are given). stdout goes to `out`
 * where not NULL. A nonzero exit is IB_E_CHILD with its last lines.
 */
int ib_sandbox_run(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
                   struct ib_buf *out, struct ib_error **err) _must_check_;
/* Removes a path inside (and below it); a missing one is fine. */
int ib_sandbox_remove(struct ib_sandbox *sandbox, const char *path,
                      struct ib_error **err) _must_check_;
/* Writes the tree archive of what is there now to fd. Mount points' content is left out. */
int ib_sandbox_export(struct ib_sandbox *sandbox, int fd, struct ib_error **err) _must_check_;

/*
 * Removes what a killed imgbuild left in scratch_dir: a directory "sandbox.XXXXXX", whose files may
 * belong to ids that only a user namespace of ours has. A missing one is fine.
 */
int ib_sandbox_remove_leftover(const char *path, struct ib_error **err) _must_check_;

enum ib_sandbox_engine ib_sandbox_engine(const struct ib_sandbox *sandbox); /* the one in use */

/* 0 when the engine works on this machine; else -1 and why, with the cure as hint. */
int ib_sandbox_probe(enum ib_sandbox_engine engine, struct ib_error **err) _must_check_;
