/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server's answer to a request for a part of a file is worth. Pure functions on headers, so
 * that they can be tested and fuzzed without a server.
 */
#pragma once

#include "base/error.h"

/* RFC 9110 section 14.4. */
struct ib_content_range {
    bool satisfied;       /* "FIRST-LAST/…"; else "*" and only total means something */
    uint64_t first, last; /* both inclusive */
    uint64_t total;       /* UINT64_MAX: "*", not known */
};
bool ib_content_range_parse(const char *value, struct ib_content_range *ret);

/* Which version of a file the bytes are of (RFC 9110 section 8.8). Starts as {0}. */
struct ib_http_version {
    uint64_t size;                /* UINT64_MAX: the server does not say */
    char *etag, *weak, *modified; /* NULL where it does not say; etag is strong, weak is not */
};
void ib_http_version_clear(struct ib_http_version *version);
/* What "If-Range" may carry: an answer that is a part must then be of this version. NULL: parts
 * must not be put together. Borrowed. */
const char *ib_http_version_validator(const struct ib_http_version *version);

struct ib_http_answer {
    long status;
    uint64_t length; /* Content-Length; UINT64_MAX: none */
    bool chunked;
    /* Header values, NULL where absent. */
    const char *content_range, *content_encoding, *etag, *modified;
};

enum ib_http_verdict {
    IB_HTTP_PART,    /* 206: *ret_size bytes from where it was asked for */
    IB_HTTP_WHOLE,   /* 200: the file from its beginning */
    IB_HTTP_RETRY,   /* a passing failure */
    IB_HTTP_CHANGED, /* another version of the file */
    IB_HTTP_REFUSED, /* not to be trusted, or of no use */
};

/*
 * Judges an answer to a request for size bytes from first (UINT64_MAX: to the end). `known` is the
 * version that earlier answers told of; NULL for the first answer. `url` is for its file name only.
 * *ret_why is the cause in words where it is neither PART nor WHOLE; the caller frees.
 */
enum ib_http_verdict ib_http_judge(const struct ib_http_answer *answer, const char *url,
                                   const struct ib_http_version *known, uint64_t first,
                                   uint64_t size, uint64_t *ret_size, char **ret_why);
/* The version that a PART or WHOLE answer is of. */
void ib_http_version_learn(struct ib_http_version *version, const struct ib_http_answer *answer);
