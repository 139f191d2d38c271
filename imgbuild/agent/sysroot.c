/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/sysroot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "agent/cmdline.h"
#include "agent/copy.h"
#include "agent/disk.h"
#include "agent/machine.h"
#include "agent/mount.h"
#include "agent/persist.h"
#include "base/atomic.h"
#include "base/file.h"

enum { ETC_SIZE_MIB = 64, MAX_LIST_SIZE = 1 << 20 };

/* Directories of the root that live in /var. */
static const char *const homes[] = {"home", "root", "opt", "srv", "mnt"};

static char *path_of(const char *dir, const char *name)
{
    return ib_asprintf("%s/%s", dir, name);
}

static int check_input(const struct ib_sysroot *s, struct ib_error **err)
{
    static const char *const needed[] = {"identity/etc", "repart.d", "persist"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(needed); i++) {
        _cleanup_(ib_freep) char *path = path_of(s->input, needed[i]);
        if (ib_path_exists(path))
            continue;
        ib_failf(err, IB_E_NOT_FOUND, "this boot image carries no '%s'", path);
        return ib_hint(err, "start the node's own image, built by 'imgbuild node NAME'; a role's "
                            "initrd alone has no identity");
    }
    return 0;
}

/*
 * A root that did not run here before may bring packages whose directories /var, made by an earlier
 * one, lacks. Its own /var lies below the mount, where only the descriptor still leads.
 */
int ib_sysroot_complete_var(const struct ib_sysroot *s, int own_var_fd, struct ib_error **err)
{
    _cleanup_(ib_freep) char *own = ib_asprintf("/proc/self/fd/%d", own_var_fd);
    _cleanup_(ib_freep) char *var = path_of(s->root, "var");
    _cleanup_(ib_freep) char *dir = path_of(var, "lib/imgbuild");
    _cleanup_(ib_freep) char *stamp = path_of(dir, "root-hash");
    _cleanup_(ib_freep) char *hash = ib_cmdline_value(s->cmdline, "roothash");
    _cleanup_(ib_buf_clear) struct ib_buf last = {0};

    if (!hash || (ib_read_file(stamp, 4096, &last, NULL) == 0 && last.size &&
                  ib_streq((const char *)last.data, hash)))
        return 0;
    if (ib_copy_missing(own, var, err) < 0 || ib_mkdir_p(dir, err) < 0 ||
        ib_atomic_write(stamp, 0644, hash, strlen(hash), err) < 0)
        return ib_wrap(err, var, "complete");
    return 0;
}

/* *ret_reboot as in ib_sysroot_prepare. */
static int mount_var(const struct ib_sysroot *s, const struct ib_disk *disk, bool *ret_reboot,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *target = path_of(s->root, "var");
    _cleanup_(ib_freep) char *device = ib_disk_find_type(disk, IB_GPT_TYPE_VAR, err);
    _cleanup_(ib_freep) char *repair = ib_cmdline_value(s->cmdline, "fsck.repair");
    enum ib_fsck fsck = IB_FSCK_OK;

    if (!device || ib_fsck_run(device, ib_streq(repair, "yes"), &fsck, err) < 0)
        return -1;
    if (fsck == IB_FSCK_REBOOT) {
        *ret_reboot = true;
        return 0;
    }
    _cleanup_(ib_closep) int own = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (own < 0)
        return ib_fail(err, IB_E_IO, errno, target, "open directory");
    if (ib_mount_ext4(device, target, err) < 0)
        return ib_hint(
            err, "does this kernel have ext4, and is it as new as the one that wrote %s?", device);
    /* a file system that stays small is no reason not to start */
    _cleanup_(ib_error_freep) struct ib_error *ignored = NULL;
    if (ib_ext4_grow(device, target, &ignored) < 0) {
        _cleanup_(ib_freep) char *text = ib_error_text(ignored);
        ib_progress_note(s->progress, "/var keeps its size: %s", text);
    }
    return ib_sysroot_complete_var(s, own, err);
}

int ib_sysroot_bind_homes(const struct ib_sysroot *s, struct ib_error **err)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(homes); i++) {
        _cleanup_(ib_freep) char *own = path_of(s->root, homes[i]);
        _cleanup_(ib_freep) char *kept = ib_asprintf("%s/var/%s", s->root, homes[i]);
        if (!ib_path_exists(kept) && ib_copy_tree_atomic(own, kept, err) < 0)
            return ib_wrap(err, kept, "make directory");
        if (ib_mount_bind(kept, own, err) < 0)
            return -1;
    }
    return 0;
}

static int make_dir(const char *path, mode_t mode, struct ib_error **err)
{
    if (ib_mkdir_p(path, err) < 0)
        return -1;
    return chmod(path, mode) < 0 ? ib_fail(err, IB_E_IO, errno, path, "set the mode of") : 0;
}

int ib_sysroot_mount_etc(const struct ib_sysroot *s, struct ib_error **err)
{
    _cleanup_(ib_freep) char *top = path_of(s->run, "imgbuild/etc");
    _cleanup_(ib_freep) char *upper = path_of(top, "upper");
    _cleanup_(ib_freep) char *work = path_of(top, "work");
    _cleanup_(ib_freep) char *identity = path_of(s->input, "identity");
    _cleanup_(ib_freep) char *kept = path_of(top, "identity");
    _cleanup_(ib_freep) char *etc = path_of(s->root, "etc");
    _cleanup_(ib_freep) char *lower = ib_asprintf("%s/etc:%s", kept, etc);

    /* the identity moves to /run: the switch to the root empties the initrd */
    if (ib_mkdir_p(top, err) < 0 || ib_mount_tmpfs(top, ETC_SIZE_MIB, err) < 0 ||
        make_dir(upper, 0755, err) < 0 || make_dir(work, 0755, err) < 0 ||
        ib_copy_tree(identity, kept, err) < 0)
        return -1;
    return ib_mount_overlay(lower, upper, work, etc, err);
}

