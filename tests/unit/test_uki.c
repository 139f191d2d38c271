/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image/bytes.h"
#include "image/uki.h"

#define STUB "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(uki, .init = make_dir, .fini = remove_dir);

enum { PE_AT = 0x80, COFF_AT = PE_AT + 4, OPT_AT = COFF_AT + 20, TABLE_AT = OPT_AT + 240 };

/* The smallest image that has everything a stub has: one section, headers of 1 KiB. */
static void make_pe(uint8_t image[static 2048], uint16_t machine)
{
    uint8_t *section = image + TABLE_AT;

    memset(image, 0, 2048);
    memcpy(image, "MZ", 2);
    ib_put_le32(image + 0x3c, PE_AT);
    memcpy(image + PE_AT, "PE\0\0", 4);
    ib_put_le16(image + COFF_AT, machine);
    ib_put_le16(image + COFF_AT + 2, 1);
    ib_put_le16(image + COFF_AT + 16, 240);
    ib_put_le16(image + OPT_AT, 0x20b);
    ib_put_le32(image + OPT_AT + 32, 4096);
    ib_put_le32(image + OPT_AT + 36, 512);
    ib_put_le32(image + OPT_AT + 56, 0x2000);
    ib_put_le32(image + OPT_AT + 60, 1024);
    ib_put_le32(image + OPT_AT + 64, 0x1234); /* a checksum */
    ib_put_le32(image + OPT_AT + 108, 16);
    memcpy(section, ".text", 5);
    ib_put_le32(section + 8, 1000);
    ib_put_le32(section + 12, 0x1000);
    ib_put_le32(section + 16, 1024);
    ib_put_le32(section + 20, 1024);
    ib_put_le32(section + 36, 0x60000020);
}

static struct ib_uki make_uki(const uint8_t *stub, const uint8_t *kernel,
                              const struct ib_part *initrds, size_t count)
{
    return (struct ib_uki){
        .stub = {.data = stub, .size = 2048},
        .kernel = {.data = kernel, .size = 2048},
        .initrds = initrds,
        .initrd_count = count,
        .os_release = "ID=test\n",
        .cmdline = "roothash=abc quiet",
        .uname = "6.1.0",
    };
}

static int open_output(char **ret_path)
{
    *ret_path = ib_path_join(dir, "out.efi");
    int fd = open(*ret_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0);
    return fd;
}

