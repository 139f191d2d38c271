/* SPDX-License-Identifier: Apache-2.0 */
#include "os/appliance.h"

#include <errno.h>
#include <guestfs.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "os/host.h"

#define MIN_SPACE (64 * IB_MIB)

enum { WATCH_INTERVAL_MS = 100, KVM_PATIENCE_MS = 60 * 1000, MAX_CPUS = 2 };

struct ib_appliance {
    guestfs_h *g;
    bool kvm;
    struct ib_progress *progress;
    struct ib_step *step; /* the launch's, while it runs */
    uint64_t launch_position;
    /*
     * A thread that kills qemu when the user cancels, or when a launch with KVM goes nowhere: a
     * call that waits for the guest cannot be ended otherwise.
     */
    pthread_t watcher;
    int stop_fd;            /* < 0: no watcher runs */
    int launch_tid;         /* the thread that launches: qemu is its child */
    int older_child;        /* of that thread, from another appliance; 0: none */
    atomic_int qemu_pid;    /* 0 while it is not known */
    atomic_int patience_ms; /* of a launch with KVM; below 0: without end */
    char *space_dir;        /* or NULL */
    atomic_bool no_space;
};

/* libguestfs tells how the launch goes, and passes the guest's console on. */
static void on_event(guestfs_h *g, void *opaque, uint64_t event, int handle, int flags,
                     const char *text, size_t text_size, const uint64_t *array, size_t array_size)
{
    struct ib_appliance *a = opaque;

    (void)g, (void)handle, (void)flags;
    if (event == GUESTFS_EVENT_APPLIANCE)
        ib_debug("appliance: %.*s", (int)text_size, text);
    if (event == GUESTFS_EVENT_PROGRESS && a->step && array_size >= 4) {
        ib_step_set_total(a->step, array[3]);
        if (array[2] > a->launch_position)
            ib_step_advance(a->step, array[2] - a->launch_position);
        a->launch_position = array[2];
    }
}

/*
 * The youngest qemu among the children of the launching thread (proc(5): task/TID/children), 0
 * where there is none. libguestfs tells its process id only when the launch is over.
 */
static int find_qemu(int tid)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("/proc/self/task/%d/children", tid);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv pids = {0};
    int found = 0;

    if (ib_read_file(path, IB_MIB, &text, NULL) < 0 || !text.size)
        return 0;
    ib_strv_split(&pids, (const char *)text.data, " ");
    for (size_t i = 0; i < pids.count; i++) {
        _cleanup_(ib_freep) char *comm = ib_asprintf("/proc/%s/comm", pids.items[i]);
        _cleanup_(ib_buf_clear) struct ib_buf name = {0};
        uint64_t pid;
        if (ib_read_file(comm, 64, &name, NULL) == 0 && name.size &&
            ib_startswith((const char *)name.data, "qemu") &&
            ib_parse_u64(pids.items[i], INT_MAX, &pid))
            found = (int)pid;
    }
    return found;
}

static int qemu_of(struct ib_appliance *a)
{
    int pid = atomic_load(&a->qemu_pid);

    if (pid > 0)
        return pid;
    pid = find_qemu(a->launch_tid);
    return pid == a->older_child ? 0 : pid;
}

static bool is_full(const char *dir)
{
    struct statvfs st;

    return dir && statvfs(dir, &st) == 0 && st.f_bavail * st.f_frsize < MIN_SPACE;
}

static bool must_stop(struct ib_appliance *a)
{
    if (is_full(a->space_dir))
        atomic_store(&a->no_space, true);
    return atomic_load(&a->no_space) || atomic_load(&a->patience_ms) == 0 ||
           ib_progress_cancelled(a->progress);
}

static void *watch(void *opaque)
{
    struct ib_appliance *a = opaque;
    struct pollfd stop = {a->stop_fd, POLLIN, 0};

    while (poll(&stop, 1, WATCH_INTERVAL_MS) == 0) {
        int pid = qemu_of(a);
        if (pid <= 0) /* the appliance's files may be in the making: that takes its time */
            continue;
        if (atomic_load(&a->patience_ms) > 0)
            atomic_fetch_sub(&a->patience_ms, WATCH_INTERVAL_MS);
        if (must_stop(a)) {
            kill(pid, SIGKILL);
            break;
        }
    }
    return NULL;
}

