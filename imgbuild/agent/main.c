/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imgbuild-agent: the program of ours that runs on the machine itself, statically linked.
 *
 *     sysroot   in the initrd (imgbuild-sysroot.service): the file systems, agent/sysroot.h
 *     failed    in the initrd, when that or the root failed: agent/failed.h
 *     persist   in the running system: agent/persist.h
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/cmdline.h"
#include "agent/failed.h"
#include "agent/persist.h"
#include "agent/sysroot.h"
#include "base/file.h"

#define PROGRAM "imgbuild"

enum { RESTART_AFTER_S = 30, MAX_TEXT_SIZE = 1 << 20 };

static void print_note(const struct ib_event *event, void *userdata _unused_)
{
    if (event->kind == IB_EVENT_NOTE) {
        printf(PROGRAM ": %s\n", event->text);
        fflush(stdout);
    }
}

static char *read_text(const char *path, struct ib_error **err)
{
    struct ib_buf text = {0};

    return ib_read_file(path, MAX_TEXT_SIZE, &text, err) < 0 ? NULL : ib_buf_steal_string(&text);
}

static int do_sysroot(struct ib_error **err)
{
    _cleanup_(ib_progress_freep) struct ib_progress *progress =
        ib_progress_new(print_note, NULL, NULL);
    _cleanup_(ib_freep) char *cmdline = read_text("/proc/cmdline", err);
    bool reboot = false;

    if (!cmdline)
        return -1;
    const struct ib_sysroot s = {
        .root = "/sysroot",
        .input = "/imgbuild",
        .run = "/run",
        .sysfs = "/sys",
        .mapping = "/dev/mapper/root",
        .initrd_machine = "/etc/machine-id",
        .cmdline = cmdline,
        .progress = progress,
    };
    if (ib_sysroot_prepare(&s, &reboot, err) < 0)
        return ib_wrapf(err, "this machine cannot start its system");
    if (!reboot)
        return 0;
    ib_progress_note(progress, "the check of /var asks for a restart");
    return ib_failed_restart(0, err);
}

static int do_failed(struct ib_error **err)
{
    _cleanup_(ib_freep) char *cmdline = read_text("/proc/cmdline", err);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!cmdline)
        return -1;
    const struct ib_failed f = {.cmdline = cmdline, .dev = "/dev", .sysfs = "/sys"};
    ib_buf_append_str(&text, "THE SYSTEM WAS NOT STARTED\n");
    ib_failed_list_units(&text);
    ib_failed_explain_root(&f, &text);
    printf(PROGRAM ": %s", (const char *)text.data);
    fflush(stdout);
    if (ib_cmdline_has(cmdline, "imgbuild.shell")) {
        _cleanup_(ib_error_freep) struct ib_error *none = NULL;
        if (ib_failed_shell(&none) < 0)
            ib_error_print(none, PROGRAM, stdout);
    }
    printf(PROGRAM ": restart in %d s\n", RESTART_AFTER_S);
    fflush(stdout);
    return ib_failed_restart(RESTART_AFTER_S, err);
}

static int do_persist(struct ib_error **err)
{
    _cleanup_(ib_persist_clear) struct ib_persist persist = {0};
    _cleanup_(ib_freep) char *text = read_text(IB_PERSIST_LIST, err);

    if (!text || ib_persist_parse(text, &persist, err) < 0)
        return -1;
    return ib_persist_save(&persist, "", err);
}

static const struct verb {
    const char *name;
    int (*run)(struct ib_error **err);
    const char *summary;
} verbs[] = {
    {"sysroot", do_sysroot, "in the initrd: put the machine's file systems together"},
    {"failed", do_failed, "in the initrd: say why the system does not start, and restart"},
    {"persist", do_persist, "keep the changed files of /etc that persist: names"},
};

static int usage(FILE *out)
{
    fprintf(out, "usage: imgbuild-agent VERB\n");
    for (size_t i = 0; i < IB_ARRAY_SIZE(verbs); i++)
        fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    umask(022);
    if (argc == 2 && ib_streq(argv[1], "--help"))
        return usage(stdout);
    for (size_t i = 0; argc == 2 && i < IB_ARRAY_SIZE(verbs); i++) {
        if (!ib_streq(argv[1], verbs[i].name))
            continue;
        if (verbs[i].run(&err) == 0)
            return 0;
        ib_error_print(err, PROGRAM, stderr);
        return ib_error_exit_status(ib_error_code(err));
    }
    return usage(stderr);
}
