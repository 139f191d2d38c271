/* SPDX-License-Identifier: Apache-2.0 */
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "namespace_internal.h"
#include "os/host.h"

enum {
    STATUS_ERROR = 100, /* a worker's exit status that tells an error: this plus its code */
    STATUS_NOT_FOUND = 127,
    STATUS_SIGNAL = 128,
};

/* Between an error's text and its cure, on a worker's stderr */
#define SEPARATOR '\x1f'

struct ib_ns {
    struct ib_child *holder;
    int socket; /* to init: closing it ends everything */
    int tree_fd;
    int fds[IB_NS_KINDS]; /* -1 where there is none */
    char *scratch;        /* our directory of the host, or NULL */
    uint32_t made;        /* mount points, by ib_ns_mount_points */
};

static void close_fd(int *fd)
{
    _cleanup_(ib_closep) _unused_ int closing = ib_steal_fd(fd);
}

/* ---- Talking to init ------------------------------------------------------------------------ */

static int fail_reply(const struct ib_ns_reply *reply, struct ib_error **err)
{
    enum ib_error_code code = reply->errnum == ENOSPC ? IB_E_NO_SPACE : IB_E_UNSUPPORTED;

    ib_failf(err, code, "cannot %s: %s", reply->what,
             reply->errnum == EUSERS ? "a limit (user.max_*_namespaces) is reached"
                                     : strerror(reply->errnum));
    if (reply->hint[0])
        return ib_hint(err, "%s", reply->hint);
    if (reply->errnum == ENOSPC)
        return ib_hint(err, "free some space in the cache's file system");
    if (reply->errnum == EPERM || reply->errnum == EUSERS || reply->errnum == EINVAL)
        return ib_hint(err, "allow user namespaces (sudo sysctl user.max_user_namespaces=10000 "
                            "kernel.apparmor_restrict_unprivileged_userns=0, those that exist), or "
                            "--sandbox=guestfs");
    return -1;
}

/* Receives an answer and up to `count` descriptors; how many, or -1 and an error. */
static int receive(const struct ib_ns *ns, struct ib_ns_reply *ret, int *fds, size_t count,
                   struct ib_error **err)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * (1 + IB_NS_KINDS))];
    } control;
    struct iovec data = {ret, sizeof(*ret)};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t n;
    size_t got = 0;

    do
        n = recvmsg(ns->socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(*ret))
        return ib_failf(err, IB_E_UNSUPPORTED, "the process that holds the namespaces was killed");
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (fds && header && header->cmsg_type == SCM_RIGHTS) {
        got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), sizeof(int) * IB_MIN(got, count));
    }
    return ret->errnum ? fail_reply(ret, err) : (int)got;
}

static int request(const struct ib_ns *ns, char what, struct ib_ns_reply *ret,
                   struct ib_error **err)
{
    if (send(ns->socket, &what, 1, MSG_NOSIGNAL) != 1)
        return ib_failf(err, IB_E_UNSUPPORTED, "the process that holds the namespaces was killed");
    return receive(ns, ret, NULL, 0, err);
}

/* ---- Opening and closing -------------------------------------------------------------------- */

/* The directory of the tree lies in one that only we may enter: it may hold setuid programs. */
static int make_scratch(struct ib_ns *ns, const char *dir, char **ret_place, struct ib_error **err)
{
    ns->scratch = ib_make_temp_dir(dir, "sandbox", err);
    if (!ns->scratch)
        return -1;
    _cleanup_(ib_freep) char *place = ib_path_join(ns->scratch, "root");
    if (mkdir(place, 0755) < 0)
        return ib_fail(err, IB_E_IO, errno, place, "make directory");
    *ret_place = ib_steal(&place);
    return 0;
}

static int take_descriptors(struct ib_ns *ns, bool user_namespace, struct ib_error **err)
{
    struct ib_ns_reply reply;
    int fds[1 + IB_NS_KINDS] = {0}, first = user_namespace ? IB_NS_USER : IB_NS_MOUNT;
    int n = receive(ns, &reply, fds, IB_ARRAY_SIZE(fds), err);

    if (n < 0)
        return -1;
    if (n != 1 + IB_NS_KINDS - first) /* our own limit on descriptors drops what is too much */
        return ib_failf(err, IB_E_IO, "too many files are open");
    ns->tree_fd = fds[0];
    for (int i = 1; i < n; i++)
        ns->fds[first + i - 1] = fds[i];
    return 0;
}

static int start_holder(struct ib_ns *ns, struct ib_ns_plan *plan, struct ib_error **err)
{
    const char *const argv[] = {"namespaces", NULL};
    struct ib_ns_reply reply;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a socket");
    ns->socket = pair[0];
    plan->socket = pair[1];
    ns->holder = ib_spawn(
        &(struct ib_run){.argv = argv, .child_main = ib_ns_holder_main, .userdata = plan}, err);
    close(pair[1]);
    if (!ns->holder)
        return -1;
    if (plan->user_namespace) {
        const char go = IB_NS_GO;
        if (receive(ns, &reply, NULL, 0, err) < 0 ||
            ib_ns_map_ids(ib_child_pid(ns->holder), err) < 0)
            return -1;
        if (send(ns->socket, &go, 1, MSG_NOSIGNAL) != 1)
            return ib_fail(err, IB_E_IO, errno, NULL, "start the namespaces");
    }
    return take_descriptors(ns, plan->user_namespace, err);
}

