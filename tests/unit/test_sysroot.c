/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's mounts, for real: in a mount namespace of the test's own, with a tmpfs as the
 * machine. Needs root, or a user namespace in which tmpfs and overlay may be mounted.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/persist.h"
#include "agent/sysroot.h"
#include "base/file.h"

#define M "/tmp/" /* where the namespace has its own tmpfs */

static void write_to(const char *path, const char *content)
{
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);
    _cleanup_(ib_closep) int fd = -1;

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0, "%s", parent);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    cr_assert(fd >= 0 && ib_write_full(fd, content, strlen(content)) == 0, "%s", path);
}

/* The root as the image has it, and a boot image's /imgbuild. */
static void make_machine(void)
{
    write_to(M "root/etc/machine-id", "");
    write_to(M "root/etc/hosts", "image\n");
    write_to(M "root/etc/motd", "image\n");
    write_to(M "root/etc/rancher/node/.keep", "");
    write_to(M "root/etc/skel/.profile", "image\n");
    write_to(M "root/root/.bashrc", "image\n");
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(ib_mkdir_p(((const char *const[]){M "root/home", M "root/opt", M "root/srv",
                                                       M "root/mnt", M "root/var/lib"})[i],
                                NULL),
                     0);
    cr_assert_eq(chmod(M "root/root", 0700), 0);
    cr_assert_eq(chmod(M "root/etc/rancher/node", 0750), 0);
    write_to(M "input/identity/etc/hosts", "odin\n");
    write_to(M "input/identity/etc/systemd/network/10.network", "[Match]\n");
    write_to(M "input/repart.d/30-var.conf", "[Partition]\n");
    write_to(M "input/persist", "# list\n/etc/rancher/node/\n/etc/adjtime\n/etc/machine-id\n");
    write_to(M "initrd-id", "0123456789abcdef0123456789abcdef\n");
    cr_assert_eq(ib_mkdir_p(M "run", NULL), 0);
    cr_assert_eq(mount("var", M "root/var", "tmpfs", 0, NULL), 0); /* the partition */
}

static void set_up(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        cr_skip_test("no mount namespace of our own: %m");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("test", "/tmp", "tmpfs", 0, NULL) < 0)
        cr_skip_test("no tmpfs may be mounted: %m");
    umask(022);
    make_machine();
}

static const struct ib_sysroot machine = {
    .root = M "root",
    .input = M "input",
    .run = M "run",
    .initrd_machine = M "initrd-id",
    .cmdline = "",
};

static void assert_content(const char *path, const char *content)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    cr_assert_eq(ib_read_file(path, 4096, &text, NULL), 0, "%s is missing", path);
    cr_assert_str_eq(text.data ? (char *)text.data : "", content, "%s", path);
}

static void boot(void)
{
    struct ib_error *err = NULL;
    int r = ib_sysroot_bind_homes(&machine, &err);

    if (r == 0)
        r = ib_sysroot_mount_etc(&machine, &err);
    if (r == 0)
        r = ib_sysroot_restore(&machine, &err);
    if (r < 0) {
        _cleanup_(ib_freep) char *text = ib_error_text(err);
        cr_assert_fail("%s", text);
    }
}

/* All but /var and what the image brought goes. */
static void power_off(void)
{
    static const char *const mounts[] = {"root/etc/rancher/node",
                                         "root/etc",
                                         "root/home",
                                         "root/root",
                                         "root/opt",
                                         "root/srv",
                                         "root/mnt",
                                         "run/imgbuild/etc"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(mounts); i++) {
        _cleanup_(ib_freep) char *path = ib_path_join(M, mounts[i]);
        cr_assert_eq(umount(path), 0, "%s: %m", path);
    }
    cr_assert_eq(ib_remove_tree(M "run", NULL), 0);
    cr_assert_eq(ib_mkdir_p(M "run", NULL), 0);
}

