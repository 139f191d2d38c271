/* SPDX-License-Identifier: Apache-2.0 */
/* Programs in the tree of an appliance. */
#include <string.h>

#include "base/file.h"
#include "sandbox_guestfs.h"

enum { SHOWN_LINES = 6 };

/*
 * Runs as PID 1 of the program's own PID namespace, whose end ends everything in it. The appliance
 * has no device that matters, but the program shall see what it sees in namespaces, and no more.
 * $0 is the tree's root, $1 to $3 are /proc, /sys and /dev there; then come the environment
 * and the command for env(1). Capabilities as in namespace_ids.c.
 */
static const char run_script[] =
    "set -e\n"
    "proc=$1 sys=$2 dev=$3; shift 3\n"
    "echo imgbuild > /proc/sys/kernel/hostname\n"
    "ip link set lo up 2>/dev/null || true\n"
    "mount -t proc -o nosuid,nodev,noexec proc \"$proc\"\n"
    "mount -t sysfs -o ro,nosuid,nodev,noexec sysfs \"$sys\"\n"
    "mount -t tmpfs -o mode=0755,size=64k,nosuid,noexec tmpfs \"$dev\"\n"
    "for d in null zero full random urandom tty; do\n"
    "    : > \"$dev/$d\"; mount --bind /dev/$d \"$dev/$d\"\n"
    "done\n"
    "mkdir \"$dev/pts\" \"$dev/shm\"\n"
    "mount -t devpts -o nosuid,noexec,newinstance,mode=0620,ptmxmode=0666,gid=5 devpts "
    "\"$dev/pts\"\n"
    "mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs \"$dev/shm\"\n"
    "ln -s /proc/self/fd \"$dev/fd\"; ln -s pts/ptmx \"$dev/ptmx\"\n"
    "ln -s /proc/self/fd/0 \"$dev/stdin\"; ln -s /proc/self/fd/1 \"$dev/stdout\"\n"
    "ln -s /proc/self/fd/2 \"$dev/stderr\"\n"
    "for p in sys sysrq-trigger irq bus fs acpi scsi; do\n"
    "    [ ! -e \"$proc/$p\" ] || mount -o bind,ro \"$proc/$p\" \"$proc/$p\"\n"
    "done\n"
    "umask 022; ulimit -c 0; ulimit -S -n 1024\n"
    "set +e\n"
    "exec 3>&2 2>/dev/null\n" /* this shell says itself which signal ended the program */
    "(exec env -i \"$@\" 2>&3 3>&-)\n";

static const char capabilities[] =
    "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+setfcap,"
    "+net_bind_service,+sys_chroot,+audit_write";

static char *make_command(const struct ib_guestfs *state, const char *const *argv,
                          const char *const *env, bool has_out)
{
    struct ib_buf c = {0};

    ib_buf_append_str(&c, "unshare --mount --propagation private --pid --fork --kill-child --net "
                          "--ipc --uts sh -c");
    ib_guestfs_quote(&c, run_script);
    ib_guestfs_quote(&c, "sandbox");
    for (int i = IB_GUESTFS_PROC; i <= IB_GUESTFS_DEV; i++) {
        _cleanup_(ib_freep) char *place = ib_asprintf("/sysroot%s", state->places[i]);
        ib_guestfs_quote(&c, place);
    }
    for (; *env; env++)
        ib_guestfs_quote(&c, *env);
    ib_buf_append_str(&c, " setpriv --clear-groups --bounding-set");
    ib_guestfs_quote(&c, capabilities);
    ib_buf_append_str(&c, " chroot /sysroot");
    for (; *argv; argv++)
        ib_guestfs_quote(&c, *argv);
    ib_buf_printf(&c, " </dev/null >/run/imgbuild.out 2>%s\necho $?\n",
                  has_out ? "/run/imgbuild.err" : "&1");
    return ib_buf_steal_string(&c);
}

