/* SPDX-License-Identifier: Apache-2.0 */
/* Who we are inside: ids of a user namespace (user_namespaces(7)), and a program's capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "namespace_internal.h"
#include "os/host.h"

enum { IDS = 65536 }; /* 0 to 65535: what Debian and Fedora use, "nobody" included */

/*
 * What package managers and dracut need, and what a user namespace can give: with the real root's
 * other capabilities they would do things here that they cannot do there, or harm the host.
 */
static const int kept_capabilities[] = {
    CAP_CHOWN,   CAP_DAC_OVERRIDE,     CAP_FOWNER,     CAP_FSETID,
    CAP_KILL,    CAP_SETGID,           CAP_SETUID,     CAP_SETPCAP,
    CAP_SETFCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_AUDIT_WRITE,
};

/* How many ids from 0 on a map of ours covers (user_namespaces(7): "inside outside count" lines).
 */
static uint64_t count_ids(const char *map)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    uint64_t next = 0;

    if (ib_read_file(map, IB_MIB, &text, NULL) < 0 || !text.size)
        return 0;
    for (const char *line = (const char *)text.data; line; line = strchr(line + 1, '\n')) {
        unsigned long long inside, outside, count;
        if (sscanf(line, "%llu %llu %llu", &inside, &outside, &count) == 3 && inside == next)
            next += count;
    }
    return next;
}

bool ib_ns_has_all_ids(void)
{
    return count_ids("/proc/self/uid_map") >= UINT32_MAX &&
           count_ids("/proc/self/gid_map") >= UINT32_MAX;
}

/* Root of a container, or of `unshare -r`, may lack the capability or the ids. */
bool ib_ns_is_privileged(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    return geteuid() == 0 && syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) &&
           count_ids("/proc/self/uid_map") >= IDS && count_ids("/proc/self/gid_map") >= IDS;
}

/* ---- Mapping -------------------------------------------------------------------------------- */

/* Root without CAP_SYS_ADMIN (in a container) writes the maps itself: it has the ids already. */
static int write_map(int pid, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("/proc/%d/%s", pid, name);
    _cleanup_(ib_freep) char *line = ib_asprintf("0 0 %d\n", IDS);
    _cleanup_(ib_closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || ib_write_full(fd, line, strlen(line)) < 0) {
        ib_failf(err, IB_E_UNSUPPORTED, "the ids of a user namespace cannot be mapped: %s",
                 strerror(errno));
        return ib_hint(err, "give the container CAP_SETUID, CAP_SETGID and ids 0 to 65535, or "
                            "--sandbox=guestfs");
    }
    return 0;
}

static int no_ranges(const char *file, struct ib_error **err)
{
    ib_failf(err, IB_E_UNSUPPORTED, "'%s' gives this user too few subordinate ids", file);
    return ib_hint(err, "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
                        "\"$USER\", or --sandbox=guestfs");
}

/* The arguments of newuidmap(1): us as 0, then as many of our ranges as the other ids need. */
static int map_with_helper(int pid, const char *helper, const char *file, unsigned own_id,
                           struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv ranges = {0}, argv = {0};
    uint64_t next = 1;

    if (ib_host_subordinate_ids(file, &ranges, err) < 0)
        return -1;
    ib_strv_add(&argv, helper);
    ib_strv_addf(&argv, "%d", pid);
    ib_strv_addf(&argv, "0");
    ib_strv_addf(&argv, "%u", own_id);
    ib_strv_addf(&argv, "1");
    for (size_t i = 0; i < ranges.count && next < IDS; i++) {
        unsigned long long first, count;
        if (sscanf(ranges.items[i], "%llu:%llu", &first, &count) != 2)
            continue;
        count = IB_MIN(count, IDS - next);
        ib_strv_addf(&argv, "%llu", (unsigned long long)next);
        ib_strv_addf(&argv, "%llu", first);
        ib_strv_addf(&argv, "%llu", count);
        next += count;
    }
    if (next < IDS)
        return no_ranges(file, err);
    if (ib_run(&(struct ib_run){.argv = (const char *const *)argv.items}, err) < 0) {
        ib_hint(err, "install the package %s again (%s must be setuid root), or --sandbox=guestfs",
                ib_host_package_of(helper), helper);
        return ib_wrap(err, NULL, "map the ids of a user namespace");
    }
    return 0;
}

int ib_ns_map_ids(int pid, struct ib_error **err)
{
    if (geteuid() == 0) {
        if (write_map(pid, "uid_map", err) < 0)
            return -1;
        return write_map(pid, "gid_map", err);
    }
    if (map_with_helper(pid, "newuidmap", "/etc/subuid", geteuid(), err) < 0)
        return -1;
    return map_with_helper(pid, "newgidmap", "/etc/subgid", getegid(), err);
}

/* ---- A program's privileges ----------------------------------------------------------------- */

static bool is_kept(int capability)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(kept_capabilities); i++)
        if (kept_capabilities[i] == capability)
            return true;
    return false;
}

static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

    for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
        if (!is_kept(c) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0)
            return -1;
        if (is_kept(c)) {
            data[CAP_TO_INDEX(c)].effective |= CAP_TO_MASK(c);
            data[CAP_TO_INDEX(c)].permitted |= CAP_TO_MASK(c);
        }
    }
    return (int)syscall(SYS_capset, &header, data);
}

int ib_ns_drop_privileges(void)
{
    struct rlimit files;
    sigset_t none;

    /* No terminal that could be typed into, none of our groups, keys or signal settings */
    setsid();
    (void)syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
        return -1;
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Old programs close every descriptor up to the limit; a core would land in the tree */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = IB_MIN(files.rlim_max, (rlim_t)1024);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    umask(022);
    if (drop_capabilities() < 0)
        return -1;
    return prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the last change of ids, which clears it */
}
