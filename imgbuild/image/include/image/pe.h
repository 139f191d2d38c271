/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers of PE32+ images (EFI programs), read with every field checked.
 *
 * Format: Microsoft "PE Format" (COFF file header, optional header, section table). A UKI is such
 * an image with more sections; image/uki.h makes and reads those.
 */
#pragma once

#include "base/error.h"

enum {
    IB_PE_HEADER_MAX = 64 * 1024, /* all headers lie in this head of the file, or we refuse it */
    IB_PE_SECTIONS_MAX = 96,      /* the PE loader's own limit */
    IB_PE_SECTION_HEADER_SIZE = 40,
    IB_PE_NAME_SIZE = 8,
};

/* COFF machine types. */
enum ib_pe_machine { IB_PE_X86_64 = 0x8664, IB_PE_AARCH64 = 0xaa64 };

struct ib_pe_section {
    char name[IB_PE_NAME_SIZE + 1];
    uint32_t address;      /* relative to the image base, when loaded */
    uint32_t virtual_size; /* bytes when loaded: for UKI sections the size of the content */
    uint32_t file_offset;  /* the bytes of the file; they lie inside it (checked) */
    uint32_t file_size;
    uint32_t flags;
};

struct ib_pe {
    uint16_t machine;
    uint32_t coff_offset;       /* of the COFF file header, behind "PE\0\0" */
    uint32_t optional_offset;   /* of the optional header */
    uint32_t sections_offset;   /* of the section table */
    uint32_t section_alignment; /* a power of two, at least file_alignment, at most 1 MiB */
    uint32_t file_alignment;    /* a power of two, 16 to 64 KiB */
    uint32_t size_of_image;
    uint32_t size_of_headers;
    uint32_t symbols_offset; /* the COFF symbol table; 0: none */
    uint32_t symbol_count;
    uint32_t certificates_offset; /* Authenticode signatures; 0: not signed */
    uint32_t certificates_size;
    size_t section_count;
    struct ib_pe_section sections[IB_PE_SECTIONS_MAX];
};

/*
 * Parses the headers of an image of file_size bytes, of which `head` holds the first head_size
 * (the whole file, or IB_PE_HEADER_MAX). `name` is for messages. The image may come from anywhere.
 */
int ib_pe_parse(const void *head, size_t head_size, uint64_t file_size, const char *name,
                struct ib_pe *ret, struct ib_error **err) _must_check_;

/* The same, reading the head from an open file. */
int ib_pe_read(int fd, const char *name, struct ib_pe *ret, struct ib_error **err) _must_check_;

/* The first section of this name, or NULL. Borrowed. */
const struct ib_pe_section *ib_pe_find(const struct ib_pe *pe, const char *name);

/* "x86-64", "arm64", or NULL for a machine that we do not build for. */
const char *ib_pe_machine_name(uint16_t machine);
