/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A local flat package repository for apt: the .deb files in one directory beside an index named
 * "Packages" (deb(5) control paragraphs plus Filename, Size and SHA256, as in
 * https://wiki.debian.org/DebianRepository/Format). apt reads it as
 * "deb [trusted=yes] copy:DIR ./": the trust lies in the hashes of the lock.
 */
#pragma once

#include "base/buffer.h"
#include "os/debset.h"

/*
 * Makes the repository in `dir`, which must not exist yet; it can be read by every user. The .deb
 * files are hard links where the file system allows it, else copies: remove the directory, never
 * write into its files. On failure the directory may be left half-made.
 */
int ib_debrepo_make(const char *dir, const struct ib_deb_list *debs, struct ib_progress *progress,
                    struct ib_error **err) _must_check_;

/* "NAME_VERSION_ARCHITECTURE.deb", the version without its epoch as in Debian's own pool. The
 * caller frees. */
char *ib_deb_file_name(const struct ib_deb_control *control);
/* One paragraph of the index, with its closing empty line. */
void ib_debrepo_append_paragraph(const struct ib_deb *deb, struct ib_buf *ret);
