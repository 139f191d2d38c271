/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running other programs: argv only (never a shell line), a closed set of file descriptors, a
 * fixed locale and time zone, and an end when ours ends (PR_SET_PDEATHSIG) or the user cancels.
 */
#pragma once

#include "base/buffer.h"
#include "base/progress.h"

struct ib_run {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up on PATH and in sbin */
    const char *const *env;  /* "K=V" entries added to, or replacing, the inherited ones; or NULL */
    const char *cwd;         /* NULL: ours */
    int stdin_fd;            /* -1 (or 0): /dev/null. Borrowed. */
    int stdout_fd;           /* -1 (or 0): collected into `out`, or /dev/null if that is NULL */
    struct ib_buf *out;      /* stdout, at most max_out_bytes (0: 16 MiB) */
    size_t max_out_bytes;
    struct ib_buf *log;           /* stderr's last 64 KiB; NULL: only used for the error message */
    struct ib_progress *progress; /* for cancellation; may be NULL */
    int (*child_setup)(void *userdata); /* between fork and exec; -1 with errno fails the run */
    /*
     * Runs in the child instead of a program, which argv[0] then only names; what it returns is the
     * exit status. The child is a copy of us with one thread: it must not take a lock that another
     * thread may have held (progress, OpenSSL, ib_run). Memory and errors are safe.
     */
    int (*child_main)(void *userdata);
    void *userdata;
    bool foreground; /* stays in our process group: a program that talks to the terminal itself */
    int *ret_status; /* where set, a nonzero exit status is stored here and is no failure */
};

/*
 * Runs to the end. A program that is missing is IB_E_UNSUPPORTED with the package as a hint where
 * we know it; a nonzero exit or a signal is IB_E_CHILD whose message ends with its last lines on
 * stderr. LC_ALL=C.UTF-8 and TZ=UTC0 are set unless env overrides them.
 */
int ib_run(const struct ib_run *run, struct ib_error **err) _must_check_;

/* A program that goes on beside us: same fields (out, log and ret_status must be NULL). */
struct ib_child;
struct ib_child *ib_spawn(const struct ib_run *run, struct ib_error **err) _must_check_;
/* Waits for its end and frees it. */
int ib_child_wait(struct ib_child *child, struct ib_error **err) _must_check_;
/* Kills it where it still runs, reaps and frees it. Returns NULL. */
struct ib_child *ib_child_kill(struct ib_child *child);
void ib_child_killp(struct ib_child **child);
int ib_child_pid(const struct ib_child *child);
