/* SPDX-License-Identifier: Apache-2.0 */
/* Launches real appliances: some 15 s each without KVM (label vm). */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "os/appliance.h"
#include "os/host.h"

extern int guestfs_sync(struct guestfs_h *g);
extern int guestfs_get_pid(struct guestfs_h *g);
extern char *guestfs_debug(struct guestfs_h *g, const char *sub, char *const *args);
extern long long guestfs_blockdev_getsize64(struct guestfs_h *g, const char *device);

static void need_appliance(void)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (ib_host_probe_appliance(&err) < 0)
        cr_skip_test("no appliance: %s", ib_error_line(err, 0));
}

static char *make_disk(const char *dir, off_t size)
{
    char *path = ib_path_join(dir, "disk.raw");
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && ftruncate(fd, size) == 0);
    close(fd);
    return path;
}

struct notes {
    int notes, begun, ended;
};

static void count_notes(const struct ib_event *event, void *userdata)
{
    struct notes *n = userdata;

    n->notes += event->kind == IB_EVENT_NOTE;
    n->begun += event->kind == IB_EVENT_BEGIN;
    n->ended += event->kind == IB_EVENT_END;
}

Test(appliance, launches_and_says_when_kvm_does_not_work)
{
    need_appliance();
    struct ib_error *err = NULL;
    struct notes seen = {0};
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *disk = make_disk(dir, 8 << 20);
    struct ib_progress *progress = ib_progress_new(count_notes, &seen, NULL);
    const struct ib_appliance_drive drive = {
        .path = disk, .format = "raw", .writable = true, .scratch = true};

    struct ib_appliance *a = ib_appliance_launch(
        &(struct ib_appliance_options){.drives = &drive, .drive_count = 1, .progress = progress},
        &err);
    cr_assert(a, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(guestfs_blockdev_getsize64(ib_appliance_handle(a), "/dev/sda"), 8 << 20);
    cr_assert_eq(guestfs_blockdev_getsize64(ib_appliance_handle(a), "/dev/sdz"), -1);
    cr_assert_eq(ib_appliance_fail(a, disk, "measure", &err), -1);
    cr_assert(strstr(ib_error_line(err, 0), "cannot measure"));
    ib_error_clear(&err);
    cr_assert_eq(seen.begun, 1);
    cr_assert_eq(seen.ended, 1);
    cr_assert_eq(seen.notes, ib_appliance_has_kvm(a) ? 0 : 1);
    cr_assert_eq(ib_appliance_shutdown(a, &err), 0);
    ib_appliance_free(a);
    ib_progress_free(progress);
}

static volatile sig_atomic_t cancel;

static void *cancel_soon(void *unused)
{
    sleep(1);
    cancel = 1;
    return unused;
}

Test(appliance, cancel_ends_a_call_that_waits_for_the_guest)
{
    need_appliance();
    struct ib_error *err = NULL;
    pthread_t thread;
    char *const args[] = {(char[]){"sleep 100"}, NULL};
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *disk = make_disk(dir, 8 << 20);
    const struct ib_appliance_drive drive = {.path = disk, .format = "raw"};

    struct ib_appliance *a = ib_appliance_launch(
        &(struct ib_appliance_options){.drives = &drive, .drive_count = 1, .progress = progress},
        &err);
    cr_assert(a, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    cr_assert_null(guestfs_debug(ib_appliance_handle(a), "sh", args));
    cr_assert_eq(ib_appliance_fail(a, NULL, "sleep", &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
    pthread_join(thread, NULL);
    ib_appliance_free(a);
    ib_progress_free(progress);
}

Test(appliance, cancel_ends_a_launch)
{
    need_appliance();
    struct ib_error *err = NULL;
    pthread_t thread;
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *disk = make_disk(dir, 8 << 20);
    const struct ib_appliance_drive drive = {.path = disk, .format = "raw"};

    cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    cr_assert_null(ib_appliance_launch(
        &(struct ib_appliance_options){.drives = &drive, .drive_count = 1, .progress = progress},
        &err));
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
    pthread_join(thread, NULL);
    ib_progress_free(progress);
}
