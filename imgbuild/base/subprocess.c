/* SPDX-License-Identifier: Apache-2.0 */
#include "base/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { LOG_KEEP = 64 * 1024, LOG_SHOWN_LINES = 6 };

/*
 * Held from making the pipes until the child's ends of them are closed here: a child_main child of
 * another thread closes nothing by exec, and would keep such an end open as long as it lives.
 */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

struct ib_child {
    pid_t pid;
    char *name;
    int out_fd, log_fd; /* our ends, or -1 */
    struct ib_buf log;
    struct ib_progress *progress;
};

static void child_free(struct ib_child *child)
{
    ib_closep(&child->out_fd);
    ib_closep(&child->log_fd);
    ib_buf_clear(&child->log);
    free(child->name);
    free(child);
}

static void set_env(struct ib_strv *env, const char *entry)
{
    size_t key = strcspn(entry, "=") + 1;

    for (size_t i = 0; i < env->count; i++) {
        if (strncmp(env->items[i], entry, key) == 0) {
            free(env->items[i]);
            env->items[i] = ib_strdup(entry);
            return;
        }
    }
    ib_strv_add(env, entry);
}

static void make_env(struct ib_strv *env, const char *const *extra)
{
    ib_strv_add_all(env, (const char *const *)environ);
    set_env(env, "LC_ALL=C.UTF-8");
    set_env(env, "TZ=UTC0");
    for (; extra && *extra; extra++)
        set_env(env, *extra);
}

/* In the child: from here on only exec or _exit. Reports errno through status_fd. */
static _Noreturn void exec_child(const struct ib_run *run, const char *program, char **env,
                                 const int fds[3], int status_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    if (!run->foreground)
        setpgid(0, 0); /* the terminal's Ctrl-C is ours to pass on */
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0)
            goto fail;
    if (status_fd < 3) /* cannot be: 0 to 2 were open */
        _exit(127);
    if (run->cwd && chdir(run->cwd) < 0)
        goto fail;
    if (run->child_setup && run->child_setup(run->userdata) < 0)
        goto fail;
    if (run->child_main) {
        close(status_fd); /* it started: our parent goes on */
        _exit(run->child_main(run->userdata));
    }
    execve(program, (char *const *)(uintptr_t)run->argv, env);
fail:
    if (ib_write_full(status_fd, &(int){errno}, sizeof(int)) < 0)
        _exit(126);
    _exit(127);
}

static int make_pipe(int ret[2], struct ib_error **err)
{
    if (pipe2(ret, O_CLOEXEC) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a pipe");
    return 0;
}

static int program_missing(const char *name, struct ib_error **err)
{
    ib_failf(err, IB_E_UNSUPPORTED, "the program '%s' is not installed", name);
    return ib_hint(err, "install it ('imgbuild doctor' names the package)");
}

static int start(const struct ib_run *run, const char *program, struct ib_child *child,
                 struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv env = {0};
    _cleanup_(ib_closep) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int out[2] = {-1, -1}, log[2] = {-1, -1}, status[2] = {-1, -1};

    if (null_fd < 0)
        return ib_fail(err, IB_E_IO, errno, "/dev/null", "open");
    if (make_pipe(log, err) < 0)
        return -1;
    child->log_fd = log[0];
    _cleanup_(ib_closep) int log_end = log[1];
    if (run->out && make_pipe(out, err) < 0)
        return -1;
    child->out_fd = out[0];
    _cleanup_(ib_closep) int out_end = out[1];
    if (make_pipe(status, err) < 0)
        return -1;
    _cleanup_(ib_closep) int status_in = status[0];
    _cleanup_(ib_closep) int status_out = status[1];

    make_env(&env, run->env);
    const int fds[3] = {
        run->stdin_fd > 0 ? run->stdin_fd : null_fd,
        run->out             ? out_end
        : run->stdout_fd > 0 ? run->stdout_fd
                             : null_fd,
        log_end,
    };
    child->pid = fork();
    if (child->pid < 0)
        return ib_fail(err, IB_E_IO, errno, run->argv[0], "start");
    if (child->pid == 0)
        exec_child(run, program, env.items, fds, status_out);

    int child_errno = 0;
    close(ib_steal_fd(&status_out));
    if (ib_read_full(status_in, &child_errno, sizeof(child_errno)) == 0) {
        waitpid(child->pid, NULL, 0);
        child->pid = 0;
        return ib_fail(err, IB_E_CHILD, child_errno, run->argv[0], "start");
    }
    return 0;
}

struct ib_child *ib_spawn(const struct ib_run *run, struct ib_error **err)
{
    _cleanup_(ib_freep) char *program =
        run->child_main ? ib_strdup(run->argv[0]) : ib_find_program(run->argv[0]);

    if (!program) {
        program_missing(run->argv[0], err);
        return NULL;
    }
    struct ib_child *child = ib_calloc(1, sizeof(*child));
    child->out_fd = child->log_fd = -1;
    child->name = ib_strdup(ib_path_base(run->argv[0]));
    child->progress = run->progress;
    pthread_mutex_lock(&start_lock);
    int r = start(run, program, child, err);
    pthread_mutex_unlock(&start_lock);
    if (r < 0) {
        child_free(child);
        return NULL;
    }
    return child;
}

/* Keeps the last LOG_KEEP bytes. */
static void trim_log(struct ib_buf *log)
{
    if (log->size <= (size_t)2 * LOG_KEEP)
        return;
    memmove(log->data, log->data + log->size - LOG_KEEP, LOG_KEEP);
    log->size = LOG_KEEP;
    log->data[log->size] = 0;
}

/* Reads what is there; closes *fd at its end. -1 with errno on failure. */
static int drain(int *fd, struct ib_buf *into)
{
    enum { CHUNK = 32 * 1024 };
    ssize_t n = read(*fd, ib_buf_reserve(into, CHUNK), CHUNK);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : -1;
    if (n == 0) {
        close(ib_steal_fd(fd));
        return 0;
    }
    into->size += (size_t)n;
    into->data[into->size] = 0;
    return 0;
}

static void kill_group(pid_t pid)
{
    if (kill(-pid, SIGKILL) < 0)
        kill(pid, SIGKILL);
}

/* Collects output until both pipes are closed; kills the program on cancel or too much output. */
static int collect(struct ib_child *child, struct ib_buf *out, size_t max_out,
                   struct ib_error **err)
{
    while (child->out_fd >= 0 || child->log_fd >= 0) {
        struct pollfd fds[2] = {{child->out_fd, POLLIN, 0}, {child->log_fd, POLLIN, 0}};
        int n = poll(fds, 2, 100);
        if (n < 0 && errno != EINTR)
            return ib_fail(err, IB_E_IO, errno, child->name, "wait for");
        if (ib_progress_check(child->progress, err) < 0)
            return -1;
        if (n <= 0) {
            /* a grandchild that was left behind may hold the pipe: the program's end decides */
            siginfo_t info = {0};
            if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                info.si_pid == child->pid)
                return 0;
            continue;
        }
        if (fds[0].revents && drain(&child->out_fd, out) < 0)
            return ib_fail(err, IB_E_IO, errno, child->name, "read from");
        if (fds[1].revents && drain(&child->log_fd, &child->log) < 0)
            return ib_fail(err, IB_E_IO, errno, child->name, "read from");
        trim_log(&child->log);
        if (out && out->size > max_out)
            return ib_failf(err, IB_E_CHILD, "'%s' printed more than %zu bytes", child->name,
                            max_out);
    }
    return 0;
}

