/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packages by rpm (rpm(8)). Why not by dnf, which would end in the same transaction: everything was
 * resolved when the lock was made, so a second resolver could only disagree with it; and dnf writes
 * a history with the time of day into the tree. scripts/rpm-job.sh does the work there.
 */
#include <string.h>

#include "base/file.h"
#include "os/exclude.h"
#include "packages_internal.h"
#include "place.h"
#include "scripts.h"

/* fnmatch(3) without flags and the shell's `case` have the same patterns; all else is quoted. */
static void append_pattern(struct ib_buf *script, const char *pattern)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "*?[]!-/._+,:@%\\";

    for (; *pattern; pattern++)
        ib_buf_printf(script, strchr(plain, *pattern) ? "%c" : "\\%c", *pattern);
}

/* The rules of os/exclude.h as a function of the shell: the last one that matches decides. */
static char *make_exclude(const struct ib_package_job *job)
{
    const char *const *rules = job->exclude ? job->exclude : ib_exclude_default();
    struct ib_buf script = {0};

    ib_buf_append_str(&script, "excluded() {\n    status=1\n");
    for (; *rules; rules++) {
        bool keep = (*rules)[0] == '!';
        ib_buf_append_str(&script, "    case $1 in ");
        append_pattern(&script, *rules + keep);
        ib_buf_printf(&script, ") status=%d ;; esac\n", keep);
    }
    ib_buf_append_str(&script, "    return $status\n}\n");
    return ib_buf_steal_string(&script);
}

/* Files get numbers for names: nothing in a package's name can mean something to rpm. */
static int copy_packages(const struct ib_package_job *job, const char *dir, struct ib_buf *list,
                         struct ib_error **err)
{
    if (ib_place_mkdir(dir, "rpms", err) < 0)
        return -1;
    for (size_t i = 0; i < job->install_count; i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("rpms/%05zu.rpm", i);
        if (ib_progress_check(job->progress, err) < 0 ||
            ib_place_copy(dir, name, 0644, job->install[i].path, err) < 0)
            return -1;
        ib_buf_printf(list, IB_PLACE "/%s\n", name);
    }
    return 0;
}

static int make_place(const struct ib_package_job *job, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_freep) char *exclude = make_exclude(job);
    _cleanup_(ib_freep) char *remove = ib_strv_join(job->remove, "\n");
    _cleanup_(ib_buf_clear) struct ib_buf install = {0};

    if (copy_packages(job, dir, &install, err) < 0)
        return -1;
    if (ib_place_write(dir, "packages.install", 0644, install.size ? (char *)install.data : "",
                       err) < 0 ||
        ib_place_write(dir, "packages.remove", 0644, remove, err) < 0 ||
        ib_place_write(dir, "exclude.sh", 0644, exclude, err) < 0)
        return -1;
    return ib_place_write(dir, "rpm-job.sh", 0755, ib_script_rpm_job, err);
}

static int rpm_apply(struct ib_sandbox *sandbox, const struct ib_package_job *job,
                     struct ib_error **err)
{
    static const char *const env[] = {
        "KERNEL_INSTALL_BYPASS=1", /* kernel-install(8) makes no initrd and no boot entry */
        "SYSTEMD_OFFLINE=1",       /* systemctl changes links only */
        NULL,
    };
    _cleanup_(ib_temp_dirp) char *dir = ib_place_new(job->scratch_dir, err);

    if (!dir || make_place(job, dir, err) < 0 || ib_place_enter(dir, sandbox, err) < 0 ||
        ib_place_run(sandbox, "rpm-job.sh", NULL, env, job->date_s, err) < 0)
        return -1;
    return ib_place_leave(sandbox, err);
}

/*
 * Keys that rpm trusts stand in its database as packages. The files beside the database are a cache
 * that SQLite leaves behind; with something in the log they are more, and stay.
 */
static int rpm_query(struct ib_sandbox *sandbox, struct ib_buf *ret, struct ib_error **err)
{
    static const char script[] = "set -e\n"
                                 "list=$(rpm -qa --qf '%{NAME}\\t%{EVR}\\t%{ARCH}\\n')\n"
                                 "printf '%s\\n' \"$list\" | sed '/^gpg-pubkey\\t/d'\n"
                                 "db=$(rpm --eval %_dbpath)/rpmdb.sqlite\n"
                                 "[ -s \"$db-wal\" ] || rm -f \"$db-wal\" \"$db-shm\"\n";
    static const char *const argv[] = {"/bin/sh", "-c", script, NULL};

    return ib_sandbox_run(sandbox, argv, NULL, ret, err);
}

const struct ib_package_manager ib_rpm = {.name = "rpm", .apply = rpm_apply, .query = rpm_query};