struct ib_ns *ib_ns_open(const struct ib_ns_options *options, struct ib_error **err)
{
    _cleanup_(ib_ns_freep) struct ib_ns *ns = ib_calloc(1, sizeof(*ns));
    _cleanup_(ib_freep) char *place = NULL;

    ns->socket = ns->tree_fd = -1;
    for (int i = 0; i < IB_NS_KINDS; i++)
        ns->fds[i] = -1;
    if (options->memory)
        place = ib_strdup(options->scratch_dir);
    else if (make_scratch(ns, options->scratch_dir, &place, err) < 0)
        return NULL;
    struct ib_ns_plan plan = {
        .user_namespace = !ib_ns_is_privileged(),
        .memory = options->memory,
        .memory_limit = options->memory_limit ? options->memory_limit : ib_host_memory_available(),
        .place = place,
    };
    if (start_holder(ns, &plan, err) < 0)
        return NULL;
    return ib_steal(&ns);
}

int ib_ns_enter(struct ib_ns *ns, struct ib_error **err)
{
    struct ib_ns_reply reply;

    if (request(ns, IB_NS_ENTER, &reply, err) < 0)
        return -1;
    ns->made = reply.made;
    return 0;
}

static int remove_scratch(void *userdata, struct ib_error **err)
{
    return ib_remove_tree(userdata, err);
}

struct ib_ns *ib_ns_free(struct ib_ns *ns)
{
    if (!ns)
        return NULL;
    if (ns->socket >= 0)
        shutdown(ns->socket, SHUT_RDWR); /* a child of another thread may hold a copy */
    close_fd(&ns->socket);
    if (ns->holder && ib_child_wait(ns->holder, NULL) < 0) {
        /* it was killed: what it held is gone all the same */
    }
    close_fd(&ns->tree_fd);
    /* Files of mapped ids can only be removed by one who has those ids */
    close_fd(&ns->fds[IB_NS_MOUNT]);
    if (ns->scratch && ib_ns_call(ns, "remove", remove_scratch, ns->scratch, NULL, NULL) < 0) {
        /* the name says whose it is, and `clean` removes it */
    }
    for (int i = 0; i < IB_NS_KINDS; i++)
        close_fd(&ns->fds[i]);
    free(ns->scratch);
    free(ns);
    return NULL;
}

void ib_ns_freep(struct ib_ns **ns)
{
    *ns = ib_ns_free(*ns);
}

int ib_ns_tree_fd(const struct ib_ns *ns)
{
    return ns->tree_fd;
}

bool ib_ns_has_high_ids(const struct ib_ns *ns)
{
    return ns->fds[IB_NS_USER] < 0 && ib_ns_has_all_ids();
}

