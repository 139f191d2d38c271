/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of Linux namespaces, held open by a process of ours, and functions of ours and programs run
 * inside them. Private to os/.
 *
 *     us ──┬── holder ── init        init is PID 1 of the PID namespace; when it ends, everything
 *          │                         in there is killed by the kernel
 *          ├── worker                a child for each call: enters the namespaces, does its work
 *          └── worker ── program     and for each program
 *
 * Init ends when its socket to us closes: when we free it, and also when we are killed. Workers end
 * with us (PR_SET_PDEATHSIG). So nothing outlives us, and a memory scratch vanishes with the last.
 *
 * As root with CAP_SYS_ADMIN no user namespace is made; otherwise one in which ids 0 to 65535 are
 * mapped: 0 to the user, the others to the user's ranges in /etc/subuid and /etc/subgid. Programs
 * get the same few capabilities in both, so that they do the same.
 *
 * Order: open, write the tree below ib_ns_tree_fd (ib_ns_call), ib_ns_enter once, then calls and
 * programs in any order.
 */
#pragma once

#include "base/buffer.h"
#include "base/progress.h"

struct ib_ns_options {
    const char *scratch_dir; /* an existing directory of the host */
    bool memory;             /* a tmpfs, which nobody else sees; else a directory in scratch_dir */
    uint64_t memory_limit;   /* bytes of that tmpfs; 0: what is available now */
};

struct ib_ns;

struct ib_ns *ib_ns_open(const struct ib_ns_options *options, struct ib_error **err) _must_check_;
struct ib_ns *ib_ns_free(struct ib_ns *ns); /* ends all inside and removes it; returns NULL */
void ib_ns_freep(struct ib_ns **ns);

/* The tree's root without what is mounted over it (/proc, /tmp, …); empty at first. Borrowed. */
int ib_ns_tree_fd(const struct ib_ns *ns);
bool ib_ns_has_high_ids(const struct ib_ns *ns); /* can files belong to ids above 65535? */

/* Makes the tree "/", with /proc, /sys, /dev, /run and /tmp mounted, for all that follows. */
int ib_ns_enter(struct ib_ns *ns, struct ib_error **err) _must_check_;
/* Was this mount point ("proc", "tmp") missing in the tree, and made by ib_ns_enter? */
bool ib_ns_made(const struct ib_ns *ns, const char *mount_point);

/*
 * Runs fn in a child of ours that has entered the namespaces (not the PID namespace), with all
 * capabilities and umask 0. It sees the tree at "/" after ib_ns_enter, and keeps our descriptors.
 * An error it returns arrives here with code, text and cure. See ib_run's child_main for its
 * limits.
 */
typedef int (*ib_ns_fn)(void *userdata, struct ib_error **err);
int ib_ns_call(struct ib_ns *ns, const char *name, ib_ns_fn fn, void *userdata,
               struct ib_progress *progress, struct ib_error **err) _must_check_;

/*
 * Runs a program in all the namespaces as root with few capabilities; env is complete. Afterwards
 * kills whatever it left behind. out and errors as in ib_run; with out NULL its stdout counts as
 * stderr. A program that does not exist "ended with exit status 127".
 */
int ib_ns_run(struct ib_ns *ns, const char *const *argv, const char *const *env, struct ib_buf *out,
              size_t max_out_bytes, struct ib_progress *progress,
              struct ib_error **err) _must_check_;

/* Removes what a killed imgbuild left: a scratch directory, whose files may belong to mapped ids.
 */
int ib_ns_remove_scratch(const char *path, struct ib_error **err) _must_check_;
