/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs in the namespaces see: the tree at "/", and the usual kernel file systems over it.
 * Runs in init, with all capabilities in the mount namespace.
 *
 * Mounts are made detached (fsopen, fsmount, open_tree: Linux 5.2) while the host's file systems
 * are in sight, since the kernel gives a new /proc to a user namespace only where it sees a whole
 * one; and attached after pivot_root, when no symbolic link of the tree can lead to the host any
 * more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "namespace_internal.h"

#define ATTR_KERNEL (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

const char *const ib_ns_mount_points[] = {"proc", "sys", "dev", "run", "tmp", NULL};

/* Devices that are the host's own, mounted one by one: mknod is not for user namespaces. */
static const char *const device_names[] = {"null", "zero", "full", "random", "urandom", "tty"};

/* A mount that waits for its place. */
struct detached {
    int fd;
    const char *place;
};

enum {
    DEVICES = IB_ARRAY_SIZE(device_names),
    PROC = 0,
    SYS,
    DEV,
    PTS,
    SHM,
    RUN,
    TMP,
    FILE_SYSTEMS
};

struct view {
    struct detached file_systems[FILE_SYSTEMS];
    int devices[DEVICES];
    struct ib_ns_reply *reply;
};

static int fail(struct ib_ns_reply *reply, const char *what, const char *subject)
{
    reply->errnum = errno;
    snprintf(reply->what, sizeof(reply->what), "%s %s", what, subject);
    return -1;
}

static int fail_with_hint(struct ib_ns_reply *reply, const char *what, const char *subject,
                          const char *hint)
{
    snprintf(reply->hint, sizeof(reply->hint), "%s", hint);
    return fail(reply, what, subject);
}

/* A new file system of this type, mounted nowhere yet. options: "key=value" pairs, NULL-terminated.
 */
static int make_mount(const char *type, unsigned attributes, const char *const *options)
{
    int context = fsopen(type, FSOPEN_CLOEXEC), fd = -1;

    if (context < 0)
        return -1;
    for (; options && *options; options += 2)
        if (fsconfig(context, FSCONFIG_SET_STRING, options[0], options[1], 0) < 0)
            goto out;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
out:;
    int errnum = errno;
    close(context);
    errno = errnum;
    return fd;
}

/* ---- The tree ------------------------------------------------------------------------------- */

static int mount_tmpfs(const struct ib_ns_plan *plan)
{
    char size[24];
    const char *const options[] = {"mode", "0755", "size", size, "nr_inodes", "4m", NULL};

    snprintf(size, sizeof(size), "%llu", (unsigned long long)plan->memory_limit);
    int fd = make_mount("tmpfs", MOUNT_ATTR_NODEV, options);
    if (fd < 0)
        return -1;
    int r = move_mount(fd, "", AT_FDCWD, plan->place, MOVE_MOUNT_F_EMPTY_PATH);
    close(fd);
    return r;
}

/* A mount of the directory onto itself, in which no device node means anything. */
static int mount_directory(const struct ib_ns_plan *plan)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NODEV};

    if (mount(plan->place, plan->place, NULL, MS_BIND, NULL) < 0)
        return -1;
    return mount_setattr(AT_FDCWD, plan->place, 0, &attributes, sizeof(attributes));
}

int ib_ns_mount_tree(const struct ib_ns_plan *plan, struct ib_ns_reply *ret)
{
    struct statvfs st;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail(ret, "make mounts private", "here");
    if (plan->memory ? mount_tmpfs(plan) < 0 : mount_directory(plan) < 0)
        return fail(ret, "mount the tree's place", plan->place);
    int fd = open_tree(AT_FDCWD, plan->place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return fail(ret, "open the tree's place", plan->place);
    if (fstatvfs(fd, &st) == 0 && (st.f_flag & ST_NOEXEC)) {
        errno = EACCES;
        close(fd);
        return fail_with_hint(ret, "run programs in", plan->place,
                              "it is mounted noexec: choose another place for the cache");
    }
    return fd;
}

/* ---- Making mounts -------------------------------------------------------------------------- */

/*
 * A /sys of our network namespace; where the kernel gives none (parts of the host's are hidden in a
 * container), the one that is in sight.
 */
static int make_sys(void)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | ATTR_KERNEL};
    int fd = make_mount("sysfs", MOUNT_ATTR_RDONLY | ATTR_KERNEL, NULL);

    if (fd >= 0)
        return fd;
    fd = open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (fd >= 0 &&
        mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int make_file_systems(struct view *v)
{
    static const char *const dev[] = {"mode", "0755", "size", "64k", NULL};
    static const char *const pts[] = {"mode", "0620", "ptmxmode", "0666", "gid", "5", NULL};
    static const char *const shared[] = {"mode", "01777", NULL};
    static const char *const run[] = {"mode", "0755", NULL};
    struct detached *fs = v->file_systems;

    fs[PROC] = (struct detached){make_mount("proc", ATTR_KERNEL, NULL), "/proc"};
    if (fs[PROC].fd < 0)
        return fail_with_hint(v->reply, "mount", "/proc",
                              "in a container, let it see all of /proc, or use --sandbox=guestfs");
    fs[SYS] = (struct detached){make_sys(), "/sys"};
    fs[DEV] = (struct detached){
        make_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, dev), "/dev"};
    fs[PTS] = (struct detached){make_mount("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, pts),
                                "/dev/pts"};
    fs[SHM] = (struct detached){make_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, shared),
                                "/dev/shm"};
    fs[RUN] =
        (struct detached){make_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, run), "/run"};
    fs[TMP] = (struct detached){make_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, shared),
                                "/tmp"};
    for (size_t i = 0; i < FILE_SYSTEMS; i++)
        if (fs[i].fd < 0)
            return fail(v->reply, "mount", fs[i].place);
    return 0;
}

