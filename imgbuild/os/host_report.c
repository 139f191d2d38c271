/* SPDX-License-Identifier: Apache-2.0 */
/* What `imgbuild doctor` shows: every ability of os/host.h tried, and the table of programs. */
#include "os/host.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "host_programs.h"
#include "os/sandbox.h"

/* Room that a first build of one node wants: blobs, stages and the artifact. */
#define DISK_WANTED (8 * IB_GIB)
#define MEMORY_WANTED (2 * IB_GIB)

/* ---- The report ----------------------------------------------------------------------------- */

/* Appends a check; takes detail and cure. */
static void add(struct ib_host_report *report, const char *name, const char *used_for,
                enum ib_host_state state, char *detail, char *cure)
{
    report->checks = ib_reallocarray(report->checks, report->count + 1, sizeof(*report->checks));
    struct ib_host_check *check = &report->checks[report->count++];
    *check = (struct ib_host_check){.name = name, .used_for = used_for, .state = state};
    check->detail = detail;
    check->cure = cure;
}

/* Appends the outcome of a probe; on_failure is what its failure amounts to. Frees the error. */
static void add_probe(struct ib_host_report *report, const char *name, const char *used_for, int r,
                      struct ib_error *err, enum ib_host_state on_failure)
{
    if (r == 0)
        add(report, name, used_for, IB_HOST_OK, ib_strdup("works"), NULL);
    else
        add(report, name, used_for, on_failure, ib_error_text(err), ib_strdup(ib_error_hint(err)));
    ib_error_free(err);
}

static int enter_user_namespace(void *userdata)
{
    (void)userdata;
    return unshare(CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNS) < 0 ? errno : 0;
}

static int probe_user_namespaces(struct ib_error **err)
{
    const char *const argv[] = {"user-namespace", NULL};
    int status = 0;

    if (ib_run(&(struct ib_run){.argv = argv,
                                .child_main = enter_user_namespace,
                                .ret_status = &status},
               err) < 0)
        return -1;
    if (status == 0)
        return 0;
    ib_failf(err, IB_E_UNSUPPORTED, "this machine's kernel refuses them: %s", strerror(status));
    return ib_hint(err,
                   "sudo sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000 "
                   "kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)");
}

static void add_subordinate_ids(struct ib_host_report *report, const char *name, const char *path)
{
    _cleanup_(ib_strv_clear) struct ib_strv ranges = {0};
    struct ib_error *err = NULL;
    static const char used_for[] = "the namespace sandbox without root";

    if (ib_host_subordinate_ids(path, &ranges, &err) < 0) {
        add_probe(report, name, used_for, -1, err, IB_HOST_MISSING);
        return;
    }
    if (ranges.count)
        add(report, name, used_for, IB_HOST_OK, ib_strv_join(&ranges, ", "), NULL);
    else if (geteuid() == 0)
        add(report, name, used_for, IB_HOST_OK, ib_strdup("not needed by root"), NULL);
    else
        add(report, name, used_for, IB_HOST_MISSING, ib_asprintf("'%s' gives this user none", path),
            ib_strdup("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "
                      "\"$USER\""));
}

static void add_room(struct ib_host_report *report, const char *cache_dir)
{
    uint64_t memory = ib_host_memory_available(), disk = 0;
    struct ib_error *err = NULL;
    char have[16], want[16];

    add(report, "memory", "building on a memory file system, guestfs",
        memory >= MEMORY_WANTED ? IB_HOST_OK : IB_HOST_LIMITED,
        ib_asprintf("%s free, %s wanted", ib_format_size(memory, have),
                    ib_format_size(MEMORY_WANTED, want)),
        NULL);
    const char *dir = cache_dir ? cache_dir : ".";
    if (ib_host_disk_free(dir, &disk, &err) < 0) {
        add_probe(report, "disk", "the cache", -1, err, IB_HOST_MISSING);
        return;
    }
    bool enough = disk >= DISK_WANTED;
    add(report, "disk", "the cache", enough ? IB_HOST_OK : IB_HOST_LIMITED,
        ib_asprintf("%s free at '%s', %s wanted for a first build", ib_format_size(disk, have), dir,
                    ib_format_size(DISK_WANTED, want)),
        enough ? NULL : ib_strdup("free some space, or choose another place with --cache=DIR"));
}

static void add_programs(struct ib_host_report *report)
{
    _cleanup_(ib_strv_clear) struct ib_strv missing = {0};
    struct ib_host_program p;

    for (size_t i = 0; ib_host_program(i, &p); i++) {
        char *path = p.name[0] != '/'         ? ib_find_program(p.name)
                     : ib_path_exists(p.name) ? ib_strdup(p.name)
                                              : NULL;
        if (path) {
            add(report, p.name, p.used_for, IB_HOST_OK, path, NULL);
            continue;
        }
        add(report, p.name, p.used_for, IB_HOST_MISSING, ib_strdup("not installed"),
            ib_asprintf("install the package %s", p.package));
        ib_strv_add(&missing, p.package);
    }
    if (missing.count) {
        ib_strv_sort_unique(&missing);
        _cleanup_(ib_freep) char *list = ib_strv_join(&missing, " ");
        report->install = ib_asprintf("sudo %s %s", ib_host_installer(), list);
    }
}

void ib_host_inspect(const char *cache_dir, struct ib_host_report *ret)
{
    struct ib_error *err = NULL;
    int r;

    *ret = (struct ib_host_report){0};
    r = ib_host_probe_kvm(&err);
    add_probe(ret, "kvm", "speed of appliances and of imgbuild boot", r, ib_steal(&err),
              IB_HOST_LIMITED);
    r = probe_user_namespaces(&err);
    add_probe(ret, "user-namespaces", "the namespace sandbox without root", r, ib_steal(&err),
              IB_HOST_MISSING);
    add_subordinate_ids(ret, "subuid", "/etc/subuid");
    add_subordinate_ids(ret, "subgid", "/etc/subgid");
    r = ib_sandbox_probe(IB_SANDBOX_NAMESPACE, &err);
    add_probe(ret, "namespace-sandbox", "packages and initrds, fast", r, ib_steal(&err),
              IB_HOST_LIMITED);
    r = ib_host_probe_appliance(&err);
    add_probe(ret, "guestfs-sandbox", "disk images; packages where namespaces do not work", r,
              ib_steal(&err), IB_HOST_MISSING);
    add_room(ret, cache_dir);
    add_programs(ret);
}

void ib_host_report_clear(struct ib_host_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        free(report->checks[i].detail);
        free(report->checks[i].cure);
    }
    free(report->checks);
    free(report->install);
    *report = (struct ib_host_report){0};
}
