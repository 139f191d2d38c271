/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EFI system partitions: a FAT file system in a sparse file, made by mkfs.fat and mtools.
 *
 * FAT32 from 260 MiB on, else FAT16; sectors of 512 bytes (firmware ignores other ones), clusters
 * of 4 KiB. Files are laid down one after the other in the order given, so that the same files give
 * the same bytes: no time, serial number or directory order of the machine goes in.
 */
#pragma once

#include "base/progress.h"
#include "image/uki.h"

struct ib_esp_file {
    const char *name; /* "EFI/Linux/odin.efi"; its directories are made. ASCII */
    struct ib_part content;
};

struct ib_esp {
    uint64_t size_bytes; /* a multiple of 1 MiB, from 16 MiB to 32 GiB */
    uint32_t volume_id;
    const char *label; /* at most 11 capitals and digits; NULL: "ESP" */
    uint64_t mtime_s;  /* of every file; before 1980 (which FAT cannot hold) is taken as 1980 */
    const struct ib_esp_file *files;
    size_t file_count;
};

/*
 * Makes the image as a new file at `path`, in a directory of the caller's for work in progress
 * (not a final name: see base/atomic.h). IB_E_NO_SPACE: the files do not fit; IB_E_UNSUPPORTED:
 * mkfs.fat or mtools is missing. On failure the file may exist, unfinished.
 */
int ib_esp_make(const struct ib_esp *esp, const char *path, struct ib_progress *progress,
                struct ib_error **err) _must_check_;

/*
 * Names of the regular files in a directory ("EFI/Linux") of a FAT image that begins at `offset` of
 * the file `path`, sorted; a directory that does not exist has none. The image may come from
 * anywhere; names of other than letters, digits and "._+-" are left out.
 */
int ib_esp_list(const char *path, uint64_t offset, const char *directory, struct ib_strv *ret,
                struct ib_error **err) _must_check_;
/* Writes the content of the file `name` ("EFI/Linux/odin.efi") in it to out_fd. */
int ib_esp_extract(const char *path, uint64_t offset, const char *name, int out_fd,
                   struct ib_error **err) _must_check_;
