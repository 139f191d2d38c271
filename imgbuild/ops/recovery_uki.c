/* SPDX-License-Identifier: Apache-2.0 */
/* The bootable half of a recovery stick: initrd, UKI and ESP (ops/recovery.h). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/cpio.h"
#include "image/esp.h"
#include "ops/data.h"
#include "recovery_internal.h"

#define ESP_MIN (32 * IB_MIB)
#define UNIT_DIR "usr/lib/systemd/system"
#define INSTALLER_DIR "usr/lib/imgbuild/installer"

enum { MAX_FILE_SIZE = 64 << 20 };

/* --- the installer's cpio archive --------------------------------------------------------------
 */

static int add_file(struct ib_tree *tree, const char *from, const char *to, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};
    struct stat st;

    if (ib_read_file(from, MAX_FILE_SIZE, &content, err) < 0)
        return -1;
    if (stat(from, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, from, "look at");
    return ib_tree_add_file(tree, to, st.st_mode & 0100 ? 0755 : 0644, content.data, content.size,
                            IB_LAYER_BASE, err)
               ? 0
               : -1;
}

static int add_bundle(struct ib_tree *tree, struct ib_error **err)
{
    _cleanup_(ib_freep) char *from = ib_data_path(IB_DATA_INSTALLER, err);
    _cleanup_(ib_closedirp) DIR *dir = from ? opendir(from) : NULL;

    if (!from)
        return -1;
    if (!dir)
        return ib_fail(err, IB_E_IO, errno, from, "open directory");
    for (const struct dirent *e; (errno = 0, e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        _cleanup_(ib_freep) char *path = ib_path_join(from, e->d_name);
        _cleanup_(ib_freep) char *to = ib_path_join(INSTALLER_DIR, e->d_name);
        if (add_file(tree, path, to, err) < 0)
            return -1;
    }
    return errno ? ib_fail(err, IB_E_IO, errno, from, "read directory") : 0;
}

static int make_cpio(const struct ib_recovery *r, struct ib_buf *ret, struct ib_error **err)
{
    static const struct {
        const char *from, *to;
    } units[] = {
        {"imgbuild-installer", "usr/bin/imgbuild-installer"},
        {"imgbuild-installer.service", UNIT_DIR "/imgbuild-installer.service"},
        {"imgbuild-installer.target", UNIT_DIR "/imgbuild-installer.target"},
    };
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    _cleanup_(ib_freep) char *dir = ib_data_path(IB_DATA_INSTALLER_UNITS, err);

    if (!dir || add_bundle(tree, err) < 0)
        return -1;
    for (size_t i = 0; i < IB_ARRAY_SIZE(units); i++) {
        _cleanup_(ib_freep) char *from = ib_path_join(dir, units[i].from);
        if (add_file(tree, from, units[i].to, err) < 0)
            return -1;
    }
    return ib_cpio_write(tree, (uint64_t)r->build->project->lock->date_s, ret, err);
}

/* --- UKI and ESP -------------------------------------------------------------------------------
 */

/* What all modes have in common: the kernel arguments of all nodes, consoles among them. */
static char *make_arguments(const struct ib_recovery *r, const struct ib_sha256 *id)
{
    _cleanup_(ib_strv_clear) struct ib_strv words = {0};
    char hex[IB_SHA256_HEX_SIZE];

    ib_strv_addf(&words, "imgbuild.medium=%s", ib_sha256_hex(id, hex));
    ib_strv_add(&words, "rd.systemd.unit=imgbuild-installer.target");
    ib_strv_add(&words, "loglevel=4");
    for (size_t i = 0; i < r->options->node_count; i++) {
        const struct ib_strv *arguments = &r->options->nodes[i].spec->kernel_arguments;
        for (size_t k = 0; k < arguments->count; k++)
            if (!ib_strv_contains(&words, arguments->items[k]))
                ib_strv_add(&words, arguments->items[k]);
    }
    return ib_strv_join(&words, " ");
}

static int make_uki(const struct ib_recovery *r, const char *cmdline, const char *path,
                    struct ib_error **err)
{
    _cleanup_(ib_freep) char *stub = ib_cache_entry_path(r->initrd, "stub.efi");
    _cleanup_(ib_freep) char *kernel = ib_cache_entry_path(r->initrd, "kernel");
    _cleanup_(ib_freep) char *initrd = ib_cache_entry_path(r->initrd, "initrd");
    _cleanup_(ib_freep) char *uname_path = ib_cache_entry_path(r->initrd, "uname");
    _cleanup_(ib_buf_clear) struct ib_buf uname = {0}, installer = {0};

    if (ib_read_file(uname_path, 256, &uname, err) < 0 || make_cpio(r, &installer, err) < 0)
        return -1;
    const struct ib_part initrds[] = {
        {.path = initrd},
        {.data = installer.data, .size = installer.size},
    };
    const struct ib_uki uki = {
        .stub = {.path = stub},
        .kernel = {.path = kernel},
        .initrds = initrds,
        .initrd_count = IB_ARRAY_SIZE(initrds),
        .os_release = "ID=imgbuild-recovery\nNAME=\"imgbuild recovery\"\n"
                      "PRETTY_NAME=\"imgbuild recovery\"\n",
        .cmdline = cmdline,
        .uname = (const char *)uname.data,
        .key_path = r->options->key,
        .certificate_path = r->options->certificate,
    };
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    return ib_uki_write(&uki, fd, r->dir, err);
}

static char *make_entry(const char *title, const char *arguments, const char *mode)
{
    return ib_asprintf("title   %s\nefi     /EFI/imgbuild/installer.efi\noptions %s %s\n", title,
                       arguments, mode);
}

int ib_recovery_make_esp(struct ib_recovery *r, const struct ib_sha256 *id, struct ib_error **err)
{
    const char *install = r->options->unattended ? "imgbuild.install=yes" : "imgbuild.install";
    const char *loader = r->options->unattended ? "timeout 0\ndefault install.conf\n"
                                                : "timeout 5\ndefault install.conf\n";
    const struct ib_base *base = r->options->nodes[0].spec->root->base;
    _cleanup_(ib_freep) char *arguments = make_arguments(r, id);
    _cleanup_(ib_freep) char *cmdline = ib_asprintf("%s %s", arguments, install);
    _cleanup_(ib_freep) char *install_entry =
        make_entry("Install this machine", arguments, install);
    _cleanup_(ib_freep) char *rescue_entry =
        make_entry("Rescue shell", arguments, "imgbuild.rescue");
    _cleanup_(ib_freep) char *boot = ib_cache_entry_path(r->initrd, "boot.efi");
    _cleanup_(ib_freep) char *uki = ib_path_join(r->dir, "installer.efi");
    struct stat st;

    if (make_uki(r, cmdline, uki, err) < 0)
        return -1;
    if (stat(uki, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, uki, "look at");
    const struct ib_esp_file files[] = {
        {base->architecture == IB_ARCH_AARCH64 ? "EFI/BOOT/BOOTAA64.EFI" : "EFI/BOOT/BOOTX64.EFI",
         {.path = boot}},
        {"loader/loader.conf", {.data = loader, .size = strlen(loader)}},
        {"loader/entries/install.conf", {.data = install_entry, .size = strlen(install_entry)}},
        {"loader/entries/rescue.conf", {.data = rescue_entry, .size = strlen(rescue_entry)}},
        {"EFI/imgbuild/installer.efi", {.path = uki}},
    };
    r->esp_size = IB_MAX(ESP_MIN, ib_round_up((uint64_t)st.st_size + 4 * IB_MIB, IB_MIB));
    r->esp = ib_path_join(r->dir, "esp.img");
    const struct ib_esp esp = {
        .size_bytes = r->esp_size,
        .volume_id = (uint32_t)id->bytes[0] << 24 | (uint32_t)id->bytes[1] << 16 |
                     (uint32_t)id->bytes[2] << 8 | id->bytes[3],
        .label = "IMGBUILD",
        .mtime_s = (uint64_t)r->build->project->lock->date_s,
        .files = files,
        .file_count = IB_ARRAY_SIZE(files),
    };
    return ib_esp_make(&esp, r->esp, r->build->project->progress, err);
}