static int take_devices(struct view *v)
{
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/dev/%s", device_names[i]);
        v->devices[i] = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (v->devices[i] < 0)
            return fail(v->reply, "take over", path);
    }
    return 0;
}

/* ---- Attaching ------------------------------------------------------------------------------ */

static int make_mount_points(int tree_fd, struct ib_ns_reply *reply)
{
    for (size_t i = 0; ib_ns_mount_points[i]; i++) {
        if (mkdirat(tree_fd, ib_ns_mount_points[i], 0755) == 0)
            reply->made |= 1U << i;
        else if (errno != EEXIST)
            return fail(reply, "make the mount point", ib_ns_mount_points[i]);
    }
    return 0;
}

/* From here on the tree is all there is. */
static int pivot(const char *place, struct ib_ns_reply *reply)
{
    if (chdir(place) < 0)
        return fail(reply, "enter", place);
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return fail_with_hint(reply, "make the root directory of", place,
                              errno == EINVAL ? "in a chroot, use --sandbox=guestfs" : "");
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return fail(reply, "leave the host's file systems", "behind");
    return 0;
}

/* Follows symbolic links: /tmp may be one to var/tmp. */
static int attach(int fd, const char *place, struct ib_ns_reply *reply)
{
    if (move_mount(fd, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) < 0)
        return fail(reply, "mount", place);
    return 0;
}

static int fill_dev(const struct view *v)
{
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
        {"pts/ptmx", "/dev/ptmx"},
    };

    if (mkdir("/dev/pts", 0755) < 0 || mkdir("/dev/shm", 0755) < 0)
        return fail(v->reply, "fill", "/dev");
    for (size_t i = 0; i < IB_ARRAY_SIZE(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return fail(v->reply, "fill", "/dev");
    for (size_t i = 0; i < DEVICES; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/dev/%s", device_names[i]);
        if (mknod(path, S_IFREG | 0666, 0) < 0)
            return fail(v->reply, "fill", "/dev");
        if (attach(v->devices[i], path, v->reply) < 0)
            return -1;
    }
    return 0;
}

/*
 * What of /proc reaches beyond the namespaces: root without a capability may still write there
 * (/proc/sys/kernel/core_pattern names a program that the host's kernel runs). Missing ones are
 * fine.
 */
static int protect_proc(struct ib_ns_reply *reply)
{
    static const char *const read_only[] = {
        "/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus",
        "/proc/fs",  "/proc/acpi",          "/proc/scsi"};
    static const char *const hidden[] = {"/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                         "/proc/sched_debug", "/proc/timer_list"};
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

    for (size_t i = 0; i < IB_ARRAY_SIZE(read_only) + IB_ARRAY_SIZE(hidden); i++) {
        bool hide = i >= IB_ARRAY_SIZE(read_only);
        const char *path = hide ? hidden[i - IB_ARRAY_SIZE(read_only)] : read_only[i];
        if (access(path, F_OK) < 0)
            continue;
        int fd =
            open_tree(AT_FDCWD, hide ? "/dev/null" : path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0 ||
            (!hide && mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) ||
            move_mount(fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
            return fail(reply, "protect", path);
        close(fd);
    }
    return 0;
}

static int build_view(struct view *v, const struct ib_ns_plan *plan, int tree_fd)
{
    if (make_mount_points(tree_fd, v->reply) < 0 || make_file_systems(v) < 0 ||
        take_devices(v) < 0 || pivot(plan->place, v->reply) < 0)
        return -1;
    for (size_t i = 0; i < FILE_SYSTEMS; i++) {
        if (attach(v->file_systems[i].fd, v->file_systems[i].place, v->reply) < 0)
            return -1;
        if (i == DEV && fill_dev(v) < 0)
            return -1;
    }
    return protect_proc(v->reply);
}

int ib_ns_enter_tree(const struct ib_ns_plan *plan, int tree_fd, struct ib_ns_reply *ret)
{
    struct view v = {.reply = ret};

    for (size_t i = 0; i < FILE_SYSTEMS; i++)
        v.file_systems[i].fd = -1;
    for (size_t i = 0; i < DEVICES; i++)
        v.devices[i] = -1;
    umask(0);
    int r = build_view(&v, plan, tree_fd);
    for (size_t i = 0; i < FILE_SYSTEMS; i++)
        ib_closep(&v.file_systems[i].fd);
    for (size_t i = 0; i < DEVICES; i++)
        ib_closep(&v.devices[i]);
    return r;
}
