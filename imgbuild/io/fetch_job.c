/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file's way into the cache. A job walks through its places; at one place it makes attempts,
 * each one HTTP transfer that appends to the job's partial file.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "fetch_internal.h"
#include "http_answer.h"

enum { PROGRESS_MADE = 1024 * 1024 }; /* bytes after which a place has earned new retries */
static const uint64_t DEFAULT_MAX_SIZE = 8 * IB_GIB;

int ib_job_reason(struct ib_fetch_job *job, const char *place, const char *why)
{
    ib_debug("%s: %s: %s", job->request->name, place, why);
    ib_strv_addf(&job->reasons, "%s: %s", place, why);
    return 0;
}

uint64_t ib_job_size_limit(const struct ib_fetch_request *request)
{
    if (request->size_bytes)
        return request->size_bytes;
    return request->max_size_bytes ? request->max_size_bytes : DEFAULT_MAX_SIZE;
}

void ib_job_report(struct ib_fetch_job *job)
{
    const uint64_t size = job->partial.size_bytes;

    if (size <= job->reported) /* begun anew: nothing to add until it is further than before */
        return;
    ib_step_advance(job->step, size - job->reported);
    ib_step_advance(job->run->step, size - job->reported);
    job->reported = size;
}

/* Places. */

void ib_job_list_places(struct ib_fetch_job *job)
{
    const struct ib_fetch_options *options = job->run->options;
    const struct ib_fetch_request *request = job->request;

    if (options->offline)
        return;
    for (size_t m = 0; request->url_count && m < options->mirror_count; m++) {
        const char *mirror = options->mirrors[m];
        size_t length;
        const char *base = ib_url_raw_basename(request->urls[0], &length);
        if (ib_is_http_url(mirror))
            ib_strv_addf(&job->places, "%s%s%.*s", mirror, ib_endswith(mirror, "/") ? "" : "/",
                         (int)length, base);
    }
    for (size_t u = 0; u < request->url_count; u++)
        if (!request->has_sha256 || !ib_startswith(request->urls[u], "file:"))
            ib_strv_add(&job->places, request->urls[u]);
}

static void next_place(struct ib_fetch_job *job)
{
    job->place++;
    job->attempt = 0;
    free(ib_steal(&job->etag));
}

/* The end of a job. */

void ib_job_explain(const struct ib_fetch_job *job, struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    const struct ib_strv *reasons = &job->reasons;
    const bool offline = job->run->options->offline;
    _cleanup_(ib_freep) char *base = request->url_count ? ib_url_basename(request->urls[0]) : NULL;
    enum ib_error_code code = job->wrong_hash                  ? IB_E_VERIFY
                              : offline || !request->url_count ? IB_E_NOT_FOUND
                                                               : IB_E_NETWORK;

    if (offline)
        ib_failf(err, code, "it is not in the cache, and --offline forbids to fetch '%s'",
                 request->url_count ? request->urls[0] : request->name);
    else if (!reasons->count)
        ib_failf(err, code, "no URL is known for it");
    for (size_t i = reasons->count; i-- > 0;) { /* the first that was tried is outermost */
        if (*err)
            ib_wrapf(err, "%s", reasons->items[i]);
        else
            ib_failf(err, code, "%s", reasons->items[i]);
    }
    if (job->wrong_hash && !base)
        ib_hint(err, "if the file was published anew, run 'imgbuild lock %s'", request->name);
    else if (job->wrong_hash)
        ib_hint(err,
                "if it was published anew, run 'imgbuild lock %s'; else give the right '%s' "
                "with --mirror DIR",
                request->name, base);
    else if (offline && base)
        ib_hint(err,
                "run 'imgbuild fetch' without --offline where it can be reached, or put the "
                "file into a directory as '%s' and name that with --mirror DIR",
                base);
    else if (base)
        ib_hint(err,
                "check the network, or put the file into a directory as '%s' and name that "
                "with --mirror DIR",
                base);
    ib_wrap(err, request->name, "fetch");
}

static void finish(struct ib_fetch_job *job, enum ib_fetch_status status)
{
    job->state = JOB_FINISHED;
    job->run->unfinished--;
    job->request->status = status;
    ib_step_end(job->step, status == IB_FETCH_FAILED   ? IB_STEP_FAILED
                           : status == IB_FETCH_CACHED ? IB_STEP_CACHED
                                                       : IB_STEP_DONE);
    job->step = NULL;
    if (ib_partial_is_open(&job->partial))
        ib_partial_close(&job->partial);
    if (status == IB_FETCH_FAILED)
        ib_job_explain(job, &job->request->error);
}

static int finish_adopted(struct ib_fetch_job *job, const struct ib_sha256 *hash,
                          struct ib_error **err)
{
    job->request->ret_sha256 = *hash;
    job->request->ret_size_bytes = job->partial.size_bytes;
    ib_job_report(job);
    if (ib_partial_adopt(&job->partial, hash, err) < 0)
        return -1;
    finish(job, IB_FETCH_FETCHED);
    return 0;
}

