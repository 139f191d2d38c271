/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching files into the cache: several at a time, each from the first place that has the right
 * bytes, continued where an earlier try stopped, hashed on the way.
 *
 * Places are tried in this order: mirrors (for a directory DIR: DIR/sha256/HEX, DIR/BASENAME; for a
 * URL: URL/BASENAME), then the request's own URLs, of which file:// ones (of a Debian mirror on a
 * disk) are only read where the hash is known. Redirects stay on http(s). A place with wrong bytes
 * is passed over and named in the error. What has a wrong hash never gets a blob's name, and its
 * bytes are not kept.
 *
 * Proxies come from the environment (http_proxy, https_proxy, no_proxy), certificate authorities
 * from the system, CURL_CA_BUNDLE or SSL_CERT_FILE.
 */
#pragma once

#include "base/buffer.h"
#include "io/cache.h"

enum ib_fetch_status { IB_FETCH_FAILED, IB_FETCH_FETCHED, IB_FETCH_CACHED };

/* One file. The caller fills the first part and owns everything in it. */
struct ib_fetch_request {
    const char *name;        /* for messages and progress: "k3s" */
    const char *const *urls; /* the same bytes, in the order to try */
    size_t url_count;
    bool has_sha256; /* false only while locking: then the hash is learnt, not checked */
    struct ib_sha256 sha256;
    uint64_t size_bytes;     /* 0: not known */
    uint64_t max_size_bytes; /* bound where the size is not known; 0: 8 GiB */

    /* What came of it; ib_fetch_request_clear frees. */
    enum ib_fetch_status status;
    struct ib_error *error; /* FAILED: why each place did not do */
    struct ib_sha256 ret_sha256;
    uint64_t ret_size_bytes;
};

struct ib_fetch_options {
    struct ib_cache *cache;
    const char *const *mirrors; /* directories, file:// or http(s) URLs; NULL where none */
    size_t mirror_count;
    bool offline;            /* nothing but the cache and mirror directories */
    unsigned parallel;       /* transfers at a time; 0: 6 */
    unsigned retries;        /* of a passing failure of one place; 0: 4, doubling the delay */
    unsigned retry_delay_ms; /* before the first retry; 0: 1000 */
    unsigned stall_s;        /* a transfer slower than 256 bytes/s for so long is broken; 0: 30 */
    unsigned connect_s;      /* 0: 15 */
    struct ib_progress *progress; /* may be NULL */
    struct ib_step *step;         /* parent for ours; may be NULL */
};

/*
 * Brings every request's file into the cache as a blob. All are tried, even after one failed; then
 * -1 with the first failure in *err (the requests have their own) and the number of failures in its
 * outermost line where it is more than one. IB_E_VERIFY where some place had other bytes,
 * IB_E_NOT_FOUND offline, IB_E_NETWORK otherwise; failures of the disk and IB_E_INTERRUPTED end the
 * run. Interrupted downloads stay in the cache and are continued by the next run.
 */
int ib_fetch(struct ib_fetch_request *requests, size_t count,
             const struct ib_fetch_options *options, struct ib_error **err) _must_check_;
void ib_fetch_request_clear(struct ib_fetch_request *request);

/*
 * A small file (a list of checksums) as bytes, at most max_size_bytes, without the cache (options'
 * cache may be NULL). With keep_tls, an https URL is not followed to a plain http one: for what no
 * signature protects.
 */
int ib_fetch_small(const char *url, uint64_t max_size_bytes, bool keep_tls,
                   const struct ib_fetch_options *options, struct ib_buf *ret,
                   struct ib_error **err) _must_check_;

/* What the server says of a file's size, in bytes; 0 where it does not say. */
uint64_t ib_fetch_remote_size(const char *url, const struct ib_fetch_options *options);

/* The last part of a URL's path, percent-decoded; NULL where it is no usable file name. The caller
 * frees. */
char *ib_url_basename(const char *url);
