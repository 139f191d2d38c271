/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A libguestfs appliance: a throw-away virtual machine with its own kernel, for whatever must not
 * meet the host's kernel (untrusted file systems) or needs a privilege that we do not have.
 *
 * KVM is used where it really works. Where it does not, or where a launch with it fails, the
 * appliance runs under TCG, and the step says so in one line. A launch costs 2 s with KVM, some
 * 10 s without: open every disk that is needed in one.
 *
 *     appliance = ib_appliance_launch(&options, err);
 *     g = ib_appliance_handle(appliance);
 *     if (guestfs_mount_ro(g, "/dev/sda3", "/") < 0)
 *         return ib_appliance_fail(appliance, path, "mount", err);
 */
#pragma once

#include "base/progress.h"

struct guestfs_h;

struct ib_appliance_drive {
    const char *path;
    const char *format; /* "raw", "qcow2"; never probed: a raw image could claim to be a qcow2 */
    bool writable;      /* else opened read-only, below a throw-away overlay */
    bool scratch;       /* its content need not survive a crash: no syncs */
    const char *label;  /* letters: /dev/disk/guestfs/LABEL in the appliance; or NULL */
};

struct ib_appliance_options {
    const struct ib_appliance_drive *drives; /* in order: /dev/sda, /dev/sdb, … */
    size_t drive_count;
    unsigned memory_mib;   /* 0: libguestfs' default (1280) */
    const char *space_dir; /* where scratch drives grow, and libguestfs' own files: when it is
                              nearly full the machine is stopped, for qemu would wait for space
                              without end. May be NULL */
    struct ib_progress *progress; /* for cancellation; may be NULL */
    struct ib_step *step;         /* parent of the launch step; may be NULL */
};

struct ib_appliance;

struct ib_appliance *ib_appliance_launch(const struct ib_appliance_options *options,
                                         struct ib_error **err) _must_check_;
/* Borrowed. Calls on it are ended (they fail) when the user cancels. */
struct guestfs_h *ib_appliance_handle(const struct ib_appliance *appliance);
bool ib_appliance_has_kvm(const struct ib_appliance *appliance);

/*
 * Makes an error "cannot WHAT 'SUBJECT'" out of the last failed call, with libguestfs' reason;
 * IB_E_INTERRUPTED when the user cancelled, IB_E_NO_SPACE when space_dir ran full. Returns -1.
 */
int ib_appliance_fail(struct ib_appliance *appliance, const char *subject, const char *what,
                      struct ib_error **err);

/* Shuts the machine down after syncing the writable drives; an error where that failed. */
int ib_appliance_shutdown(struct ib_appliance *appliance, struct ib_error **err) _must_check_;
struct ib_appliance *ib_appliance_free(struct ib_appliance *appliance); /* returns NULL */
void ib_appliance_freep(struct ib_appliance **appliance);