int ib_job_restart(struct ib_fetch_job *job, struct ib_error **err)
{
    job->carried_on = false;
    if (ib_partial_restart(&job->partial) < 0)
        return ib_fail(err, IB_E_IO, errno, job->partial.path, "empty");
    return 0;
}

int ib_job_check_whole(struct ib_fetch_job *job, const char *place, struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    struct ib_sha256 hash;
    char is[IB_SHA256_HEX_SIZE], wanted[IB_SHA256_HEX_SIZE];

    ib_partial_hash(&job->partial, &hash);
    if (!request->has_sha256 || ib_sha256_equal(&hash, &request->sha256))
        return finish_adopted(job, &hash, err) < 0 ? -1 : 1;
    bool mixed = job->carried_on; /* old bytes and new ones: perhaps the new ones were right */
    if (ib_job_restart(job, err) < 0)
        return -1;
    if (mixed)
        return 0;
    _cleanup_(ib_freep) char *why =
        ib_asprintf("wrong content: SHA-256 %s instead of %s", ib_sha256_hex(&hash, is),
                    ib_sha256_hex(&request->sha256, wanted));
    job->wrong_hash = true;
    next_place(job);
    return ib_job_reason(job, place, why);
}

/* What curl calls. */

static bool has_header(CURL *easy, const char *name, const char **ret)
{
    struct curl_header *header;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return false;
    *ret = header->value;
    return true;
}

/* Whether the rest of the file comes, from where we asked for it. */
static bool range_fits(const char *value, uint64_t first, uint64_t total)
{
    struct ib_content_range range;

    return ib_content_range_parse(value, &range) && range.satisfied && range.first == first &&
           (range.total == UINT64_MAX || !total || range.total == total);
}

static bool refuse(struct ib_fetch_job *job, char *why)
{
    free(job->refusal);
    job->refusal = why;
    return false;
}

/* Looks at the answer before its first byte is taken. */
static bool begin_answer(struct ib_fetch_job *job)
{
    const struct ib_fetch_request *request = job->request;
    const char *range = "", *etag = NULL;
    curl_off_t length = -1;
    long status = 0;

    job->begun = true;
    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(job->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status == 206) {
        has_header(job->easy, "Content-Range", &range);
        if (!range_fits(range, job->offset, request->size_bytes))
            return refuse(job, ib_asprintf("it answered with the range '%s'", range));
    } else if (status != 200) {
        return refuse(job, ib_asprintf("HTTP status %ld", status));
    } else if (job->offset) { /* the server ignores ranges, or the file there is another one now */
        job->carried_on = false;
        if (ib_partial_restart(&job->partial) < 0) {
            job->disk_errno = errno;
            return false;
        }
    }
    if (has_header(job->easy, "ETag", &etag) && etag[0] == '"') { /* weak ones are no use here */
        free(job->etag);
        job->etag = ib_strdup(etag);
    }
    uint64_t total = job->partial.size_bytes + (uint64_t)IB_MAX(length, 0);
    if (length >= 0 && request->size_bytes && total != request->size_bytes) {
        job->wrong_hash |= request->has_sha256;
        return refuse(job, ib_asprintf("it offers %" PRIu64 " bytes instead of %" PRIu64, total,
                                       request->size_bytes));
    }
    if (total > ib_job_size_limit(request))
        return refuse(job, ib_asprintf("it is larger than the %" PRIu64 " bytes allowed for it",
                                       ib_job_size_limit(request)));
    return true;
}

static size_t on_data(char *data, size_t size, size_t count, void *userdata)
{
    struct ib_fetch_job *job = userdata;
    const size_t n = size * count;

    if (!job->begun && !begin_answer(job))
        return 0;
    if (n > ib_job_size_limit(job->request) - job->partial.size_bytes) {
        refuse(job,
               ib_asprintf("it goes on after %" PRIu64 " bytes", ib_job_size_limit(job->request)));
        return 0;
    }
    if (ib_partial_append(&job->partial, data, n) < 0) {
        job->disk_errno = errno;
        return 0;
    }
    ib_job_report(job);
    return n;
}

/* Attempts. */

static void set_range(struct ib_fetch_job *job)
{
    char range[32];

    job->offset = job->partial.size_bytes;
    job->carried_on = job->offset > 0;
    if (!job->offset)
        return;
    snprintf(range, sizeof(range), "%" PRIu64 "-", job->offset);
    curl_easy_setopt(job->easy, CURLOPT_RANGE, range); /* copied */
    if (job->etag) {
        _cleanup_(ib_freep) char *line = ib_asprintf("If-Range: %s", job->etag);
        job->headers = curl_slist_append(NULL, line);
        curl_easy_setopt(job->easy, CURLOPT_HTTPHEADER, job->headers);
    }
}

