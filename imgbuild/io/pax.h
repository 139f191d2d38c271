/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a tree archive: the subset of the pax interchange format (POSIX.1-2017, pax,
 * "ustar Interchange Format" and "pax Extended Header") that tree_save.c writes and tree_load.c
 * accepts. We write it ourselves and not through libarchive because the bytes must not depend on a
 * library's version or on the locale, and because loading must jump from header to header without
 * touching the data. Any tar reads it.
 *
 *   - what fits stands in the ustar header alone; what does not (names over 100 bytes, large or
 *     negative numbers, xattrs) stands in an extended header ('x') before it, records in the order
 *     of enum ib_pax_key, xattrs sorted by name;
 *   - the root comes first as "./", then every name in the order of a walk; directories end in "/";
 *   - of an inode's names the first carries the content, the others are hard links ('1') to it;
 *   - what no tar can say (who brought the file, that it is a socket) stands in a comment record,
 *     which every reader must ignore: "imgbuild LAYER" or "imgbuild LAYER socket";
 *   - two blocks of zeros end it.
 */
#pragma once

#include "base/util.h"

enum {
    IB_PAX_BLOCK = 512,
    IB_PAX_MAX_ID = 07777777,              /* uid, gid, device numbers in the ustar header */
    IB_PAX_MAX_RECORDS = 64 * 1024 * 1024, /* bytes of one extended header */
};
#define IB_PAX_MAX_NUMBER UINT64_C(077777777777) /* size and mtime in the ustar header */
#define IB_PAX_XATTR "SCHILY.xattr."             /* as star, GNU tar and libarchive write them */

struct ib_ustar {
    char name[100];
    char mode[8], uid[8], gid[8];
    char size[12], mtime[12];
    char checksum[8];
    char type;
    char linkname[100];
    char magic[8]; /* "ustar", NUL, "00" */
    char uname[32], gname[32];
    char devmajor[8], devminor[8];
    char prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct ib_ustar) == IB_PAX_BLOCK, "a ustar header is one block");

/* The sum of the header's bytes, the checksum field taken as blanks. */
static inline unsigned ib_ustar_checksum(const struct ib_ustar *header)
{
    const unsigned char *p = (const unsigned char *)header;
    unsigned sum = 8 * ' ';

    for (size_t i = 0; i < sizeof(*header); i++)
        sum += p[i];
    for (size_t i = 0; i < sizeof(header->checksum); i++)
        sum -= (unsigned char)header->checksum[i];
    return sum;
}

/* The bytes of zeros behind `size` bytes of content. */
static inline uint64_t ib_pax_padding(uint64_t size)
{
    return -size & (IB_PAX_BLOCK - 1);
}