static int start_watching(struct ib_appliance *a, struct ib_error **err)
{
    a->launch_tid = gettid();
    a->older_child = find_qemu(a->launch_tid);
    a->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (a->stop_fd < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "watch the appliance");
    int r = pthread_create(&a->watcher, NULL, watch, a);
    if (r != 0) {
        close(ib_steal_fd(&a->stop_fd));
        return ib_fail(err, IB_E_IO, r, NULL, "watch the appliance");
    }
    return 0;
}

/* Before libguestfs reaps qemu, whose process id may then be another's. */
static void stop_watching(struct ib_appliance *a)
{
    if (a->stop_fd < 0)
        return;
    if (eventfd_write(a->stop_fd, 1) == 0)
        pthread_join(a->watcher, NULL);
    close(ib_steal_fd(&a->stop_fd));
}

/* The first line of libguestfs' message: the rest is advice for its own tools. */
static char *reason(guestfs_h *g)
{
    const char *text = guestfs_last_error(g);

    if (!text || !*text)
        return ib_strdup("libguestfs gives no reason");
    size_t length = strcspn(text, "\n");
    while (length > 0 && (text[length - 1] == '.' || text[length - 1] == ' '))
        length--;
    return ib_strndup(text, length);
}

int ib_appliance_fail(struct ib_appliance *appliance, const char *subject, const char *what,
                      struct ib_error **err)
{
    if (ib_progress_check(appliance->progress, err) < 0)
        return -1;
    if (atomic_load(&appliance->no_space)) {
        ib_fail(err, IB_E_IO, ENOSPC, appliance->space_dir, "write to a disk in");
        return ib_wrap(err, subject, what);
    }
    _cleanup_(ib_freep) char *why = reason(appliance->g);
    int number = guestfs_last_errno(appliance->g);
    enum ib_error_code code = number == ENOSPC   ? IB_E_NO_SPACE
                              : number == ENOENT ? IB_E_NOT_FOUND
                                                 : IB_E_IO;
    ib_failf(err, code, "%s", why);
    return ib_wrap(err, subject, what);
}

static int add_drive(guestfs_h *g, const struct ib_appliance_drive *drive)
{
    struct guestfs_add_drive_opts_argv options = {
        .bitmask = GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK | GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK |
                   GUESTFS_ADD_DRIVE_OPTS_CACHEMODE_BITMASK,
        .format = drive->format,
        .readonly = !drive->writable,
        .cachemode = drive->scratch ? "unsafe" : "writeback",
        .label = drive->label,
    };

    if (drive->label)
        options.bitmask |= GUESTFS_ADD_DRIVE_OPTS_LABEL_BITMASK;
    return guestfs_add_drive_opts_argv(g, drive->path, &options);
}

static int configure(guestfs_h *g, const struct ib_appliance_options *options, bool kvm)
{
    guestfs_set_error_handler(g, NULL, NULL);
    /* The libvirt backend needs a daemon, and a user's session of it */
    if (!getenv("LIBGUESTFS_BACKEND") && guestfs_set_backend(g, "direct") < 0)
        return -1;
    if (!kvm && guestfs_set_backend_setting(g, "force_tcg", "1") < 0)
        return -1;
    /* The terminal's Ctrl-C is ours to handle */
    if (guestfs_set_pgroup(g, 1) < 0 ||
        guestfs_set_smp(g, (int)IB_MIN(ib_cpu_count(), (unsigned)MAX_CPUS)) < 0)
        return -1;
    if (options->space_dir && guestfs_set_tmpdir(g, options->space_dir) < 0)
        return -1;
    if (options->memory_mib && guestfs_set_memsize(g, (int)options->memory_mib) < 0)
        return -1;
    for (size_t i = 0; i < options->drive_count; i++)
        if (add_drive(g, &options->drives[i]) < 0)
            return -1;
    return 0;
}

