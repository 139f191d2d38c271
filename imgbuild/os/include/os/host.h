/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine can do: for `imgbuild doctor`, for the choice of a sandbox, and for messages
 * that name what to install. Everything is tried, not guessed from a file's existence.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

enum ib_host_state {
    IB_HOST_OK,
    IB_HOST_LIMITED, /* works, but slower or with less; the detail says what */
    IB_HOST_MISSING,
};

/* One thing that was tried. All strings are owned by the report. */
struct ib_host_check {
    const char *name;     /* "kvm", "user-namespaces", … or a program's name; static */
    const char *used_for; /* what is lost without it, a noun phrase; static */
    enum ib_host_state state;
    char *detail; /* one line: what was found, or why it does not work */
    char *cure;   /* what to do, an imperative phrase; NULL where nothing need be done */
};

struct ib_host_report {
    struct ib_host_check *checks; /* in a fixed order: abilities first, then programs by name */
    size_t count;
    char *install; /* one command that brings every missing program, or NULL */
};

/*
 * Tries everything; takes some 100 ms and changes nothing. cache_dir (may be NULL, need not exist)
 * is where free disk space is wanted. *ret is filled anew; free with ib_host_report_clear.
 */
void ib_host_inspect(const char *cache_dir, struct ib_host_report *ret);
void ib_host_report_clear(struct ib_host_report *report);

/*
 * 0 when a KVM machine can be made (ioctl KVM_CREATE_VM) and runs code at a processor's speed, else
 * why not, with the cure where there is one. Takes some milliseconds.
 */
int ib_host_probe_kvm(struct ib_error **err) _must_check_;
/* 0 when libguestfs finds what its appliance is made of: supermin or a fixed appliance, a kernel
 * that we may read with its modules, qemu. Launches nothing. */
int ib_host_probe_appliance(struct ib_error **err) _must_check_;

/*
 * The ranges of subordinate ids of the calling user in `path` (subuid(5): /etc/subuid,
 * /etc/subgid), as "FIRST:COUNT" strings in the file's order; none is no error, nor is a missing
 * file.
 */
int ib_host_subordinate_ids(const char *path, struct ib_strv *ret,
                            struct ib_error **err) _must_check_;

/* Memory that can be used without swapping: MemAvailable, or what our control group leaves of it.
 */
uint64_t ib_host_memory_available(void);
/* Free bytes for us at `path` or at its nearest existing parent. */
int ib_host_disk_free(const char *path, uint64_t *ret_bytes, struct ib_error **err) _must_check_;

/* The package that brings a program on this distribution (its name on others too), or NULL. */
const char *ib_host_package_of(const char *program);