/* The command in a file: one argument of a program may have 128 KiB, a command line far more. */
static char *run_command(const struct ib_sandbox *sandbox, const char *command)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *path =
        ib_path_join(state->places[IB_GUESTFS_RUN], ".imgbuild-command");
    _cleanup_(ib_buf_clear) struct ib_buf shell_command = {0};

    if (guestfs_write(state->g, path, command, strlen(command)) < 0)
        return NULL;
    _cleanup_(ib_freep) char *file = ib_asprintf("/sysroot%s", path);
    ib_buf_append_str(&shell_command, "mv -f --");
    ib_guestfs_quote(&shell_command, file);
    ib_buf_append_str(&shell_command, " /run/imgbuild.sh && sh /run/imgbuild.sh");
    return ib_guestfs_shell(sandbox, (const char *)shell_command.data);
}

/* guestfs' calls see below /sysroot only: the output is moved there to be fetched. */
static int fetch_output(const struct ib_sandbox *sandbox, const char *name, struct ib_buf *out,
                        struct ib_error **err)
{
    const struct ib_guestfs *state = sandbox->state;
    _cleanup_(ib_freep) char *inside = ib_asprintf("%s/.%s", state->places[IB_GUESTFS_RUN], name);
    _cleanup_(ib_freep) char *path = ib_path_join(state->scratch, name);
    _cleanup_(ib_buf_clear) struct ib_buf command = {0};
    _cleanup_(ib_freep) char *target = ib_asprintf("/sysroot%s", inside);

    ib_buf_printf(&command, "mv -f -- /run/%s", name);
    ib_guestfs_quote(&command, target);
    if (ib_guestfs_shell_or_fail(sandbox, (const char *)command.data, "keep the output", err) < 0)
        return -1;
    if (guestfs_download(state->g, inside, path) < 0 || guestfs_rm(state->g, inside) < 0)
        return ib_guestfs_fail(sandbox, NULL, "fetch the output", err);
    return ib_read_file(path, IB_SANDBOX_MAX_OUTPUT, out, err);
}

/* The end of what a program said, as ib_run shows it. */
static char *last_lines(const struct ib_buf *log)
{
    size_t end = log->size, begin;

    while (end > 0 && (log->data[end - 1] == '\n' || log->data[end - 1] == ' '))
        end--;
    if (end == 0)
        return ib_strdup("it printed no reason");
    begin = end;
    for (int lines = 0; begin > 0; begin--)
        if (log->data[begin - 1] == '\n' && ++lines == SHOWN_LINES)
            break;
    return ib_strndup((const char *)log->data + begin, end - begin);
}

/* In the words of the other engine. */
static char *translate(char *tail, const char *program)
{
    _cleanup_(ib_freep) char *theirs = ib_asprintf("chroot: failed to run command '%s': ", program);

    if (!ib_startswith(tail, theirs))
        return tail;
    char *ours =
        ib_asprintf("cannot start '%s' in the sandbox: %s", program, tail + strlen(theirs));
    free(tail);
    return ours;
}

static int fail_program(const struct ib_sandbox *sandbox, const char *program, int status,
                        bool has_out, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf log = {0};
    const char *name = ib_path_base(program);

    if (fetch_output(sandbox, has_out ? "imgbuild.err" : "imgbuild.out", &log, err) < 0)
        return -1;
    _cleanup_(ib_freep) char *tail = translate(last_lines(&log), program);
    if (status > 128)
        return ib_failf(err, IB_E_CHILD, "'%s' was ended by signal %d (%s): %s", name, status - 128,
                        strsignal(status - 128), tail);
    return ib_failf(err, IB_E_CHILD, "'%s' ended with exit status %d: %s", name, status, tail);
}

int ib_guestfs_run(struct ib_sandbox *sandbox, const char *const *argv, const char *const *env,
                   struct ib_buf *out, struct ib_error **err)
{
    _cleanup_(ib_freep) char *command = make_command(sandbox->state, argv, env, out != NULL);
    _cleanup_(ib_freep) char *text = run_command(sandbox, command);
    uint64_t status;

    if (!text)
        return ib_guestfs_fail(sandbox, argv[0], "run", err);
    *strchrnul(text, '\n') = 0;
    if (!ib_parse_u64(text, 255, &status))
        return ib_failf(err, IB_E_INTERNAL, "the appliance's shell told no exit status: %s", text);
    if (out && fetch_output(sandbox, "imgbuild.out", out, err) < 0)
        return -1;
    return status ? fail_program(sandbox, argv[0], (int)status, out != NULL, err) : 0;
}
