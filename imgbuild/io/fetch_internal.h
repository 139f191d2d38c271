/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of io/fetch share: a transfer's settings, and what its end means. */
#pragma once

#include <curl/curl.h>

#include "io/fetch.h"

enum ib_fetch_verdict {
    IB_VERDICT_DONE,
    IB_VERDICT_RETRY, /* a passing failure: the same place again, later */
    IB_VERDICT_NEXT,  /* this place does not have it */
};

/* Settings of every transfer. `message` holds CURL_ERROR_SIZE bytes. */
void ib_fetch_setup(CURL *easy, const char *url, const struct ib_fetch_options *options,
                    bool keep_tls, char *message);

/* What the end of a transfer means; *ret_why is why in words, where it is not done. The caller
 * frees it. */
enum ib_fetch_verdict ib_fetch_judge(CURL *easy, CURLcode result, const char *message,
                                     char **ret_why);

/* How long to wait before retry number `attempt` (from 1): doubled each time, or what the server
 * asked for (RFC 9110 section 10.2.3, Retry-After), at most a minute. No jitter: one user, and a
 * run that can be repeated. */
uint64_t ib_fetch_delay_ms(CURL *easy, const struct ib_fetch_options *options, unsigned attempt);
unsigned ib_fetch_retries(const struct ib_fetch_options *options);

/* "http:" or "https:" in front. */
bool ib_is_http_url(const char *place);

/* Percent-decoded; NULL where that holds a NUL. The caller frees. */
char *ib_url_decode(const char *begin, const char *end);
/* The last part of the path, as it stands in the URL. */
const char *ib_url_raw_basename(const char *url, size_t *ret_length);


/* Libcurl counts its users itself; this pair brackets every use. */
void ib_fetch_global_init(void);
void ib_fetch_global_cleanup(int *unused); /* for _cleanup_ */

/*
 * The file that a download grows in: blobs/partial/HEX, locked, or a temporary one where the hash
 * is not known yet. It carries on where an earlier process stopped.
 */
struct ib_partial {
    struct ib_cache *cache;
    bool has_sha256;
    struct ib_sha256 sha256;
    char *path;
    char *temp_dir; /* of a file without a known hash */
    int fd;
    uint64_t size_bytes; /* so far */
    struct ib_hasher *hasher;
};

/* 1: open; 0: another process is downloading this file; or -1. */
int ib_partial_open(struct ib_partial *partial, struct ib_cache *cache,
                    const struct ib_sha256 *sha256, struct ib_error **err) _must_check_;
bool ib_partial_is_open(const struct ib_partial *partial);
/* 0 or -1 with errno. */
int ib_partial_append(struct ib_partial *partial, const void *data, size_t size) _must_check_;
int ib_partial_restart(struct ib_partial *partial) _must_check_;
/* The hash of what is there; appending may go on afterwards only after a restart. */
void ib_partial_hash(struct ib_partial *partial, struct ib_sha256 *ret);
int ib_partial_adopt(struct ib_partial *partial, const struct ib_sha256 *hash,
                     struct ib_error **err) _must_check_;
/* Lets go of it; an empty one is removed, any other stays for the next run. */
void ib_partial_close(struct ib_partial *partial);

enum { IB_FETCH_POLL_MS = 100 };

/* One ib_fetch. */
struct ib_fetch_run {
    const struct ib_fetch_options *options;
    CURLM *multi;
    struct ib_fetch_job *jobs;
    size_t count, unfinished;
    unsigned running;
    struct ib_step *step;
};

struct ib_fetch_job {
    struct ib_fetch_run *run;
    struct ib_fetch_request *request;
    enum { JOB_WAITING, JOB_RUNNING, JOB_FINISHED } state;
    uint64_t due_ms; /* WAITING: not before */

    struct ib_strv places; /* http(s) URLs */
    size_t place;
    unsigned attempt; /* at this place, since it last made progress */
    struct ib_strv reasons;
    bool wrong_hash, noted_wait, looked_in_directories;

    struct ib_partial partial;
    bool carried_on; /* holds bytes from before this attempt */
    struct ib_step *step;
    uint64_t reported; /* bytes that progress knows of */

    CURL *easy;
    struct curl_slist *headers;
    char message[CURL_ERROR_SIZE];
    uint64_t offset; /* where this attempt began */
    bool begun;      /* its first bytes were looked at */
    char *refusal;   /* why we ended it */
    int disk_errno;  /* writing failed */
    char *etag;      /* of this place's last answer, where strong */
};

/* Why a place did not do; returns 0. */
int ib_job_reason(struct ib_fetch_job *job, const char *place, const char *why);
uint64_t ib_job_size_limit(const struct ib_fetch_request *request);
/* Tells progress about bytes that it does not know of yet. */
void ib_job_report(struct ib_fetch_job *job);
/* Empties the partial file. */
int ib_job_restart(struct ib_fetch_job *job, struct ib_error **err) _must_check_;
/* The partial file is as long as it will get. 1: right, and the job is over; 0: wrong; or -1. */
int ib_job_check_whole(struct ib_fetch_job *job, const char *place,
                       struct ib_error **err) _must_check_;
/* Looks into mirrors that are directories. 1: found, and the job is over; 0: not; or -1. */
int ib_job_try_directories(struct ib_fetch_job *job, struct ib_error **err) _must_check_;

void ib_job_list_places(struct ib_fetch_job *job);
/* Does what can be done about a waiting job now. */
int ib_job_advance(struct ib_fetch_job *job, struct ib_error **err) _must_check_;
/* A transfer has ended: the file is whole, or the job waits for its next attempt, or it is over. */
int ib_job_handle_end(struct ib_fetch_job *job, CURLcode result,
                      struct ib_error **err) _must_check_;
/* The error of a failed job. */
void ib_job_explain(const struct ib_fetch_job *job, struct ib_error **err);
void ib_job_clear(struct ib_fetch_job *job);
