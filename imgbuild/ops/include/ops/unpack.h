/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking an image to a regular file: an artifact of ours, or any raw image, packed or not
 * (io/unpacker.h). For devices there is flash, which looks before it writes.
 */
#pragma once

#include "base/progress.h"
#include "io/trust.h"

enum ib_unpack_format { IB_UNPACK_RAW, IB_UNPACK_QCOW2 };

struct ib_unpack_options {
    enum ib_unpack_format format;
    bool force;                   /* replace a file that exists */
    const struct ib_trust *trust; /* an artifact's signature must be by one of these; NULL: any */
    bool need_signature;          /* refuse what cannot be signed: images that are not ours */
    struct ib_progress *progress;
};

struct ib_unpacked {
    char *format;        /* of the source: "imgbuild", or as io/unpacker.h names it */
    char *signed_by;     /* the public key's file; NULL: not checked */
    uint64_t size_bytes; /* of the disk */
};
void ib_unpacked_clear(struct ib_unpacked *result);

/*
 * Unpacks the file `source` to the file `out`, which appears whole or not at all; runs of zeros are
 * holes in it. IB_E_REFUSED when out is a device or lies below /dev, exists (without force) or is
 * the source. qcow2 needs qemu-img and, for the while, room for the raw image beside `out`.
 */
int ib_unpack(const char *source, const char *out, const struct ib_unpack_options *options,
              struct ib_unpacked *ret, struct ib_error **err) _must_check_;
