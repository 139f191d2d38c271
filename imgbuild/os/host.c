/* SPDX-License-Identifier: Apache-2.0 */
#include "os/host.h"

#include <errno.h>
#include <glob.h>
#include <pwd.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"

/* ---- libguestfs' appliance ------------------------------------------------------------------ */

static char *qemu_name(void)
{
    struct utsname u;

    return ib_asprintf("qemu-system-%s", uname(&u) == 0 ? u.machine : "x86_64");
}

static bool has_qemu(void)
{
    _cleanup_(ib_freep) char *name = qemu_name();
    _cleanup_(ib_freep) char *full = ib_find_program(name);
    _cleanup_(ib_freep) char *kvm = ib_find_program("qemu-kvm");

    return full || kvm || access("/usr/libexec/qemu-kvm", X_OK) == 0;
}

/*
 * Looks for a kernel the way supermin does (ukernel in supermin's format_ext2_kernel.ml): an image
 * that can be read, whose modules are installed. *ret_unreadable names one that only root may read.
 */
static bool has_kernel(char **ret_unreadable)
{
    static const char *const patterns[] = {"/boot/vmlinu[xz]-*", "/lib/modules/*/vmlinuz"};
    glob_t found = {0};
    bool readable = getenv("SUPERMIN_KERNEL") != NULL;

    for (size_t i = 0; i < IB_ARRAY_SIZE(patterns); i++)
        (void)glob(patterns[i], i ? GLOB_APPEND : 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc && !readable; i++) {
        const char *path = found.gl_pathv[i];
        _cleanup_(ib_freep) char *modules =
            ib_startswith(path, "/boot/") ? ib_asprintf("/lib/modules/%s", strchr(path, '-') + 1)
                                          : ib_path_dir(path);
        if (access(modules, R_OK | X_OK) < 0)
            continue;
        readable = access(path, R_OK) == 0;
        if (!readable && !*ret_unreadable)
            *ret_unreadable = ib_strdup(path);
    }
    globfree(&found);
    return readable;
}

static bool has_fixed_appliance(void)
{
    const char *dir = getenv("LIBGUESTFS_PATH");
    _cleanup_(ib_freep) char *kernel = dir ? ib_path_join(dir, "kernel") : NULL;

    return kernel && access(kernel, R_OK) == 0;
}

int ib_host_probe_appliance(struct ib_error **err)
{
    _cleanup_(ib_freep) char *supermin = ib_find_program("supermin");
    _cleanup_(ib_freep) char *unreadable = NULL;

    if (!has_qemu()) {
        _cleanup_(ib_freep) char *name = qemu_name();
        ib_failf(err, IB_E_UNSUPPORTED, "the program '%s' is not installed", name);
        return ib_hint(err, "install the package %s", ib_host_package_of(name));
    }
    if (has_fixed_appliance())
        return 0;
    if (!supermin) {
        ib_failf(err, IB_E_UNSUPPORTED, "libguestfs' appliance is not installed");
        return ib_hint(err, "install the package %s", ib_host_package_of("supermin"));
    }
    if (has_kernel(&unreadable))
        return 0;
    if (unreadable) {
        ib_failf(err, IB_E_UNSUPPORTED,
                 "libguestfs' appliance needs the kernel '%s', which only root may read",
                 unreadable);
        return ib_hint(err, "sudo chmod +r /boot/vmlinuz-*");
    }
    ib_failf(err, IB_E_UNSUPPORTED,
             "libguestfs' appliance needs a kernel with its modules, and none is installed");
    return ib_hint(err, "install the package %s", ib_host_package_of("kernel"));
}

/* ---- Ids, memory, disk ---------------------------------------------------------------------- */

int ib_host_subordinate_ids(const char *path, struct ib_strv *ret, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    const struct passwd *me = getpwuid(geteuid());
    _cleanup_(ib_freep) char *uid = ib_asprintf("%u", geteuid());

    if (!ib_path_exists(path))
        return 0;
    if (ib_read_file(path, IB_MIB, &text, err) < 0)
        return -1;
    ib_strv_split(&lines, text.size ? (const char *)text.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) {
        _cleanup_(ib_strv_clear) struct ib_strv field = {0};
        uint64_t first, count;
        ib_strv_split(&field, lines.items[i], ":");
        if (field.count != 3 || !ib_parse_u64(field.items[1], UINT32_MAX - 1, &first) ||
            !ib_parse_u64(field.items[2], UINT32_MAX - 1, &count) || count == 0)
            continue; /* newuidmap skips it too */
        if (ib_streq(field.items[0], uid) || (me && ib_streq(field.items[0], me->pw_name)))
            ib_strv_addf(ret, "%s:%s", field.items[1], field.items[2]);
    }
    return 0;
}

/* The number on the line "KEY   N kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *key)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    unsigned long long kib = 0;

    if (ib_read_file("/proc/meminfo", IB_MIB, &text, NULL) < 0 || !text.size)
        return 0;
    const char *line = strstr((const char *)text.data, key);
    if (!line || sscanf(line + strlen(key), " %llu", &kib) != 1)
        return 0;
    return kib * IB_KIB;
}

static bool read_number(const char *dir, const char *name, uint64_t *ret)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, 64, &text, NULL) < 0 || !text.size)
        return false;
    *strchrnul((char *)text.data, '\n') = 0;
    return ib_parse_u64((const char *)text.data, UINT64_MAX, ret); /* "max" is no number */
}

/* What our control group (version 2) may still use: containers and CI runners have small ones. */
static uint64_t cgroup_room(void)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    uint64_t limit, used, reclaimable = 0;

    if (ib_read_file("/proc/self/cgroup", IB_MIB, &text, NULL) < 0 || !text.size)
        return UINT64_MAX;
    char *group = strstr((char *)text.data, "0::/");
    if (!group)
        return UINT64_MAX;
    group += strlen("0::/");
    *strchrnul(group, '\n') = 0;
    _cleanup_(ib_freep) char *dir = ib_path_join("/sys/fs/cgroup", group);
    if (!read_number(dir, "memory.max", &limit) || !read_number(dir, "memory.current", &used))
        return UINT64_MAX;

    _cleanup_(ib_freep) char *stat_path = ib_path_join(dir, "memory.stat");
    _cleanup_(ib_buf_clear) struct ib_buf stats = {0};
    if (ib_read_file(stat_path, IB_MIB, &stats, NULL) == 0 && stats.size) {
        unsigned long long n;
        const char *line = strstr((const char *)stats.data, "inactive_file ");
        if (line && sscanf(line, "inactive_file %llu", &n) == 1)
            reclaimable = n;
    }
    used -= IB_MIN(used, reclaimable);
    return limit > used ? limit - used : 0;
}

uint64_t ib_host_memory_available(void)
{
    uint64_t machine = meminfo("MemAvailable:"), group = cgroup_room();

    return IB_MIN(machine, group);
}

int ib_host_disk_free(const char *path, uint64_t *ret_bytes, struct ib_error **err)
{
    _cleanup_(ib_freep) char *at = ib_strdup(path);
    struct statvfs st;

    while (statvfs(at, &st) < 0) {
        if (errno != ENOENT || ib_streq(at, "/") || ib_streq(at, "."))
            return ib_fail(err, IB_E_IO, errno, at, "measure the free space at");
        char *parent = ib_path_dir(at);
        free(at);
        at = parent;
    }
    if (!ib_mul_u64(st.f_bavail, st.f_frsize, ret_bytes))
        *ret_bytes = UINT64_MAX;
    return 0;
}