Test(sysroot, a_first_boot_puts_everything_in_place, .init = set_up)
{
    struct stat st;

    boot();
    assert_content(M "root/etc/hosts", "odin\n"); /* identity over image */
    assert_content(M "root/etc/motd", "image\n");
    assert_content(M "root/etc/systemd/network/10.network", "[Match]\n");
    assert_content(M "root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    assert_content(M "root/root/.bashrc", "image\n");
    assert_content(M "root/var/root/.bashrc", "image\n");
    cr_assert(stat(M "root/var/root", &st) == 0 && (st.st_mode & 07777) == 0700);
    cr_assert(stat(M "root" IB_PERSIST_DIR, &st) == 0 && (st.st_mode & 07777) == 0700);
    cr_assert(stat(M "root/etc/rancher/node", &st) == 0 && (st.st_mode & 07777) == 0750);
    assert_content(M "run/imgbuild/persist",
                   "# list\n/etc/rancher/node/\n/etc/adjtime\n/etc/machine-id\n");
    cr_assert(ib_path_exists(M "run/systemd/system/imgbuild-persist.path"));
    cr_assert_not(ib_path_exists(M "run/systemd/relabel-extra.d")); /* no SELinux here */
    /* an input that goes, as the initrd does at the switch to the root */
    cr_assert_eq(ib_remove_tree(M "input", NULL), 0);
    assert_content(M "root/etc/hosts", "odin\n");
}

Test(sysroot, changes_to_etc_go_and_the_rest_stays, .init = set_up)
{
    struct ib_persist p;
    struct ib_error *err = NULL;

    boot();
    write_to(M "root/etc/hosts", "changed\n");
    write_to(M "root/etc/drift", "x\n");
    write_to(M "root/etc/adjtime", "kept\n");
    write_to(M "root/etc/rancher/node/password", "secret\n");
    write_to(M "root/home/user/file", "mine\n");
    cr_assert_eq(ib_persist_parse("/etc/adjtime\n", &p, NULL), 0);
    cr_assert_eq(ib_persist_save(&p, M "root", &err), 0);
    ib_persist_clear(&p);
    power_off();
    write_to(M "initrd-id", "ffffffffffffffffffffffffffffffff\n");

    boot();
    assert_content(M "root/etc/hosts", "odin\n");
    cr_assert_not(ib_path_exists(M "root/etc/drift"));
    assert_content(M "root/etc/adjtime", "kept\n");
    assert_content(M "root/etc/rancher/node/password", "secret\n");
    assert_content(M "root/home/user/file", "mine\n");
    assert_content(M "root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
}

Test(sysroot, a_boot_cut_off_in_the_middle_is_completed, .init = set_up)
{
    write_to(M "root/var/.new-root/torn", "");
    write_to(M "root" IB_PERSIST_DIR "/etc/rancher/.new-node/torn", "");
    write_to(M "root" IB_PERSIST_DIR "/etc/machine-id", "0123");
    boot();
    assert_content(M "root/root/.bashrc", "image\n");
    cr_assert_not(ib_path_exists(M "root/root/torn"));
    cr_assert_not(ib_path_exists(M "root/etc/rancher/node/torn"));
    cr_assert_not(ib_path_exists(M "root/var/.new-root"));
    assert_content(M "root/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
}

Test(sysroot, a_new_root_completes_var_once, .init = set_up)
{
    _cleanup_(ib_closep) int own = -1;
    struct ib_sysroot m = machine;
    struct stat st;

    m.cmdline = "quiet roothash=abc";
    cr_assert_eq(umount(M "root/var"), 0);
    write_to(M "root/var/lib/chrony/drift", "image\n");
    write_to(M "root/var/lib/old/file", "image\n");
    cr_assert_eq(chmod(M "root/var/lib/chrony", 0750), 0);
    own = open(M "root/var", O_PATH | O_DIRECTORY);
    cr_assert_eq(mount("var", M "root/var", "tmpfs", 0, NULL), 0);
    write_to(M "root/var/lib/old/file", "mine\n");
    write_to(M "root/var/lib/.new-chrony/torn", "");

    cr_assert_eq(ib_sysroot_complete_var(&m, own, NULL), 0);
    assert_content(M "root/var/lib/chrony/drift", "image\n");
    assert_content(M "root/var/lib/old/file", "mine\n");
    cr_assert(stat(M "root/var/lib/chrony", &st) == 0 && (st.st_mode & 07777) == 0750);
    cr_assert_not(ib_path_exists(M "root/var/lib/.new-chrony"));

    /* what the machine then removes stays removed, until the next update */
    cr_assert_eq(unlink(M "root/var/lib/chrony/drift"), 0);
    cr_assert_eq(ib_sysroot_complete_var(&m, own, NULL), 0);
    cr_assert_not(ib_path_exists(M "root/var/lib/chrony/drift"));
    m.cmdline = "quiet roothash=def";
    cr_assert_eq(ib_sysroot_complete_var(&m, own, NULL), 0);
    assert_content(M "root/var/lib/chrony/drift", "image\n");
}

Test(sysroot, with_selinux_new_files_get_labels, .init = set_up)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    write_to(M "root/etc/selinux/config", "SELINUX=enforcing\n");
    boot();
    cr_assert_eq(ib_read_file(M "run/systemd/relabel-extra.d/imgbuild.relabel", 4096, &text, NULL),
                 0);
    cr_assert_not_null(strstr((char *)text.data, "/etc/systemd/network/10.network\n"));
    cr_assert_not_null(strstr((char *)text.data, "/etc/machine-id\n"));
    cr_assert_not_null(strstr((char *)text.data, "\n/var\n/home\n/root\n"));
    cr_assert_null(strstr((char *)text.data, "/etc/motd"));
}

Test(sysroot, without_identity_nothing_is_done, .init = set_up)
{
    struct ib_error *err = NULL;
    bool reboot = false;

    cr_assert_eq(ib_remove_tree(M "input/persist", NULL), 0);
    cr_assert_eq(ib_sysroot_prepare(&machine, &reboot, &err), -1);
    cr_assert_not_null(strstr(ib_error_line(err, 0), M "input/persist"));
    cr_assert_not_null(ib_error_hint(err));
    ib_error_free(err);
}
