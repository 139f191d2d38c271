/* SPDX-License-Identifier: Apache-2.0 */
#include "host_programs.h"

#include <string.h>

#include "base/file.h"
#include "os/host.h"

/*
 * Programs that we run, and the packages that bring them. A name that is a path is a file that we
 * read; "kernel" is for messages only.
 */
static const struct program {
    const char *name, *fedora_path; /* fedora_path: where Fedora keeps a file; NULL: the same */
    const char *debian, *fedora;
    const char *used_for;
} program_table[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "ovmf", "edk2-ovmf",
     "trying an image (imgbuild boot)"},
    {"gpgv", NULL, "gpgv", "gnupg2", "checking the signatures of bases (imgbuild lock)"},
    {"mcopy", NULL, "mtools", "mtools", "the EFI system partition of every image"},
    {"mkfs.fat", NULL, "dosfstools", "dosfstools", "the EFI system partition of every image"},
    {"mmdebstrap", NULL, "mmdebstrap", "mmdebstrap", "bases made from a Debian suite"},
    {"newgidmap", NULL, "uidmap", "shadow-utils", "the namespace sandbox without root"},
    {"newuidmap", NULL, "uidmap", "shadow-utils", "the namespace sandbox without root"},
    {"qemu-img", NULL, "qemu-utils", "qemu-img", "bases that are disk images"},
    {"qemu-system-aarch64", NULL, "qemu-system-arm", "qemu-system-aarch64-core",
     "the guestfs sandbox, disk images, trying an image"},
    {"qemu-system-x86_64", NULL, "qemu-system-x86", "qemu-system-x86-core",
     "the guestfs sandbox, disk images, trying an image"},
    {"sbsign", NULL, "sbsigntool", "sbsigntools", "signing for Secure Boot"},
    {"supermin", NULL, "libguestfs0", "libguestfs", "the guestfs sandbox, disk images"},
    {"kernel", NULL, "linux-image-amd64", "kernel-core", NULL},
};

/* True on Fedora and its relatives (os-release(5): ID, ID_LIKE). */
static bool is_fedora(void)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    if (ib_read_file("/etc/os-release", IB_MIB, &text, NULL) < 0 || !text.size)
        return false;
    ib_strv_split(&lines, (const char *)text.data, "\n");
    for (size_t i = 0; i < lines.count; i++)
        if ((ib_startswith(lines.items[i], "ID=") || ib_startswith(lines.items[i], "ID_LIKE=")) &&
            (strstr(lines.items[i], "fedora") || strstr(lines.items[i], "rhel")))
            return true;
    return false;
}

const char *ib_host_package_of(const char *program)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(program_table); i++)
        if (ib_streq(program_table[i].name, program))
            return is_fedora() ? program_table[i].fedora : program_table[i].debian;
    return NULL;
}

static bool is_for_other_machine(const char *name)
{
    if (!ib_startswith(name, "qemu-system-"))
        return false;
#if defined(__aarch64__)
    return !ib_streq(name, "qemu-system-aarch64");
#else
    return !ib_streq(name, "qemu-system-x86_64");
#endif
}

bool ib_host_program(size_t index, struct ib_host_program *ret)
{
    bool fedora = is_fedora();

    for (size_t i = 0; i < IB_ARRAY_SIZE(program_table); i++) {
        const struct program *p = &program_table[i];
        if (!p->used_for || is_for_other_machine(p->name) || index-- > 0)
            continue;
        *ret = (struct ib_host_program){
            .name = fedora && p->fedora_path ? p->fedora_path : p->name,
            .package = fedora ? p->fedora : p->debian,
            .used_for = p->used_for,
        };
        return true;
    }
    return false;
}

const char *ib_host_installer(void)
{
    return is_fedora() ? "dnf install" : "apt install";
}
