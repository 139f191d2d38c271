/* SPDX-License-Identifier: Apache-2.0 */
/* The reading side of a file on an HTTP server, and its beginning and end. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "source_http.h"

enum {
    CONNECTIONS = 4,
    RETRIES = 5,
    FIRST_PIECE = 64 * 1024, /* the first request: enough for the head of any image */
    PIECE_MIN = 64 * 1024,
    PIECE_MAX = 4 * 1024 * 1024,
    WAIT_MS = 200, /* between two looks at whether to stop */
};
static const uint64_t AHEAD = 16 * IB_MIB, AHEAD_MIN = IB_MIB, AHEAD_MAX = IB_GIB;

/* With the lock held; for a while at most. -1: the user asked to stop. */
static int wait_a_little(struct ib_http_source *http, struct ib_error **err)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&http->changed, &http->lock, &until);
    return ib_progress_check(http->fetch.progress, err);
}

/* Hands the failure over, once; after that there is only the fact. */
static int report_failure(struct ib_http_source *http, struct ib_error **err)
{
    if (err && ib_error_depth(http->failure) > 1) {
        *err = http->failure;
        http->failure = NULL;
        ib_failf(&http->failure, ib_error_code(*err), "'%s' could not be read before",
                 http->base.name);
    } else {
        ib_failf(err, ib_error_code(http->failure), "'%s' could not be read", http->base.name);
    }
    return -1;
}

/* Waits for bytes at offset. 1: *ret_piece has some; 0: the file ends there; or -1. */
static int wait_for(struct ib_http_source *http, uint64_t offset, size_t size,
                    struct ib_http_piece **ret_piece, struct ib_error **err)
{
    for (bool first = true;; first = false) {
        *ret_piece = ib_http_find_piece(http, offset);
        if (*ret_piece && (*ret_piece)->filled > offset - (*ret_piece)->offset)
            return 1;
        if (http->stream_ended && offset >= http->streamed) {
            http->base.size = http->streamed;
            return 0;
        }
        if (http->failure)
            return report_failure(http, err);
        if (!*ret_piece && !http->stream)
            ib_http_demand(http, offset, size);
        if (first || !*ret_piece)
            curl_multi_wakeup(http->multi); /* for that, or for the room that was made */
        if (wait_a_little(http, err) < 0)
            return -1;
    }
}

static int http_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                          size_t *ret, struct ib_error **err)
{
    struct ib_http_source *http = (struct ib_http_source *)source;
    struct ib_http_piece *piece;

    *ret = 0;
    pthread_mutex_lock(&http->lock);
    http->position = offset;
    const int r = wait_for(http, offset, size, &piece, err);
    const size_t filled = r > 0 ? piece->filled : 0;
    pthread_mutex_unlock(&http->lock);
    if (r <= 0)
        return r;
    /* without the lock: a piece that holds the position stays, and what it holds does too */
    const size_t from = (size_t)(offset - piece->offset);
    *ret = IB_MIN(size, filled - from);
    memcpy(data, piece->data + from, *ret);
    const bool used_up = from + *ret == piece->size;
    pthread_mutex_lock(&http->lock);
    http->position = offset + *ret;
    pthread_mutex_unlock(&http->lock);
    if (used_up)
        curl_multi_wakeup(http->multi);
    return 0;
}

static void http_plan(struct ib_source *source, const struct ib_source_range *ranges, size_t count)
{
    struct ib_http_source *http = (struct ib_http_source *)source;

    pthread_mutex_lock(&http->lock);
    if (!http->stream)
        ib_http_set_plan(http, ranges, count);
    pthread_mutex_unlock(&http->lock);
    curl_multi_wakeup(http->multi);
}

static void http_free(struct ib_source *source)
{
    struct ib_http_source *http = (struct ib_http_source *)source;

    if (http->thread_started) {
        pthread_mutex_lock(&http->lock);
        http->stop = true;
        pthread_mutex_unlock(&http->lock);
        curl_multi_wakeup(http->multi);
        pthread_join(http->thread, NULL);
    }
    for (unsigned i = 0; i < http->connections; i++)
        curl_easy_cleanup(http->transfers[i].easy);
    curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    curl_slist_free_all(http->first_headers);
    ib_http_free_pieces(http);
    ib_http_version_clear(&http->version);
    ib_error_free(http->failure);
    pthread_cond_destroy(&http->changed);
    pthread_mutex_destroy(&http->lock);
    free(http->plan);
    free(http->place);
    free(http->url);
    ib_source_clear(source);
    free(http);
    ib_fetch_global_cleanup(NULL);
}

static const struct ib_source_ops http_ops = {http_read_some, http_plan, http_free};

/* The URL without user and password, which have no place in messages. */
static char *name_of(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    const char *at = memrchr(host, '@', strcspn(host, "/?#"));

    return at ? ib_asprintf("%.*s%s", (int)(host - url), url, at + 1) : ib_strdup(url);
}

static void configure(struct ib_http_source *http, const struct ib_source_options *options)
{
    static const struct ib_source_options defaults = {0};
    const struct ib_source_options *o = options ? options : &defaults;

    http->ca_file = o->ca_file;
    http->connections =
        o->connections ? IB_MIN(o->connections, IB_HTTP_CONNECTIONS_MAX) : CONNECTIONS;
    http->ahead_bytes =
        o->ahead_bytes ? IB_MIN(IB_MAX(o->ahead_bytes, AHEAD_MIN), AHEAD_MAX) : AHEAD;
    /* twice as many pieces as requests: some wait to be read while others come in */
    const uint64_t piece = http->ahead_bytes / (2 * (uint64_t)http->connections);
    http->piece_bytes = (size_t)IB_MIN(IB_MAX(piece, PIECE_MIN), PIECE_MAX);
    http->fetch = (struct ib_fetch_options){
        .retries = o->retries ? o->retries : RETRIES,
        .retry_delay_ms = o->retry_delay_ms,
        .stall_s = o->stall_seconds,
        .progress = o->progress,
    };
}

static int start_thread(struct ib_http_source *http, struct ib_error **err)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the other threads' business */
    const int r = pthread_create(&http->thread, NULL, ib_http_run, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return ib_fail(err, IB_E_UNSUPPORTED, r, http->base.name, "start a thread to read");
    http->thread_started = true;
    return 0;
}

static int wait_for_first_answer(struct ib_http_source *http, struct ib_error **err)
{
    int r = 0;

    pthread_mutex_lock(&http->lock);
    while (r == 0 && !http->opened && !http->failure)
        r = wait_a_little(http, err);
    if (r == 0 && !http->opened)
        r = report_failure(http, err);
    pthread_mutex_unlock(&http->lock);
    return r;
}

struct ib_source *ib_source_http_new(const char *url, const struct ib_source_options *options,
                                     struct ib_error **err)
{
    struct ib_http_source *http = ib_calloc(1, sizeof(*http));
    _cleanup_(ib_source_freep) struct ib_source *source = &http->base;
    pthread_condattr_t monotonic;

    ib_fetch_global_init();
    ib_source_init(source, &http_ops, name_of(url), true);
    http->url = ib_strdup(url);
    configure(http, options);
    pthread_mutex_init(&http->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&http->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    http->multi = curl_multi_init();
    http->first_headers = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (!http->multi || !http->first_headers)
        abort(); /* memory */
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)http->connections);
    for (unsigned i = 0; i < http->connections; i++)
        http->transfers[i].http = http;
    ib_http_add_piece(http, 0, FIRST_PIECE);
    if (start_thread(http, err) < 0 || wait_for_first_answer(http, err) < 0)
        return NULL;
    return ib_steal(&source);
}
