/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unified kernel images: systemd's stub, the kernel, initrds, command line and os-release in one
 * EFI program.
 *
 * Format: UAPI.5 "Unified Kernel Image (UKI)" over PE32+ (image/pe.h). Sections are appended to the
 * stub in the order .osrel .cmdline .uname .initrd .linux; nothing in the result depends on the
 * time or the machine. The .initrd section is all initrds one after the other, each padded to four
 * bytes, which the kernel unpacks in that order: the role's initrd first, the node's identity last.
 * So what nodes of a role share stays at the same place inside the section.
 */
#pragma once

#include "base/buffer.h"
#include "image/pe.h"
#include "io/tree.h"

/* Bytes that go into an image: a file, or memory where path is NULL. Borrowed. */
struct ib_part {
    const char *path;
    const void *data;
    size_t size; /* of data */
};

struct ib_uki {
    struct ib_part stub;   /* linuxx64.efi.stub and its like; at most 4 MiB */
    struct ib_part kernel; /* an EFI-stub kernel for the same machine as the stub */
    const struct ib_part *initrds;
    size_t initrd_count;
    const char *os_release; /* text; NULL leaves the section out, as do the next two */
    const char *cmdline;
    const char *uname;    /* the kernel's version as `uname -r` gives it */
    const char *key_path; /* PEM key and certificate for Secure Boot; NULL: not signed */
    const char *certificate_path;
};

/*
 * Writes the UKI to out_fd, which must be empty and at its start. Signing runs sbsign in a
 * directory it makes under temp_dir (may be NULL when there is no key); it puts the time of signing
 * in, so a signed UKI is not the same bytes twice. IB_E_INVALID: a part is malformed or does not
 * fit; IB_E_UNSUPPORTED: sbsign is missing. On failure throw out_fd's file away.
 */
int ib_uki_write(const struct ib_uki *uki, int out_fd, const char *temp_dir,
                 struct ib_error **err) _must_check_;

/*
 * Reads the content of a section: its virtual size, without the padding in the file. At most
 * max_size_bytes. IB_E_NOT_FOUND when there is no such section.
 */
int ib_uki_read_section(int fd, const struct ib_pe *pe, const char *section, const char *name,
                        uint64_t max_size_bytes, struct ib_buf *ret,
                        struct ib_error **err) _must_check_;

/* True for an image with the sections that make it a UKI. */
bool ib_uki_is(const struct ib_pe *pe);

/*
 * Reads the identity archive at the end of .initrd (ib_cpio_find_last), of at most 16 MiB, into a
 * new tree: *ret is NULL where there is none. The UKI may come from anywhere.
 */
int ib_uki_read_identity(int fd, const struct ib_pe *pe, const char *name, struct ib_tree **ret,
                         struct ib_error **err) _must_check_;
