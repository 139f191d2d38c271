/* SPDX-License-Identifier: Apache-2.0 */
/* Private to io/: the lines of minisign's files, read strictly. */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

/* A file being read line by line. */
struct minisign_lines {
    const char *text;
    size_t size, at;
    const char *name; /* of the file, for messages */
    const char *what; /* "public key", "signature", "secret key" */
    unsigned line;    /* the number of the one read last */
    struct ib_error **err;
};

/* The error "FILE:LINE: not a WHAT of minisign: WHY", with the cure. Returns -1. */
int ib_minisign_bad(const struct minisign_lines *lines, const char *why);
/* Reads the next line, which must begin with `prefix`; the rest of it is *ret (borrowed). */
int ib_minisign_comment(struct minisign_lines *lines, const char *prefix, const char **ret,
                        size_t *ret_size) _must_check_;
/* Reads the next line, which must be the base64 (RFC 4648) of exactly size bytes. */
int ib_minisign_base64(struct minisign_lines *lines, void *ret, size_t size) _must_check_;
/* Nothing may follow. */
int ib_minisign_end(struct minisign_lines *lines) _must_check_;

/* Appends base64 and a line break. */
void ib_minisign_put_base64(struct ib_buf *out, const void *data, size_t size);