/* Appends what lies in `dir`, under its name in the root, to a list for systemd. */
static int append_files(const char *dir, const char *name, struct ib_buf *ret,
                        struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *d = opendir(dir);

    if (!d)
        return ib_fail(err, IB_E_IO, errno, dir, "open directory");
    for (struct dirent *e; (errno = 0, e = readdir(d));) {
        if (ib_streq(e->d_name, ".") || ib_streq(e->d_name, ".."))
            continue;
        _cleanup_(ib_freep) char *path = path_of(dir, e->d_name);
        _cleanup_(ib_freep) char *child = path_of(name, e->d_name);
        struct stat st;
        if (lstat(path, &st) < 0)
            return ib_fail(err, IB_E_IO, errno, path, "look at");
        if (!S_ISDIR(st.st_mode))
            ib_buf_printf(ret, "%s\n", child);
        else if (append_files(path, child, ret, err) < 0)
            return -1;
    }
    return errno ? ib_fail(err, IB_E_IO, errno, dir, "read directory") : 0;
}

/*
 * Files made before the SELinux policy is loaded have no labels. systemd gives them theirs when it
 * loads the policy, if they are listed (mount-setup.c, relabel_extra). /var is done once: later its
 * containers have labels of their own.
 */
static int request_labels(const struct ib_sysroot *s, bool is_first, struct ib_error **err)
{
    _cleanup_(ib_freep) char *policy = path_of(s->root, "etc/selinux/config");
    _cleanup_(ib_freep) char *dir = path_of(s->run, "systemd/relabel-extra.d");
    _cleanup_(ib_freep) char *list = path_of(dir, "imgbuild.relabel");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    static const char *const layers[] = {"identity/etc", "upper"};

    if (!ib_path_exists(policy))
        return 0;
    for (size_t i = 0; i < IB_ARRAY_SIZE(layers); i++) {
        _cleanup_(ib_freep) char *layer = ib_asprintf("%s/imgbuild/etc/%s", s->run, layers[i]);
        if (append_files(layer, "/etc", &text, err) < 0)
            return -1;
    }
    if (is_first) {
        ib_buf_append_str(&text, "/var\n");
        for (size_t i = 0; i < IB_ARRAY_SIZE(homes);
             i++) /* /root is /var/root, with other labels */
            ib_buf_printf(&text, "/%s\n", homes[i]);
    }
    return ib_mkdir_p(dir, err) < 0 ? -1 : ib_write_plain(list, &text, err);
}

static int restore_persistent(const struct ib_sysroot *s, struct ib_error **err)
{
    _cleanup_(ib_persist_clear) struct ib_persist persist = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_freep) char *source = path_of(s->input, "persist");
    _cleanup_(ib_freep) char *list = path_of(s->run, "imgbuild/persist");
    _cleanup_(ib_freep) char *units = path_of(s->run, "systemd/system");

    if (ib_read_file(source, MAX_LIST_SIZE, &text, err) < 0 ||
        ib_persist_parse(text.data ? (const char *)text.data : "", &persist, err) < 0 ||
        ib_persist_restore(&persist, s->root, err) < 0)
        return -1;
    return ib_write_plain(list, &text, err) < 0 ? -1 : ib_persist_write_units(&persist, units, err);
}

int ib_sysroot_restore(const struct ib_sysroot *s, struct ib_error **err)
{
    _cleanup_(ib_freep) char *persist = ib_asprintf("%s" IB_PERSIST_DIR, s->root);
    bool made = false;

    if (make_dir(persist, 0700, err) < 0)
        return -1;
    bool is_labelled = lgetxattr(persist, "security.selinux", NULL, 0) > 0;
    if (ib_machine_id_restore(s->root, s->initrd_machine, err) < 0 ||
        ib_host_key_restore(s->root, &made, err) < 0)
        return -1;
    if (made)
        ib_progress_note(s->progress, "made an SSH host key");
    return restore_persistent(s, err) < 0 ? -1 : request_labels(s, !is_labelled, err);
}

int ib_sysroot_prepare(const struct ib_sysroot *s, bool *ret_reboot, struct ib_error **err)
{
    _cleanup_(ib_freep) char *definitions = path_of(s->input, "repart.d");
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};

    if (check_input(s, err) < 0 || ib_disk_find(s->mapping, s->sysfs, &disk, err) < 0)
        return -1;
    ib_progress_note(s->progress, "the root is on %s", disk.path);
    if (ib_disk_repart(&disk, definitions, s->root, err) < 0 ||
        mount_var(s, &disk, ret_reboot, err) < 0)
        return -1;
    if (*ret_reboot)
        return 0;
    if (ib_sysroot_bind_homes(s, err) < 0 || ib_sysroot_mount_etc(s, err) < 0 ||
        ib_sysroot_restore(s, err) < 0)
        return -1;
    ib_progress_note(s->progress, "/var, /etc and what persists are in place");
    return 0;
}
