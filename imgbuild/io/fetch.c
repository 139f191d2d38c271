/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many files at a time. Each request is a job (fetch_job.c); all transfers share one thread and one
 * curl multi handle, so jobs need no locks.
 */
#include "io/fetch.h"

#include "fetch_internal.h"

enum {
    PARALLEL = 6,
    MANY_FILES = 12,            /* from here on, only big files are steps of their own */
    BIG_FILE = 8 * 1024 * 1024, /* bytes */
};

static int handle_messages(struct ib_fetch_run *run, struct ib_error **err)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(run->multi, &left))) {
        struct ib_fetch_job *job = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode result = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&job);
        if (ib_job_handle_end(job, result, err) < 0)
            return ib_wrap(err, job->request->name, "fetch");
    }
    return 0;
}

static int start_due(struct ib_fetch_run *run, struct ib_error **err)
{
    const unsigned parallel = run->options->parallel ? run->options->parallel : PARALLEL;
    const uint64_t now = ib_now_ms();

    for (size_t i = 0; i < run->count && run->running < parallel; i++) {
        struct ib_fetch_job *job = &run->jobs[i];
        if (job->state != JOB_WAITING || job->due_ms > now)
            continue;
        if (ib_progress_check(run->options->progress, err) < 0)
            return -1;
        if (ib_job_advance(job, err) < 0)
            return ib_wrap(err, job->request->name, "fetch");
    }
    return 0;
}

static int loop(struct ib_fetch_run *run, struct ib_error **err)
{
    int running;

    while (run->unfinished) {
        if (ib_progress_check(run->options->progress, err) < 0 || start_due(run, err) < 0)
            return -1;
        if (curl_multi_perform(run->multi, &running) != CURLM_OK)
            return ib_failf(err, IB_E_INTERNAL, "libcurl cannot go on");
        if (handle_messages(run, err) < 0)
            return -1;
        if (run->unfinished &&
            curl_multi_poll(run->multi, NULL, 0, IB_FETCH_POLL_MS, NULL) != CURLM_OK)
            return ib_failf(err, IB_E_INTERNAL, "libcurl cannot wait");
    }
    return 0;
}

static void run_clear(struct ib_fetch_run *run)
{
    for (size_t i = 0; i < run->count; i++)
        ib_job_clear(&run->jobs[i]);
    free(run->jobs);
    if (run->multi)
        curl_multi_cleanup(run->multi);
    ib_step_failp(&run->step);
}

/* Requests whose file the cache has are done; the others become jobs. */
static void make_jobs(struct ib_fetch_run *run, struct ib_fetch_request *requests, size_t count)
{
    const struct ib_fetch_options *options = run->options;

    run->jobs = ib_calloc(count, sizeof(run->jobs[0]));
    for (size_t i = 0; i < count; i++) {
        struct ib_fetch_request *request = &requests[i];
        ib_error_clear(&request->error);
        request->status = IB_FETCH_FAILED;
        request->ret_sha256 = request->sha256;
        request->ret_size_bytes = request->size_bytes;
        if (request->has_sha256 && ib_cache_has_blob(options->cache, &request->sha256)) {
            request->status = IB_FETCH_CACHED;
            continue;
        }
        struct ib_fetch_job *job = &run->jobs[run->count++];
        job->run = run;
        job->request = request;
        job->partial.fd = -1;
        ib_job_list_places(job);
    }
    run->unfinished = run->count;
}

static void begin_steps(struct ib_fetch_run *run)
{
    const struct ib_fetch_options *options = run->options;
    _cleanup_(ib_freep) char *subject = run->count == 1 ? ib_strdup(run->jobs[0].request->name)
                                                        : ib_asprintf("%zu files", run->count);
    uint64_t total = 0;
    bool known = true;

    for (size_t i = 0; i < run->count; i++) {
        known = known && run->jobs[i].request->size_bytes;
        total += run->jobs[i].request->size_bytes;
    }
    run->step = ib_step_begin(options->progress, options->step, "fetch", subject, known ? total : 0,
                              IB_UNIT_BYTES);
    for (size_t i = 0; run->count > 1 && i < run->count; i++) {
        const struct ib_fetch_request *request = run->jobs[i].request;
        if (run->count <= MANY_FILES || request->size_bytes >= BIG_FILE)
            run->jobs[i].step = ib_step_begin(options->progress, run->step, "fetch", request->name,
                                              request->size_bytes, IB_UNIT_BYTES);
    }
}

/* The whole run's error: the first failure, again (errors are not copied). */
static int summarize(const struct ib_fetch_run *run, struct ib_error **err)
{
    const struct ib_fetch_job *first = NULL;
    size_t failed = 0;

    for (size_t i = 0; i < run->count; i++) {
        if (run->jobs[i].request->status != IB_FETCH_FAILED)
            continue;
        first = first ? first : &run->jobs[i];
        failed++;
    }
    if (!failed)
        return 0;
    struct ib_error *error = NULL;
    ib_job_explain(first, &error);
    if (failed > 1)
        ib_wrapf(&error, "%zu of %zu files cannot be fetched", failed, run->count);
    if (err)
        *err = error;
    else
        ib_error_free(error);
    return -1;
}

int ib_fetch(struct ib_fetch_request *requests, size_t count,
             const struct ib_fetch_options *options, struct ib_error **err)
{
    ib_fetch_global_init();
    int global _cleanup_(ib_fetch_global_cleanup) _unused_ = 0;
    _cleanup_(run_clear) struct ib_fetch_run run = {.options = options};

    make_jobs(&run, requests, count);
    if (!run.count)
        return 0;
    run.multi = curl_multi_init();
    if (!run.multi)
        abort(); /* memory */
    begin_steps(&run);
    if (loop(&run, err) < 0)
        return -1;
    if (summarize(&run, err) < 0)
        return -1;
    ib_step_end(ib_steal(&run.step), IB_STEP_DONE);
    return 0;
}

void ib_fetch_request_clear(struct ib_fetch_request *request)
{
    request->error = ib_error_free(request->error);
}
