/* SPDX-License-Identifier: Apache-2.0 */
#include "image/uki.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "image/bytes.h"
#include "image/cpio.h"

enum {
    STUB_MAX = 4 * 1024 * 1024,
    SECTIONS_MAX = 5,
    INITRDS_MAX = 16,
    INITRD_ALIGN = 4,
    PAGE = 4096,
    FLAG_CODE = 0x00000020,
    FLAG_INITIALIZED_DATA = 0x00000040,
    FLAG_READ = 0x40000000,
    /* fields of the headers that change, from their header's start */
    COFF_SECTION_COUNT = 2,
    COFF_SYMBOLS = 8,
    COFF_SYMBOL_COUNT = 12,
    COFF_CHARACTERISTICS = 18,
    COFF_LINE_NUMBERS_STRIPPED = 0x0004,
    COFF_LOCAL_SYMBOLS_STRIPPED = 0x0008,
    COFF_SYMBOL_SIZE = 18,
    OPT_SIZE_OF_CODE = 4,
    OPT_SIZE_OF_INITIALIZED_DATA = 8,
    OPT_SIZE_OF_IMAGE = 56,
    OPT_CHECKSUM = 64,
};

/* A part that was opened and measured. */
struct source {
    const struct ib_part *part;
    const char *name;
    int fd; /* -1: memory */
    uint64_t size;
};

struct section {
    const char *name;
    struct source *sources;
    size_t source_count;
    uint64_t align; /* of each source */
    uint64_t size;
    uint32_t flags;
};

struct layout {
    struct source texts[3], kernel, initrds[INITRDS_MAX];
    struct ib_part parts[3];
    struct section sections[SECTIONS_MAX];
    size_t count;
};

static void close_sources(struct layout *l)
{
    ib_closep(&l->kernel.fd);
    for (size_t i = 0; i < INITRDS_MAX; i++)
        ib_closep(&l->initrds[i].fd);
}

static int open_source(const struct ib_part *part, const char *what, struct source *ret,
                       struct ib_error **err)
{
    struct stat st;

    *ret = (struct source){.part = part, .name = part->path ? part->path : what, .fd = -1};
    if (!part->path) {
        ret->size = part->size;
        return 0;
    }
    ret->fd = ib_open_read(part->path, err);
    if (ret->fd < 0)
        return ib_wrap(err, what, "read the UKI's");
    if (fstat(ret->fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, part->path, "read");
    if (!S_ISREG(st.st_mode))
        return ib_failf(err, IB_E_INVALID, "'%s' is not a regular file", part->path);
    ret->size = (uint64_t)st.st_size;
    return 0;
}

static void add_section(struct layout *l, const char *name, struct source *sources, size_t count,
                        uint64_t align, uint32_t flags)
{
    struct section *s = &l->sections[l->count++];

    *s = (struct section){.name = name, .sources = sources, .source_count = count};
    s->align = align;
    s->flags = flags | FLAG_READ;
    for (size_t i = 0; i < count; i++)
        s->size += ib_round_up(sources[i].size, align);
}

static int check_kernel(const struct ib_uki *uki, struct source *kernel, const struct ib_pe *stub,
                        struct ib_error **err)
{
    struct ib_pe pe;
    int r = kernel->fd >= 0 ? ib_pe_read(kernel->fd, kernel->name, &pe, err)
                            : ib_pe_parse(uki->kernel.data, uki->kernel.size, uki->kernel.size,
                                          kernel->name, &pe, err);

    if (r < 0)
        return ib_hint(err, "use a kernel that is built with CONFIG_EFI_STUB (not a bare vmlinux, "
                            "nor a compressed Image.gz)");
    if (pe.machine != stub->machine)
        return ib_failf(err, IB_E_INVALID,
                        "kernel '%s' is for machine 0x%04x, but the EFI stub for 0x%04x",
                        kernel->name, pe.machine, stub->machine);
    return 0;
}

static int plan_sections(const struct ib_uki *uki, const struct ib_pe *stub, struct layout *l,
                         struct ib_error **err)
{
    const char *const names[] = {".osrel", ".cmdline", ".uname"};
    const char *const texts[] = {uki->os_release, uki->cmdline, uki->uname};