static void start_attempt(struct ib_fetch_job *job)
{
    job->easy = curl_easy_init();
    if (!job->easy)
        abort(); /* memory */
    job->begun = false;
    ib_fetch_setup(job->easy, job->places.items[job->place], job->run->options,
                   !job->request->has_sha256, job->message);
    curl_easy_setopt(job->easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(job->easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(job->easy, CURLOPT_PRIVATE, job);
    set_range(job);
    curl_multi_add_handle(job->run->multi, job->easy);
    job->state = JOB_RUNNING;
    job->run->running++;
}

static void end_attempt(struct ib_fetch_job *job)
{
    if (!job->easy)
        return;
    curl_multi_remove_handle(job->run->multi, job->easy);
    curl_easy_cleanup(ib_steal(&job->easy));
    curl_slist_free_all(ib_steal(&job->headers));
    job->state = JOB_WAITING;
    job->run->running--;
}

static int open_partial(struct ib_fetch_job *job, struct ib_error **err)
{
    struct ib_fetch_request *request = job->request;
    const struct ib_fetch_options *options = job->run->options;

    int r = ib_partial_open(&job->partial, options->cache,
                            request->has_sha256 ? &request->sha256 : NULL, err);
    if (r < 0)
        return -1;
    if (request->has_sha256 && ib_cache_has_blob(options->cache, &request->sha256)) {
        finish(job, IB_FETCH_CACHED); /* another process, or a request for the same file */
        return 0;
    }
    if (r == 0) {
        job->due_ms = ib_now_ms() + IB_FETCH_POLL_MS;
        if (!job->noted_wait)
            ib_debug("%s: another imgbuild is fetching it", request->name);
        job->noted_wait = true;
        return 0;
    }
    if (job->partial.size_bytes > ib_job_size_limit(request))
        return ib_job_restart(job, err);
    if (request->has_sha256 && request->size_bytes &&
        job->partial.size_bytes == request->size_bytes) {
        job->carried_on = true;
        return ib_job_check_whole(job, job->partial.path, err) < 0 ? -1 : 0;
    }
    return 0;
}

int ib_job_advance(struct ib_fetch_job *job, struct ib_error **err)
{
    if (!ib_partial_is_open(&job->partial)) {
        if (open_partial(job, err) < 0)
            return -1;
        if (job->state == JOB_FINISHED || !ib_partial_is_open(&job->partial))
            return 0;
    }
    if (!job->looked_in_directories) {
        job->looked_in_directories = true;
        int r = ib_job_try_directories(job, err);
        if (r != 0)
            return r < 0 ? -1 : 0;
    }
    ib_job_report(job);
    if (job->place < job->places.count)
        start_attempt(job);
    else
        finish(job, IB_FETCH_FAILED);
    return 0;
}

static void try_again_or_go_on(struct ib_fetch_job *job, enum ib_fetch_verdict verdict,
                               uint64_t delay_ms, const char *why)
{
    if (verdict == IB_VERDICT_RETRY && job->attempt <= ib_fetch_retries(job->run->options)) {
        ib_debug("%s: %s; again in %" PRIu64 " ms", job->request->name, why, delay_ms);
        job->due_ms = ib_now_ms() + delay_ms;
        return;
    }
    ib_job_reason(job, job->places.items[job->place], why);
    next_place(job);
}

int ib_job_handle_end(struct ib_fetch_job *job, CURLcode result, struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    _cleanup_(ib_freep) char *why = NULL;
    enum ib_fetch_verdict verdict = ib_fetch_judge(job->easy, result, job->message, &why);
    long status = 0;

    if (verdict == IB_VERDICT_DONE && !job->begun && !begin_answer(job)) /* an empty file */
        verdict = IB_VERDICT_NEXT;
    if (job->partial.size_bytes >= job->offset + PROGRESS_MADE)
        job->attempt = 0;
    job->attempt++;
    uint64_t delay_ms = ib_fetch_delay_ms(job->easy, job->run->options, job->attempt);
    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    end_attempt(job);

    if (job->disk_errno)
        return ib_fail(err, IB_E_IO, job->disk_errno, job->partial.path, "write");
    if (status == 416 && job->offset) /* what we have is longer than what they have */
        return ib_job_restart(job, err);
    if (job->refusal) {
        verdict = IB_VERDICT_NEXT;
        free(why);
        why = ib_steal(&job->refusal);
    } else if (verdict == IB_VERDICT_DONE && request->size_bytes &&
               job->partial.size_bytes < request->size_bytes) {
        verdict = IB_VERDICT_RETRY;
        why = ib_asprintf("it ended after %" PRIu64 " of %" PRIu64 " bytes",
                          job->partial.size_bytes, request->size_bytes);
    }
    if (verdict == IB_VERDICT_DONE)
        return ib_job_check_whole(job, job->places.items[job->place], err) < 0 ? -1 : 0;
    try_again_or_go_on(job, verdict, delay_ms, why);
    return 0;
}

void ib_job_clear(struct ib_fetch_job *job)
{
    end_attempt(job);
    ib_step_failp(&job->step);
    if (ib_partial_is_open(&job->partial))
        ib_partial_close(&job->partial);
    ib_strv_clear(&job->places);
    ib_strv_clear(&job->reasons);
    free(job->refusal);
    free(job->etag);
}