Test(uki, sections_stand_behind_the_stub_and_read_back)
{
    uint8_t stub[2048], kernel[2048];
    const struct ib_part initrds[] = {{.data = "first", .size = 5}, {.data = "second!", .size = 7}};
    struct ib_error *err = NULL;
    struct ib_buf out = {0};
    struct ib_pe pe;
    char *path;

    make_pe(stub, IB_PE_X86_64);
    make_pe(kernel, IB_PE_X86_64);
    struct ib_uki uki = make_uki(stub, kernel, initrds, 2);
    int fd = open_output(&path);
    cr_assert_eq(ib_uki_write(&uki, fd, NULL, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_pe_read(fd, path, &pe, &err), 0);
    cr_assert(ib_uki_is(&pe));
    static const char *const names[] = {".text",  ".osrel",  ".cmdline",
                                        ".uname", ".initrd", ".linux"};
    cr_assert_eq(pe.section_count, 6);
    for (size_t i = 0; i < 6; i++) {
        cr_assert_str_eq(pe.sections[i].name, names[i]);
        cr_assert_eq(pe.sections[i].address % 4096, 0);
        cr_assert_eq(pe.sections[i].file_offset % 512, 0);
        if (i > 0) {
            const struct ib_pe_section *before = &pe.sections[i - 1];
            cr_assert_geq(pe.sections[i].address, before->address + before->virtual_size);
            cr_assert_eq(pe.sections[i].file_offset, before->file_offset + before->file_size);
        }
    }
    cr_assert_eq(pe.size_of_image, pe.sections[5].address + 4096);
    cr_assert_eq(ib_uki_read_section(fd, &pe, ".initrd", path, 100, &out, &err), 0);
    cr_assert_eq(out.size, 16);
    cr_assert_eq(memcmp(out.data, "first\0\0\0second!\0", 16), 0);
    cr_assert_eq(ib_uki_read_section(fd, &pe, ".cmdline", path, 100, &out, &err), 0);
    cr_assert_str_eq((char *)out.data, "roothash=abc quiet");
    cr_assert_eq(ib_uki_read_section(fd, &pe, ".linux", path, 100, &out, &err), -1);
    ib_error_clear(&err);
    cr_assert_eq(ib_uki_read_section(fd, &pe, ".none", path, 100, &out, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);

    uint8_t checksum[4];
    cr_assert_eq(ib_pread_full(fd, checksum, 4, OPT_AT + 64), 0);
    cr_assert_eq(ib_le32(checksum), 0);
    close(fd), free(path), ib_buf_clear(&out);
}

static void assert_refused(const struct ib_uki *uki, const char *part)
{
    struct ib_error *err = NULL;
    char *path;
    int fd = open_output(&path);

    cr_assert_eq(ib_uki_write(uki, fd, NULL, &err), -1, "%s: accepted", part);
    char *text = ib_error_text(err);
    cr_assert_not_null(strstr(text, part), "%s", text);
    free(text), free(path), close(fd);
    ib_error_clear(&err);
}

Test(uki, unusable_parts_are_refused_with_a_reason)
{
    uint8_t stub[2048], kernel[2048];

    make_pe(stub, IB_PE_X86_64);
    make_pe(kernel, IB_PE_AARCH64);
    struct ib_uki uki = make_uki(stub, kernel, NULL, 0);
    assert_refused(&uki, "for machine 0xaa64");
    uki.kernel = (struct ib_part){.data = "\x1f\x8b compressed", .size = 13};
    assert_refused(&uki, "does not begin with \"MZ\"");
    make_pe(kernel, IB_PE_X86_64);
    uki = make_uki(stub, kernel, NULL, 0);
    ib_put_le32(stub + OPT_AT + 60, TABLE_AT + 3 * 40); /* headers end behind two more sections */
    assert_refused(&uki, "no room for 4 more section headers");
    make_pe(stub, IB_PE_X86_64);
    ib_put_le32(stub + OPT_AT + 112 + 32, 1024);
    ib_put_le32(stub + OPT_AT + 112 + 36, 8);
    assert_refused(&uki, "is signed");
    make_pe(stub, IB_PE_X86_64);
    memcpy(stub + TABLE_AT, ".linux", 6);
    assert_refused(&uki, "it is a UKI");
    make_pe(stub, IB_PE_X86_64);
    stub[TABLE_AT + 50] = 1;
    assert_refused(&uki, "where section headers would go");
    uki.key_path = "key";
    assert_refused(&uki, "both a key and a certificate");
}

/* Each field set to a value that a careless reader would trust. */
Test(pe, wrong_headers_are_refused)
{
    static const struct {
        size_t at;
        int width;
        uint32_t value;
    } wrong[] = {
        {0, 2, 0},                     /* not MZ */
        {0x3c, 4, 2046},               /* PE header at the end */
        {0x3c, 4, UINT32_MAX},         /* and far outside */
        {PE_AT, 2, 0},                 /* no PE magic */
        {COFF_AT + 2, 2, UINT16_MAX},  /* sections */
        {COFF_AT + 2, 2, 90},          /* more than fit */
        {COFF_AT + 16, 2, 20},         /* optional header too short */
        {COFF_AT + 16, 2, UINT16_MAX}, /* and too long */
        {OPT_AT, 2, 0x10b},            /* PE32 */
        {OPT_AT + 32, 4, 0},           /* alignments */
        {OPT_AT + 32, 4, 0x80000000},
        {OPT_AT + 36, 4, 513},
        {OPT_AT + 60, 4, UINT32_MAX}, /* headers beyond the file */
        {OPT_AT + 108, 4, 17},        /* data directories */
        {OPT_AT + 108, 4, UINT32_MAX},
        {OPT_AT + 112 + 32, 4, UINT32_MAX}, /* certificates */
        {TABLE_AT + 12, 4, UINT32_MAX},     /* section's address */
        {TABLE_AT + 16, 4, 1025},           /* and its data */
        {TABLE_AT + 20, 4, UINT32_MAX},
    };
    uint8_t image[2048];
    struct ib_pe pe;

    make_pe(image, IB_PE_X86_64);
    cr_assert_eq(ib_pe_parse(image, sizeof(image), sizeof(image), "x", &pe, NULL), 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(wrong); i++) {
        struct ib_error *err = NULL;
        make_pe(image, IB_PE_X86_64);
        if (wrong[i].width == 2)
            ib_put_le16(image + wrong[i].at, (uint16_t)wrong[i].value);
        else
            ib_put_le32(image + wrong[i].at, wrong[i].value);
        cr_assert_eq(ib_pe_parse(image, sizeof(image), sizeof(image), "x", &pe, &err), -1,
                     "case %zu was accepted", i);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        ib_error_clear(&err);
    }
    for (size_t size = 0; size < TABLE_AT + 40; size++)
        cr_assert_eq(ib_pe_parse(image, size, size, "x", &pe, NULL), -1);
}

/* systemd's stub with this machine's kernel: objdump must agree, sbverify must know its signature.
 */
Test(uki, real_stub_objdump_and_signature)
{
    struct ib_error *err = NULL;
    struct ib_buf out = {0};
    uint8_t kernel[2048];
    char *path, *sbsign = ib_find_program("sbsign"), *openssl = ib_find_program("openssl");

    if (access(STUB, R_OK) < 0 || !sbsign || !openssl)
        cr_skip_test("systemd-boot-efi, sbsign or openssl is not installed");
    make_pe(kernel, IB_PE_X86_64);
    struct ib_uki uki = make_uki(NULL, kernel, NULL, 0);
    uki.stub = (struct ib_part){.path = STUB};
    int fd = open_output(&path);
    cr_assert_eq(ib_uki_write(&uki, fd, NULL, &err), 0, "%s", ib_error_text(err));
    const char *const objdump[] = {"objdump", "-h", path, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = objdump, .out = &out}, &err), 0);
    cr_assert_not_null(strstr((char *)out.data, ".sdmagic"));
    cr_assert_not_null(strstr((char *)out.data, ".linux"));
    close(fd), free(path), ib_buf_clear(&out);

    char *key = ib_path_join(dir, "key.pem"), *cert = ib_path_join(dir, "cert.pem");
    const char *const req[] = {"openssl", "req",   "-x509",    "-newkey", "rsa:2048",
                               "-nodes",  "-subj", "/CN=test", "-keyout", key,
                               "-out",    cert,    NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = req}, &err), 0);
    uki.key_path = key;
    uki.certificate_path = cert;
    fd = open_output(&path);
    cr_assert_eq(ib_uki_write(&uki, fd, dir, &err), 0, "%s", ib_error_text(err));
    const char *const verify[] = {"sbverify", "--cert", cert, path, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = verify, .out = &out}, &err), 0);
    close(fd), free(path), free(key), free(cert), free(sbsign), free(openssl), ib_buf_clear(&out);
}