    for (size_t i = 0; i < IB_ARRAY_SIZE(texts); i++) {
        if (!texts[i])
            continue;
        l->parts[i] = (struct ib_part){.data = texts[i], .size = strlen(texts[i])};
        if (open_source(&l->parts[i], names[i], &l->texts[i], err) < 0)
            return -1;
        add_section(l, names[i], &l->texts[i], 1, 1, FLAG_INITIALIZED_DATA);
    }
    if (uki->initrd_count > INITRDS_MAX)
        return ib_failf(err, IB_E_INVALID, "a UKI of ours holds at most %d initrds", INITRDS_MAX);
    for (size_t i = 0; i < uki->initrd_count; i++)
        if (open_source(&uki->initrds[i], "initrd", &l->initrds[i], err) < 0)
            return -1;
    if (uki->initrd_count > 0)
        add_section(l, ".initrd", l->initrds, uki->initrd_count, INITRD_ALIGN,
                    FLAG_INITIALIZED_DATA);
    if (open_source(&uki->kernel, "kernel", &l->kernel, err) < 0 ||
        check_kernel(uki, &l->kernel, stub, err) < 0)
        return -1;
    /* old stubs run the kernel where it lies (EFI handover protocol), hence "code" */
    add_section(l, ".linux", &l->kernel, 1, 1, FLAG_CODE);
    return 0;
}

/* Cuts the COFF symbol table that linkers leave at the end of old stubs: an EFI image has none. */
static void strip_symbols(struct ib_buf *stub, const struct ib_pe *pe)
{
    uint64_t end = (uint64_t)pe->symbols_offset + (uint64_t)pe->symbol_count * COFF_SYMBOL_SIZE;

    if (!pe->symbols_offset || end + 4 > stub->size)
        return;
    end += ib_le32(stub->data + end); /* the string table, whose size counts itself */
    if (end != stub->size)
        return;
    for (size_t i = 0; i < pe->section_count; i++) /* never cut into what gets loaded */
        if ((uint64_t)pe->sections[i].file_offset + pe->sections[i].file_size > pe->symbols_offset)
            return;
    uint8_t *coff = stub->data + pe->coff_offset;
    stub->size = pe->symbols_offset;
    ib_put_le32(coff + COFF_SYMBOLS, 0);
    ib_put_le32(coff + COFF_SYMBOL_COUNT, 0);
    ib_put_le16(coff + COFF_CHARACTERISTICS,
                (uint16_t)(ib_le16(coff + COFF_CHARACTERISTICS) | COFF_LINE_NUMBERS_STRIPPED |
                           COFF_LOCAL_SYMBOLS_STRIPPED));
}

static int check_stub(const struct ib_buf *stub, const struct ib_pe *pe, const char *name,
                      size_t new_sections, struct ib_error **err)
{
    uint64_t table_end = pe->sections_offset +
                         (uint64_t)(pe->section_count + new_sections) * IB_PE_SECTION_HEADER_SIZE;
    uint64_t gap_end = stub->size;

    for (size_t i = 0; i < pe->section_count; i++)
        if (pe->sections[i].file_size > 0)
            gap_end = IB_MIN(gap_end, pe->sections[i].file_offset);
    if (ib_pe_find(pe, ".linux"))
        return ib_failf(err, IB_E_INVALID, "'%s' holds a kernel already: it is a UKI, not a stub",
                        name);
    if (pe->certificates_offset) {
        ib_failf(err, IB_E_INVALID,
                 "the EFI stub '%s' is signed, and adding to it would break that", name);
        return ib_hint(err, "use the unsigned stub; the finished UKI is what gets signed");
    }
    if (!pe->section_count || table_end > IB_MIN(gap_end, (uint64_t)pe->size_of_headers)) {
        ib_failf(err, IB_E_INVALID, "the EFI stub '%s' has no room for %zu more section headers",
                 name, new_sections);
        return ib_hint(err, "use systemd's own linuxx64.efi.stub, of version 252 or newer");
    }
    for (size_t i = table_end - new_sections * IB_PE_SECTION_HEADER_SIZE; i < table_end; i++)
        if (stub->data[i])
            return ib_failf(err, IB_E_INVALID,
                            "the EFI stub '%s' has data where section headers would go", name);
    return 0;
}

static void put_section_header(uint8_t *p, const struct section *s, uint32_t address,
                               uint32_t file_offset, uint32_t file_size)
{
    memset(p, 0, IB_PE_SECTION_HEADER_SIZE);
    memcpy(p, s->name, strlen(s->name)); /* at most 8 bytes; a NUL is not needed at 8 */
    ib_put_le32(p + 8, (uint32_t)s->size);
    ib_put_le32(p + 12, address);
    ib_put_le32(p + 16, file_size);
    ib_put_le32(p + 20, file_offset);
    ib_put_le32(p + 36, s->flags);
}

/* Enters the new sections into the stub's headers (in place) and pads its end. */
static int enter_sections(struct ib_buf *stub, struct ib_pe *pe, const struct layout *l,
                          struct ib_error **err)
{
    /* a stub with sections aligned to less than a page exists (252); the kernel wants pages */
    uint64_t address_align = IB_MAX(pe->section_alignment, (uint32_t)PAGE), address = 0;
    uint64_t sizes[2] = {0, 0}; /* code, initialized data */