static char *last_lines(const struct ib_buf *log)
{
    if (!log->size)
        return ib_strdup("it printed no reason");
    const char *text = (const char *)log->data;
    size_t end = log->size;
    while (end > 0 && (text[end - 1] == '\n' || text[end - 1] == ' '))
        end--;
    size_t begin = end;
    for (int lines = 0; begin > 0; begin--)
        if (text[begin - 1] == '\n' && ++lines == LOG_SHOWN_LINES)
            break;
    return ib_strndup(text + begin, end - begin);
}

static int report(const struct ib_child *child, int status, int *ret_status, struct ib_error **err)
{
    if (WIFEXITED(status) && ret_status) {
        *ret_status = WEXITSTATUS(status);
        return 0;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    _cleanup_(ib_freep) char *tail = last_lines(&child->log);
    if (WIFEXITED(status))
        return ib_failf(err, IB_E_CHILD, "'%s' ended with exit status %d: %s", child->name,
                        WEXITSTATUS(status), tail);
    return ib_failf(err, IB_E_CHILD, "'%s' was ended by signal %d (%s): %s", child->name,
                    WTERMSIG(status), strsignal(WTERMSIG(status)), tail);
}

static int finish(struct ib_child *child, struct ib_buf *out, size_t max_out, int *ret_status,
                  struct ib_error **err)
{
    int status = 0, r = collect(child, out, max_out, err);

    if (r < 0)
        kill_group(child->pid);
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    return r < 0 ? r : report(child, status, ret_status, err);
}

int ib_child_wait(struct ib_child *child, struct ib_error **err)
{
    int r = finish(child, NULL, 0, NULL, err);

    child_free(child);
    return r;
}

struct ib_child *ib_child_kill(struct ib_child *child)
{
    if (child) {
        kill_group(child->pid);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
        child_free(child);
    }
    return NULL;
}

void ib_child_killp(struct ib_child **child)
{
    *child = ib_child_kill(*child);
}

int ib_child_pid(const struct ib_child *child)
{
    return child->pid;
}

int ib_run(const struct ib_run *run, struct ib_error **err)
{
    struct ib_child *child = ib_spawn(run, err);

    if (!child)
        return -1;
    size_t max_out = run->max_out_bytes ? run->max_out_bytes : 16 * IB_MIB;
    int r = finish(child, run->out, max_out, run->ret_status, err);
    if (run->log) {
        ib_buf_clear(run->log);
        *run->log = child->log;
        child->log = (struct ib_buf){0};
    }
    child_free(child);
    return r;
}