bool ib_ns_made(const struct ib_ns *ns, const char *mount_point)
{
    for (size_t i = 0; ib_ns_mount_points[i]; i++)
        if (ib_streq(ib_ns_mount_points[i], mount_point))
            return ns->made & 1U << i;
    return false;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

struct call {
    const struct ib_ns *ns;
    ib_ns_fn fn;
    void *userdata;
};

/* In a worker: joins the namespaces from the first to `last`. -1 with errno. */
static int join(const struct ib_ns *ns, enum ib_ns_kind last)
{
    for (int kind = 0; kind <= (int)last; kind++)
        if (ns->fds[kind] >= 0 && setns(ns->fds[kind], ib_ns_types[kind].flag) < 0)
            return -1;
    return prctl(PR_SET_PDEATHSIG, SIGKILL); /* other credentials clear it */
}

/* In a worker: tells the error in a form that `take_error` reads; the exit status. */
static int tell_error(struct ib_error *err)
{
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    const char *hint = ib_error_hint(err);

    dprintf(2, "%s%c%s", text, SEPARATOR, hint ? hint : "");
    return STATUS_ERROR + (int)ib_error_code(err);
}

static int worker_main(void *userdata)
{
    const struct call *call = userdata;
    struct ib_error *err = NULL;
    struct rlimit files;

    umask(0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* a deep tree holds a descriptor for each level */
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (join(call->ns, IB_NS_MOUNT) < 0) {
        ib_fail(&err, IB_E_UNSUPPORTED, errno, NULL, "enter the namespaces");
        return tell_error(err);
    }
    return call->fn(call->userdata, &err) < 0 ? tell_error(err) : 0;
}

static int take_error(const char *name, int status, struct ib_buf *log, struct ib_error **err)
{
    const char *text = log->size ? (const char *)log->data : "";
    char *separator = log->size ? strrchr((char *)log->data, SEPARATOR) : NULL;

    if (status <= STATUS_ERROR || !separator)
        return ib_failf(err, IB_E_INTERNAL, "'%s' ended with exit status %d: %s", name, status,
                        text);
    *separator = 0;
    ib_failf(err, (enum ib_error_code)(status - STATUS_ERROR), "%s", text);
    return separator[1] ? ib_hint(err, "%s", separator + 1) : -1;
}

int ib_ns_call(struct ib_ns *ns, const char *name, ib_ns_fn fn, void *userdata,
               struct ib_progress *progress, struct ib_error **err)
{
    const char *const argv[] = {name, NULL};
    _cleanup_(ib_buf_clear) struct ib_buf log = {0};
    struct call call = {ns, fn, userdata};
    int status = 0;

    if (ib_run(&(struct ib_run){.argv = argv,
                                .log = &log,
                                .progress = progress,
                                .child_main = worker_main,
                                .userdata = &call,
                                .ret_status = &status},
               err) < 0)
        return -1;
    return status ? take_error(name, status, &log, err) : 0;
}

/* ---- Programs ------------------------------------------------------------------------------- */

struct program {
    const struct ib_ns *ns;
    const char *const *argv, *const *env;
    bool has_out;
};

static _Noreturn void exec_program(const struct program *p)
{
    if (!p->has_out)
        dup2(2, 1);
    close_range(3, ~0U, 0);
    if (ib_ns_drop_privileges() == 0)
        execve(p->argv[0], (char *const *)(uintptr_t)p->argv, (char *const *)(uintptr_t)p->env);
    dprintf(2, "cannot start '%s' in the sandbox: %s", p->argv[0], strerror(errno));
    _exit(STATUS_NOT_FOUND);
}

/* In a child of ours. A new PID namespace is for children only: the program is one more fork away.
 */
static int program_main(void *userdata)
{
    const struct program *p = userdata;
    pid_t pid = -1;
    int status;

    if (join(p->ns, IB_NS_KINDS - 1) == 0 && chdir("/") == 0)
        pid = fork();
    if (pid == 0)
        exec_program(p);
    if (pid < 0) {
        dprintf(2, "cannot enter the sandbox: %s", strerror(errno));
        return STATUS_NOT_FOUND;
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return STATUS_NOT_FOUND;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    /* End the same way, so that the message names the signal */
    (void)prctl(PR_SET_DUMPABLE, 0);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return STATUS_SIGNAL + WTERMSIG(status);
}

/* A program that failed in a full sandbox failed because of that. */
static int explain_full(const struct ib_ns *ns, struct ib_error **err)
{
    struct statvfs st;
    struct ib_error *inner = err ? *err : NULL;

    if (!inner || ib_error_code(inner) != IB_E_CHILD || fstatvfs(ns->tree_fd, &st) < 0 ||
        (st.f_bavail > 16 && (st.f_files == 0 || st.f_favail > 0)))
        return -1;
    _cleanup_(ib_freep) char *text = ib_error_text(inner);
    ib_error_clear(err);
    ib_failf(err, IB_E_NO_SPACE, "%s", text);
    ib_hint(err, ns->scratch ? "free some space in the cache's file system"
                             : "build on disk instead of in memory, or free some memory");
    return ib_wrap(err, NULL, "go on: the sandbox's file system is full");
}

int ib_ns_run(struct ib_ns *ns, const char *const *argv, const char *const *env, struct ib_buf *out,
              size_t max_out_bytes, struct ib_progress *progress, struct ib_error **err)
{
    struct program program = {ns, argv, env, out != NULL};
    struct ib_ns_reply reply;
    int r = ib_run(&(struct ib_run){.argv = argv,
                                    .out = out,
                                    .max_out_bytes = max_out_bytes,
                                    .progress = progress,
                                    .child_main = program_main,
                                    .userdata = &program},
                   err);

    if (r < 0) {
        explain_full(ns, err);
        return request(ns, IB_NS_SWEEP, &reply, NULL) < 0 ? -1 : r;
    }
    return request(ns, IB_NS_SWEEP, &reply, err);
}

/* ---- What was left behind ------------------------------------------------------------------- */

int ib_ns_remove_scratch(const char *path, struct ib_error **err)
{
    if (ib_ns_is_privileged() || ib_remove_tree(path, NULL) == 0)
        return ib_remove_tree(path, err);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);
    _cleanup_(ib_ns_freep) struct ib_ns *ns =
        ib_ns_open(&(struct ib_ns_options){.scratch_dir = parent, .memory = true}, err);
    if (!ns)
        return ib_wrap(err, path, "remove");
    close_fd(&ns->fds[IB_NS_MOUNT]); /* the host's file systems are wanted, as another user */
    _cleanup_(ib_freep) char *copy = ib_strdup(path);
    return ib_ns_call(ns, "remove", remove_scratch, copy, NULL, err);
}