    for (size_t i = 0; i < pe->section_count; i++)
        address =
            IB_MAX(address, (uint64_t)pe->sections[i].address +
                                IB_MAX(pe->sections[i].virtual_size, pe->sections[i].file_size));
    ib_buf_append_zeros(stub, (size_t)(ib_round_up(stub->size, pe->file_alignment) - stub->size));
    uint64_t offset = stub->size;
    uint8_t *header =
        stub->data + pe->sections_offset + pe->section_count * IB_PE_SECTION_HEADER_SIZE;
    for (size_t i = 0; i < l->count; i++, header += IB_PE_SECTION_HEADER_SIZE) {
        const struct section *s = &l->sections[i];
        uint64_t file_size = ib_round_up(s->size, pe->file_alignment);
        address = ib_round_up(address, address_align);
        if (s->size > INT32_MAX || offset + file_size > INT32_MAX ||
            address + file_size > INT32_MAX)
            return ib_failf(err, IB_E_INVALID, "a UKI cannot be larger than 2 GiB");
        put_section_header(header, s, (uint32_t)address, (uint32_t)offset, (uint32_t)file_size);
        sizes[!(s->flags & FLAG_CODE)] += file_size;
        address += s->size;
        offset += file_size;
    }
    uint8_t *coff = stub->data + pe->coff_offset, *opt = stub->data + pe->optional_offset;
    uint8_t *code = opt + OPT_SIZE_OF_CODE, *data = opt + OPT_SIZE_OF_INITIALIZED_DATA;
    ib_put_le16(coff + COFF_SECTION_COUNT, (uint16_t)(pe->section_count + l->count));
    ib_put_le32(code, (uint32_t)(ib_le32(code) + sizes[0]));
    ib_put_le32(data, (uint32_t)(ib_le32(data) + sizes[1]));
    ib_put_le32(opt + OPT_SIZE_OF_IMAGE, (uint32_t)ib_round_up(address, pe->section_alignment));
    ib_put_le32(opt + OPT_CHECKSUM, 0); /* firmware ignores it; sbsign sets its own */
    return 0;
}

static int write_zeros(int fd, uint64_t size)
{
    static const uint8_t zeros[4096];

    while (size > 0) {
        size_t n = (size_t)IB_MIN(size, sizeof(zeros));
        if (ib_write_full(fd, zeros, n) < 0)
            return -1;
        size -= n;
    }
    return 0;
}

static int write_section(const struct section *s, uint32_t file_alignment, int out_fd,
                         struct ib_error **err)
{
    for (size_t i = 0; i < s->source_count; i++) {
        const struct source *from = &s->sources[i];
        int r = from->fd >= 0 ? ib_copy_range(from->fd, 0, out_fd, from->size)
                              : ib_write_full(out_fd, from->part->data, from->part->size);
        if (r < 0 || write_zeros(out_fd, ib_round_up(from->size, s->align) - from->size) < 0)
            return ib_fail(err, IB_E_IO, errno, from->name, "copy into the UKI");
    }
    if (write_zeros(out_fd, ib_round_up(s->size, file_alignment) - s->size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "write the UKI");
    return 0;
}

static int read_stub(const struct ib_part *part, struct ib_buf *ret, struct ib_error **err)
{
    if (!part->path)
        ib_buf_append(ret, part->data, part->size);
    else if (ib_read_file(part->path, STUB_MAX, ret, err) < 0)
        return ib_hint(err, "install the package that holds systemd's EFI stub "
                            "(systemd-boot-efi on Debian, systemd-boot-unsigned on Fedora)");
    return 0;
}

static int write_unsigned(const struct ib_uki *uki, int out_fd, struct ib_error **err)
{
    const char *stub_name = uki->stub.path ? uki->stub.path : "EFI stub";
    _cleanup_(ib_buf_clear) struct ib_buf stub = {0};
    _cleanup_(close_sources) struct layout l = {.kernel.fd = -1};
    struct ib_pe pe;

    for (size_t i = 0; i < INITRDS_MAX; i++)
        l.initrds[i].fd = -1;
    if (read_stub(&uki->stub, &stub, err) < 0 ||
        ib_pe_parse(stub.data, stub.size, stub.size, stub_name, &pe, err) < 0 ||
        plan_sections(uki, &pe, &l, err) < 0 || check_stub(&stub, &pe, stub_name, l.count, err) < 0)
        return -1;
    strip_symbols(&stub, &pe);
    if (enter_sections(&stub, &pe, &l, err) < 0)
        return -1;
    if (ib_write_full(out_fd, stub.data, stub.size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "write the UKI");
    for (size_t i = 0; i < l.count; i++)
        if (write_section(&l.sections[i], pe.file_alignment, out_fd, err) < 0)
            return -1;
    return 0;
}

static int sign(const struct ib_uki *uki, const char *unsigned_path, const char *signed_path,
                struct ib_error **err)
{
    const char *const argv[] = {
        "sbsign",   "--key",     uki->key_path, "--cert", uki->certificate_path,
        "--output", signed_path, unsigned_path, NULL};

    if (ib_run(&(struct ib_run){.argv = argv}, err) < 0)
        return ib_wrap(err, uki->key_path, "sign the UKI with the key");
    return 0;
}

static int write_signed(const struct ib_uki *uki, int out_fd, const char *temp_dir,
                        struct ib_error **err)
{
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir(temp_dir, "uki", err);
    struct stat st;

    if (!dir)
        return -1;
    _cleanup_(ib_freep) char *unsigned_path = ib_path_join(dir, "unsigned.efi");
    _cleanup_(ib_freep) char *signed_path = ib_path_join(dir, "signed.efi");
    _cleanup_(ib_closep) int fd =
        open(unsigned_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, unsigned_path, "create");
    if (write_unsigned(uki, fd, err) < 0 || sign(uki, unsigned_path, signed_path, err) < 0)
        return -1;
    _cleanup_(ib_closep) int in = ib_open_read(signed_path, err);
    if (in < 0)
        return -1;
    if (fstat(in, &st) < 0 || ib_copy_range(in, 0, out_fd, (uint64_t)st.st_size) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "write the signed UKI");
    return 0;
}

int ib_uki_write(const struct ib_uki *uki, int out_fd, const char *temp_dir, struct ib_error **err)
{
    if (!uki->key_path != !uki->certificate_path) {
        ib_failf(err, IB_E_USAGE, "signing a UKI needs both a key and a certificate");
        return ib_hint(err, "give both, or neither for an unsigned UKI");
    }
    return uki->key_path ? write_signed(uki, out_fd, temp_dir, err)
                         : write_unsigned(uki, out_fd, err);
}

int ib_uki_read_section(int fd, const struct ib_pe *pe, const char *section, const char *name,
                        uint64_t max_size_bytes, struct ib_buf *ret, struct ib_error **err)
{
    const struct ib_pe_section *s = ib_pe_find(pe, section);

    if (!s)
        return ib_failf(err, IB_E_NOT_FOUND, "'%s' has no section %s", name, section);
    uint64_t size = IB_MIN(s->virtual_size, s->file_size);
    if (size > max_size_bytes)
        return ib_failf(err, IB_E_INVALID, "section %s of '%s' is larger than %llu bytes", section,
                        name, (unsigned long long)max_size_bytes);
    ib_buf_clear(ret);
    if (ib_pread_full(fd, ib_buf_reserve(ret, (size_t)size), (size_t)size, s->file_offset) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    ret->size = (size_t)size;
    ret->data[size] = 0;
    return 0;
}

bool ib_uki_is(const struct ib_pe *pe)
{
    return ib_pe_find(pe, ".linux") && ib_pe_find(pe, ".cmdline") && ib_pe_find(pe, ".osrel");
}

int ib_uki_read_identity(int fd, const struct ib_pe *pe, const char *name, struct ib_tree **ret,
                         struct ib_error **err)
{
    const uint32_t tail_max = 16 * 1024 * 1024;
    const struct ib_pe_section *s = ib_pe_find(pe, ".initrd");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_new();
    uint32_t size = s ? IB_MIN(s->virtual_size, s->file_size) : 0, tail = IB_MIN(size, tail_max);
    _cleanup_(ib_freep) uint8_t *data = ib_malloc(tail);
    size_t at;

    if (tail && ib_pread_full(fd, data, tail, s->file_offset + (size - tail)) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    if (!ib_cpio_find_last(data, tail, &at)) {
        *ret = NULL;
        return 0;
    }
    if (ib_cpio_read(data + at, tail - at, name, tree, err) < 0)
        return ib_wrap(err, name, "read the identity in");
    *ret = ib_steal(&tree);
    return 0;
}