static int run_launch(struct ib_appliance *a, struct ib_error **err)
{
    if (start_watching(a, err) < 0)
        return -1;
    if (guestfs_launch(a->g) == 0) {
        atomic_store(&a->patience_ms, -1);
        atomic_store(&a->qemu_pid, IB_MAX(guestfs_get_pid(a->g), 0));
        return 0;
    }
    bool stuck = atomic_load(&a->patience_ms) == 0;
    stop_watching(a);
    if (stuck)
        ib_failf(err, IB_E_UNSUPPORTED, "the machine did not start in %d s",
                 KVM_PATIENCE_MS / 1000);
    else
        ib_appliance_fail(a, NULL, a->kvm ? "start the appliance with KVM" : "start the appliance",
                          err);
    return ib_hint(err, "libguestfs-test-tool shows why; 'imgbuild doctor' what is missing");
}

static int try_launch(struct ib_appliance *a, const struct ib_appliance_options *options, bool kvm,
                      struct ib_error **err)
{
    if (a->g)
        guestfs_close(a->g);
    a->kvm = kvm;
    a->launch_position = 0;
    atomic_store(&a->qemu_pid, 0);
    atomic_store(&a->patience_ms, kvm ? KVM_PATIENCE_MS : -1);
    a->g = guestfs_create_flags(GUESTFS_CREATE_NO_CLOSE_ON_EXIT);
    if (!a->g)
        return ib_fail(err, IB_E_UNSUPPORTED, errno, NULL, "use libguestfs");
    if (configure(a->g, options, kvm) < 0 ||
        guestfs_set_event_callback(a->g, on_event, GUESTFS_EVENT_PROGRESS | GUESTFS_EVENT_APPLIANCE,
                                   0, a) < 0)
        return ib_appliance_fail(a, NULL, "set the appliance up", err);
    return run_launch(a, err);
}

/* With KVM where it is known to work, and once more without where that fails. */
static int launch(struct ib_appliance *a, const struct ib_appliance_options *options,
                  struct ib_error **err)
{
    _cleanup_(ib_error_freep) struct ib_error *kvm_err = NULL;

    if (ib_host_probe_kvm(&kvm_err) == 0 && try_launch(a, options, true, &kvm_err) == 0)
        return 0;
    if (ib_progress_check(a->progress, err) < 0)
        return -1;
    _cleanup_(ib_freep) char *why = ib_error_text(kvm_err);
    ib_step_note(a->step, "without KVM, the appliance is emulated and slow: %s", why);
    return try_launch(a, options, false, err);
}

struct ib_appliance *ib_appliance_launch(const struct ib_appliance_options *options,
                                         struct ib_error **err)
{
    _cleanup_(ib_appliance_freep) struct ib_appliance *a = ib_calloc(1, sizeof(*a));
    _cleanup_(ib_step_failp) struct ib_step *step = ib_step_begin(
        options->progress, options->step, "start the appliance", NULL, 0, IB_UNIT_NONE);

    a->stop_fd = -1;
    a->progress = options->progress;
    a->space_dir = ib_strdup(options->space_dir);
    if (ib_host_probe_appliance(err) < 0)
        return NULL;
    a->step = step;
    int r = launch(a, options, err);
    a->step = NULL;
    if (r < 0)
        return NULL;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return ib_steal(&a);
}

struct guestfs_h *ib_appliance_handle(const struct ib_appliance *appliance)
{
    return appliance->g;
}

bool ib_appliance_has_kvm(const struct ib_appliance *appliance)
{
    return appliance->kvm;
}

int ib_appliance_shutdown(struct ib_appliance *appliance, struct ib_error **err)
{
    stop_watching(appliance);
    if (guestfs_shutdown(appliance->g) < 0)
        return ib_appliance_fail(appliance, NULL, "shut the appliance down", err);
    return 0;
}

struct ib_appliance *ib_appliance_free(struct ib_appliance *appliance)
{
    if (appliance) {
        stop_watching(appliance);
        if (appliance->g)
            guestfs_close(appliance->g);
        free(appliance->space_dir);
        free(appliance);
    }
    return NULL;
}

void ib_appliance_freep(struct ib_appliance **appliance)
{
    *appliance = ib_appliance_free(*appliance);
}
