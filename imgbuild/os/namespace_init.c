/* SPDX-License-Identifier: Apache-2.0 */
/* The two processes that hold the namespaces: see the picture in namespace.h. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "namespace_internal.h"

enum { SWEEP_LIMIT_MS = 10000 };

const struct ib_ns_type ib_ns_types[IB_NS_KINDS] = {
    [IB_NS_USER] = {"user", CLONE_NEWUSER}, [IB_NS_MOUNT] = {"mnt", CLONE_NEWNS},
    [IB_NS_PID] = {"pid", CLONE_NEWPID},    [IB_NS_IPC] = {"ipc", CLONE_NEWIPC},
    [IB_NS_UTS] = {"uts", CLONE_NEWUTS},    [IB_NS_NET] = {"net", CLONE_NEWNET},
};

static void describe(struct ib_ns_reply *reply, const char *what)
{
    reply->errnum = errno;
    snprintf(reply->what, sizeof(reply->what), "%s", what);
}

/* Sends an answer with `count` descriptors; false when nobody listens any more. */
static bool answer(int sock, const struct ib_ns_reply *reply, const int *fds, size_t count)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * (1 + IB_NS_KINDS))];
    } control = {0};
    struct iovec data = {(void *)(uintptr_t)reply, sizeof(*reply)};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

    if (count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int) * count),
            .cmsg_level = SOL_SOCKET,
            .cmsg_type = SCM_RIGHTS,
        };
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * count);
    }
    return sendmsg(sock, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(*reply);
}

static _Noreturn void give_up(int sock, const char *what)
{
    struct ib_ns_reply reply = {0};

    describe(&reply, what);
    (void)answer(sock, &reply, NULL, 0);
    _exit(1);
}

/* The next request, or 0 when our maker is gone. */
static char next_request(int sock)
{
    char request = 0;
    ssize_t n;

    do
        n = recv(sock, &request, 1, 0);
    while (n < 0 && errno == EINTR);
    return n == 1 ? request : 0;
}

/* ---- Init ----------------------------------------------------------------------------------- */

/* The loopback device up: programs that talk to themselves want it. There is no other. */
static int bring_up_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (sock < 0)
        return errno == EAFNOSUPPORT ? 0 : -1;
    int r = ioctl(sock, SIOCSIFFLAGS, &request);
    close(sock);
    return r;
}

/* Opens our own namespaces and the tree, and hands them out. */
static void hand_out(const struct ib_ns_plan *plan, int tree_fd)
{
    int fds[1 + IB_NS_KINDS];
    size_t count = 0;

    fds[count++] = tree_fd;
    for (int kind = plan->user_namespace ? IB_NS_USER : IB_NS_MOUNT; kind < IB_NS_KINDS; kind++) {
        char path[32];
        snprintf(path, sizeof(path), "/proc/self/ns/%s", ib_ns_types[kind].name);
        fds[count] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[count] < 0)
            give_up(plan->socket, "open a namespace");
        count++;
    }
    if (!answer(plan->socket, &(struct ib_ns_reply){0}, fds, count))
        _exit(1);
    for (size_t i = 1; i < count; i++)
        close(fds[i]);
}

/* Kills everything in the PID namespace but us, and waits until it is gone. */
static void sweep(struct ib_ns_reply *reply)
{
    for (int ms = 0; kill(-1, SIGKILL) == 0 || errno != ESRCH; ms++) {
        if (ms == SWEEP_LIMIT_MS) {
            errno = EBUSY;
            describe(reply, "end the programs that were left running");
            return;
        }
        usleep(1000);
    }
}

static _Noreturn void run_init(const struct ib_ns_plan *plan)
{
    struct ib_ns_reply reply = {0};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "imgbuild-init");
    signal(SIGCHLD, SIG_IGN); /* orphans that end are reaped by the kernel */
    int tree_fd = ib_ns_mount_tree(plan, &reply);
    if (tree_fd < 0) {
        (void)answer(plan->socket, &reply, NULL, 0);
        _exit(1);
    }
    if (sethostname("imgbuild", strlen("imgbuild")) < 0)
        give_up(plan->socket, "set the host name");
    if (bring_up_loopback() < 0)
        give_up(plan->socket, "bring up the loopback device");
    hand_out(plan, tree_fd);

    for (char request; (request = next_request(plan->socket));) {
        reply = (struct ib_ns_reply){0};
        if (request == IB_NS_ENTER)
            (void)ib_ns_enter_tree(plan, tree_fd, &reply);
        else
            sweep(&reply);
        if (!answer(plan->socket, &reply, NULL, 0))
            break;
    }
    _exit(0);
}

/* ---- The holder ----------------------------------------------------------------------------- */

/*
 * Everything that was open in us is closed: another sandbox's socket kept open here would keep that
 * sandbox alive. 2 is ib_run's pipe for messages.
 */
static void close_others(int keep)
{
    close(0);
    close(1);
    if (keep > 3)
        close_range(3, (unsigned)keep - 1, 0);
    close_range((unsigned)keep + 1, ~0U, 0);
}

/* unshare(2) says ENOSPC where a limit is reached (EUSERS before Linux 4.9): no disk is full. */
static int unshare_or_limit(int flags)
{
    int r = unshare(flags);

    if (r < 0 && errno == ENOSPC)
        errno = EUSERS;
    return r;
}

/* A user namespace starts without ids: its maker maps them from outside. */
static void make_user_namespace(int sock)
{
    if (unshare_or_limit(CLONE_NEWUSER) < 0)
        give_up(sock, "make a user namespace");
    if (!answer(sock, &(struct ib_ns_reply){0}, NULL, 0) || next_request(sock) != IB_NS_GO)
        _exit(1);
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        give_up(sock, "become root in a user namespace");
}

int ib_ns_holder_main(void *userdata)
{
    const struct ib_ns_plan *plan = userdata;
    int flags = 0;

    /* The thread that made us may end long before the sandbox; init ends by its socket instead */
    prctl(PR_SET_PDEATHSIG, 0);
    prctl(PR_SET_NAME, "imgbuild-holder");
    setsid();
    close_others(plan->socket);
    if (plan->user_namespace)
        make_user_namespace(plan->socket);
    for (int kind = IB_NS_MOUNT; kind < IB_NS_KINDS; kind++)
        flags |= ib_ns_types[kind].flag;
    if (unshare_or_limit(flags) < 0)
        give_up(plan->socket, "make namespaces");

    pid_t init = fork();
    if (init < 0)
        give_up(plan->socket, "start a process in a new namespace");
    if (init == 0)
        run_init(plan);
    close(plan->socket); /* init's end of it is the one that counts */
    while (waitpid(init, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}
