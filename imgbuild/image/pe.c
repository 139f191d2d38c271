/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pe.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "image/bytes.h"

/* Offsets of the fields we read, from Microsoft's "PE Format". */
enum {
    DOS_PE_OFFSET = 0x3c,
    DOS_HEADER_SIZE = 0x40,
    COFF_MACHINE = 0,
    COFF_SECTION_COUNT = 2,
    COFF_SYMBOLS = 8,
    COFF_SYMBOL_COUNT = 12,
    COFF_OPTIONAL_SIZE = 16,
    COFF_SIZE = 20,
    OPT_MAGIC = 0,
    OPT_SECTION_ALIGNMENT = 32,
    OPT_FILE_ALIGNMENT = 36,
    OPT_SIZE_OF_IMAGE = 56,
    OPT_SIZE_OF_HEADERS = 60,
    OPT_DIRECTORY_COUNT = 108,
    OPT_DIRECTORIES = 112,
    OPT_CERTIFICATES = 144, /* the fifth directory */
    OPT_FIXED_SIZE = 112,
    OPT_MAGIC_PE32_PLUS = 0x20b,
    DIRECTORY_CERTIFICATES = 4,
    DIRECTORY_SIZE = 8,
};

static int bad(const char *name, const char *why, struct ib_error **err)
{
    return ib_failf(err, IB_E_INVALID, "'%s' is not a usable EFI program: %s", name, why);
}

static bool power_of_two_between(uint32_t v, uint32_t min, uint32_t max)
{
    return v >= min && v <= max && (v & (v - 1)) == 0;
}

static int parse_optional(const uint8_t *opt, uint32_t opt_size, uint64_t file_size,
                          const char *name, struct ib_pe *pe, struct ib_error **err)
{
    if (opt_size < OPT_FIXED_SIZE || ib_le16(opt + OPT_MAGIC) != OPT_MAGIC_PE32_PLUS)
        return bad(name, "its optional header is not a PE32+ one", err);
    pe->section_alignment = ib_le32(opt + OPT_SECTION_ALIGNMENT);
    pe->file_alignment = ib_le32(opt + OPT_FILE_ALIGNMENT);
    pe->size_of_image = ib_le32(opt + OPT_SIZE_OF_IMAGE);
    pe->size_of_headers = ib_le32(opt + OPT_SIZE_OF_HEADERS);
    if (!power_of_two_between(pe->file_alignment, 16, 64 * 1024) ||
        !power_of_two_between(pe->section_alignment, pe->file_alignment, 1024 * 1024))
        return bad(name, "its alignments are not powers of two in the usual range", err);
    if (pe->size_of_headers > file_size || pe->size_of_headers > IB_PE_HEADER_MAX)
        return bad(name, "its headers are said to be larger than they can be", err);

    uint32_t directories = ib_le32(opt + OPT_DIRECTORY_COUNT);
    if (directories > (opt_size - OPT_DIRECTORIES) / DIRECTORY_SIZE)
        return bad(name, "its data directories do not fit in the optional header", err);
    if (directories > DIRECTORY_CERTIFICATES) {
        const uint8_t *dir = opt + OPT_CERTIFICATES;
        pe->certificates_offset = ib_le32(dir);
        pe->certificates_size = ib_le32(dir + 4);
        if ((uint64_t)pe->certificates_offset + pe->certificates_size > file_size)
            return bad(name, "its signatures lie outside the file", err);
    }
    return 0;
}

static int parse_section(const uint8_t *p, uint64_t file_size, const char *name,
                         struct ib_pe_section *s, struct ib_error **err)
{
    memcpy(s->name, p, IB_PE_NAME_SIZE);
    s->name[IB_PE_NAME_SIZE] = 0;
    s->virtual_size = ib_le32(p + 8);
    s->address = ib_le32(p + 12);
    s->file_size = ib_le32(p + 16);
    s->file_offset = ib_le32(p + 20);
    s->flags = ib_le32(p + 36);
    if ((uint64_t)s->address + s->virtual_size > UINT32_MAX)
        return bad(name, "a section lies outside the 4 GiB address space", err);
    if (s->file_size > 0 && (uint64_t)s->file_offset + s->file_size > file_size)
        return bad(name, "a section's data lies outside the file", err);
    return 0;
}

int ib_pe_parse(const void *head, size_t head_size, uint64_t file_size, const char *name,
                struct ib_pe *ret, struct ib_error **err)
{
    const uint8_t *p = head;
    struct ib_pe pe = {0};

    if (head_size < DOS_HEADER_SIZE || p[0] != 'M' || p[1] != 'Z')
        return bad(name, "it does not begin with \"MZ\"", err);
    uint64_t pe_offset = ib_le32(p + DOS_PE_OFFSET);
    if (pe_offset + 4 + COFF_SIZE > head_size || memcmp(p + pe_offset, "PE\0\0", 4) != 0)
        return bad(name, "it has no PE header", err);
    pe.coff_offset = (uint32_t)pe_offset + 4;

    const uint8_t *coff = p + pe.coff_offset;
    uint32_t optional_size = ib_le16(coff + COFF_OPTIONAL_SIZE);
    pe.machine = ib_le16(coff + COFF_MACHINE);
    pe.section_count = ib_le16(coff + COFF_SECTION_COUNT);
    pe.symbols_offset = ib_le32(coff + COFF_SYMBOLS);
    pe.symbol_count = ib_le32(coff + COFF_SYMBOL_COUNT);
    pe.optional_offset = pe.coff_offset + COFF_SIZE;
    pe.sections_offset = pe.optional_offset + optional_size;
    if (pe.section_count > IB_PE_SECTIONS_MAX)
        return bad(name, "it has more than 96 sections", err);
    if (pe.sections_offset + pe.section_count * IB_PE_SECTION_HEADER_SIZE > head_size)
        return bad(name, "its headers do not fit in the file", err);
    if (parse_optional(p + pe.optional_offset, optional_size, file_size, name, &pe, err) < 0)
        return -1;
    for (size_t i = 0; i < pe.section_count; i++) {
        const uint8_t *header = p + pe.sections_offset + i * IB_PE_SECTION_HEADER_SIZE;
        if (parse_section(header, file_size, name, &pe.sections[i], err) < 0)
            return -1;
    }
    *ret = pe;
    return 0;
}

int ib_pe_read(int fd, const char *name, struct ib_pe *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) uint8_t *head = ib_malloc(IB_PE_HEADER_MAX);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    size_t size = (size_t)IB_MIN((uint64_t)st.st_size, (uint64_t)IB_PE_HEADER_MAX);
    if (ib_pread_full(fd, head, size, 0) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "read");
    return ib_pe_parse(head, size, (uint64_t)st.st_size, name, ret, err);
}

const struct ib_pe_section *ib_pe_find(const struct ib_pe *pe, const char *name)
{
    for (size_t i = 0; i < pe->section_count; i++)
        if (ib_streq(pe->sections[i].name, name))
            return &pe->sections[i];
    return NULL;
}

const char *ib_pe_machine_name(uint16_t machine)
{
    switch (machine) {
    case IB_PE_X86_64:
        return "x86-64";
    case IB_PE_AARCH64:
        return "arm64";
    default:
        return NULL;
    }
}
