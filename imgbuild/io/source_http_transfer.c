/* SPDX-License-Identifier: Apache-2.0 */
/* One request: what is asked, what may come back, where its bytes go, and what its end means. */
#include <inttypes.h>
#include <string.h>

#include "source_http.h"

enum {
    RECEIVE_SIZE = 256 * 1024,
    HEADERS_MAX = 256 * 1024,  /* bytes of one answer's headers, redirects included */
    PROGRESS_MADE = 64 * 1024, /* bytes after which a range has earned new retries */
};

static bool refuse(struct ib_http_transfer *transfer, enum ib_http_verdict verdict, char *why)
{
    free(transfer->refusal);
    transfer->verdict = verdict;
    transfer->refusal = why;
    return false;
}

/* NULL where absent. One that is there twice is worse than none. */
static const char *header_value(CURL *easy, const char *name)
{
    struct curl_header *header;

    if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->amount == 1 ? header->value : "(several)";
}

static void read_answer(CURL *easy, struct ib_http_answer *ret)
{
    curl_off_t length = -1;

    *ret = (struct ib_http_answer){
        .length = UINT64_MAX,
        .chunked = header_value(easy, "Transfer-Encoding"),
        .content_range = header_value(easy, "Content-Range"),
        .content_encoding = header_value(easy, "Content-Encoding"),
        .etag = header_value(easy, "ETag"),
        .modified = header_value(easy, "Last-Modified"),
    };
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length >= 0)
        ret->length = (uint64_t)length;
}

/* From here on the same version is asked for. */
static void open_source(struct ib_http_transfer *transfer, uint64_t size)
{
    struct ib_http_source *http = transfer->http;
    const char *validator = ib_http_version_validator(&http->version);

    if (validator) {
        _cleanup_(ib_freep) char *line = ib_asprintf("If-Range: %s", validator);
        http->headers = curl_slist_append(http->headers, "Accept-Encoding: identity");
        http->headers = curl_slist_append(http->headers, line);
    }
    pthread_mutex_lock(&http->lock);
    http->base.size = size;
    http->opened = true;
    if (transfer->piece && transfer->piece->size > size) {
        http->held -= transfer->piece->size - size;
        transfer->piece->size = (size_t)size;
    }
    pthread_cond_broadcast(&http->changed);
    pthread_mutex_unlock(&http->lock);
}

/* One request for the whole file from now on: the first piece is not needed. */
static void become_stream(struct ib_http_transfer *transfer)
{
    struct ib_http_source *http = transfer->http;

    pthread_mutex_lock(&http->lock);
    http->stream = true;
    if (transfer->piece) {
        transfer->piece->state = PIECE_DONE;
        transfer->piece->dropped = true;
        transfer->piece = NULL;
    }
    pthread_mutex_unlock(&http->lock);
}

static bool begin_first(struct ib_http_transfer *transfer, const struct ib_http_answer *answer,
                        enum ib_http_verdict verdict)
{
    struct ib_http_source *http = transfer->http;
    const bool was_stream = http->stream;

    ib_http_version_learn(&http->version, answer);
    const uint64_t size = http->version.size;
    if (verdict == IB_HTTP_WHOLE) {
        become_stream(transfer);
        open_source(transfer, size);
        return true;
    }
    if (size != UINT64_MAX && ib_http_version_validator(&http->version)) {
        open_source(transfer, size);
        return true;
    }
    if (was_stream)
        return refuse(transfer, IB_HTTP_REFUSED,
                      ib_strdup("it answers a request for the whole file with a part of it"));
    become_stream(transfer);
    transfer->restream = true;
    return false;
}

/* Looks at the answer before its first byte is taken. */
static bool begin_answer(struct ib_http_transfer *transfer)
{
    struct ib_http_source *http = transfer->http;
    const struct ib_http_piece *piece = transfer->piece;
    const uint64_t wanted = piece ? piece->offset + piece->size - transfer->asked : UINT64_MAX;
    struct ib_http_answer answer;
    uint64_t size = 0;
    char *why = NULL;

    transfer->begun = true;
    read_answer(transfer->easy, &answer);
    enum ib_http_verdict verdict =
        ib_http_judge(&answer, http->url, http->opened ? &http->version : NULL, transfer->asked,
                      wanted, &size, &why);
    if (verdict != IB_HTTP_PART && verdict != IB_HTTP_WHOLE)
        return refuse(transfer, verdict, why);
    if (!http->opened && !begin_first(transfer, &answer, verdict))
        return false;
    if (verdict == IB_HTTP_WHOLE && !http->stream)
        return refuse(transfer, IB_HTTP_RETRY, ib_strdup("it ignored a request for a part"));
    if (!http->place) { /* where redirects led: from here on the same mirror */
        const char *place = http->url;
        curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &place);
        http->place = ib_strdup(place);
    }
    transfer->offset = verdict == IB_HTTP_WHOLE ? 0 : transfer->asked;
    transfer->end = size == UINT64_MAX ? UINT64_MAX : transfer->offset + size;
    return true;
}

/* The piece that a stream fills now. With the lock held. */
static struct ib_http_piece *stream_tail(const struct ib_http_source *http)
{
    for (struct ib_http_piece *p = http->pieces; p; p = p->next)
        if (!p->dropped && p->filled < p->size && p->offset + p->filled == http->streamed)
            return p;
    return NULL;
}

/* Whether that many more bytes of a stream may be held. With the lock held. */
static bool stream_has_room(const struct ib_http_source *http, size_t size)
{
    const struct ib_http_piece *tail = stream_tail(http);
    const size_t room = tail ? tail->size - tail->filled : 0;

    if (size <= room)
        return true;
    const uint64_t pieces = (size - room + http->piece_bytes - 1) / http->piece_bytes;
    return http->held + pieces * http->piece_bytes <= http->ahead_bytes;
}

static bool take_stream(struct ib_http_transfer *transfer, const char *data, size_t size)
{
    struct ib_http_source *http = transfer->http;
    /* what we have already, when the server begins anew */
    const size_t known = transfer->offset < http->streamed
                             ? (size_t)IB_MIN(size, http->streamed - transfer->offset)
                             : 0;

    pthread_mutex_lock(&http->lock);
    if (!stream_has_room(http, size - known)) {
        transfer->paused = true;
        pthread_mutex_unlock(&http->lock);
        return false;
    }
    transfer->offset += size;
    data += known;
    size -= known;
    while (size > 0) {
        struct ib_http_piece *tail = stream_tail(http);
        if (!tail) {
            tail = ib_http_add_piece(http, http->streamed, http->piece_bytes);
            tail->state = PIECE_DONE; /* no request of its own */
        }
        const size_t n = IB_MIN(size, tail->size - tail->filled);
        memcpy(tail->data + tail->filled, data, n);
        tail->filled += n;
        http->streamed += n;
        data += n;
        size -= n;
    }
    pthread_cond_broadcast(&http->changed);
    pthread_mutex_unlock(&http->lock);
    return true;
}

static bool take_piece(struct ib_http_transfer *transfer, const char *data, size_t size)
{
    struct ib_http_source *http = transfer->http;
    struct ib_http_piece *piece = transfer->piece;

    memcpy(piece->data + piece->filled, data, size); /* readers look at what is filled only */
    transfer->offset += size;
    pthread_mutex_lock(&http->lock);
    piece->filled += size;
    const bool go_on = !piece->dropped && !http->stop;
    pthread_cond_broadcast(&http->changed);
    pthread_mutex_unlock(&http->lock);
    return go_on;
}

static size_t on_data(char *data, size_t one, size_t size, void *userdata)
{
    struct ib_http_transfer *transfer = userdata;

    size *= one;
    if (!transfer->begun && !begin_answer(transfer))
        return CURL_WRITEFUNC_ERROR;
    if (size > transfer->end - transfer->offset) {
        refuse(transfer, IB_HTTP_REFUSED, ib_strdup("it sent more bytes than it announced"));
        return CURL_WRITEFUNC_ERROR;
    }
    if (transfer->piece)
        return take_piece(transfer, data, size) ? size : CURL_WRITEFUNC_ERROR;
    return take_stream(transfer, data, size) ? size : CURL_WRITEFUNC_PAUSE;
}

static size_t on_header(char *data _unused_, size_t one, size_t size, void *userdata)
{
    struct ib_http_transfer *transfer = userdata;

    size *= one;
    transfer->header_size += size;
    if (transfer->header_size <= HEADERS_MAX)
        return size;
    refuse(transfer, IB_HTTP_REFUSED, ib_strdup("its headers do not end"));
    return 0;
}

void ib_http_start_transfer(struct ib_http_transfer *transfer, struct ib_http_piece *piece)
{
    struct ib_http_source *http = transfer->http;
    CURL *easy = transfer->easy ? transfer->easy : curl_easy_init();
    char range[64] = "";

    if (!easy)
        abort(); /* memory */
    *transfer = (struct ib_http_transfer){
        .http = http,
        .easy = easy,
        .piece = piece,
        .running = true,
        .asked = piece ? piece->offset + piece->filled : http->streamed,
    };
    transfer->offset = transfer->asked;
    transfer->end = UINT64_MAX;
    if (piece)
        snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, transfer->asked,
                 piece->offset + piece->size - 1);
    else if (transfer->asked)
        snprintf(range, sizeof(range), "%" PRIu64 "-", transfer->asked);
    curl_easy_reset(easy);
    ib_fetch_setup(easy, http->place ? http->place : http->url, &http->fetch, true,
                   transfer->message);
    if (http->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
    if (*range)
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    /* one connection each, whose windows add up; a paused HTTP/2 stream would hold up the others */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers ? http->headers : http->first_headers);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    if (curl_multi_add_handle(http->multi, easy) != CURLM_OK)
        abort(); /* memory */
}

void ib_http_stop_transfer(struct ib_http_transfer *transfer)
{
    if (!transfer->running)
        return;
    curl_multi_remove_handle(transfer->http->multi, transfer->easy);
    free(ib_steal(&transfer->refusal));
    transfer->running = transfer->paused = false;
    transfer->piece = NULL;
}

/* What the end means. */

static void fail(struct ib_http_source *http, const char *why, const char *hint,
                 enum ib_error_code code)
{
    if (http->failure)
        return;
    ib_failf(&http->failure, code, "%s", why);
    ib_hint(&http->failure, "%s", hint);
    ib_wrap(&http->failure, http->base.name, "read");
    pthread_cond_broadcast(&http->changed);
}

static const char *cure(const struct ib_http_transfer *transfer, CURLcode result, long status)
{
    if (result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE)
        return "if the server's certificate is by an authority of your own, name its file: "
               "SSL_CERT_FILE=CA.pem";
    if (transfer->verdict == IB_HTTP_CHANGED)
        return "start again, when nobody replaces the file";
    if (transfer->refusal)
        return "download the file in another way, and flash that";
    if (status == 404 || status == 410)
        return "check the address";
    if (status == 401 || status == 403 || status == 407)
        return "check that you may read it; a password goes into the address: "
               "http://USER:PASSWORD@HOST/…";
    return "check the address, the server and the network (and http_proxy, no_proxy); then start "
           "again";
}

/* A server that answered once may be away for a moment. */
static bool passing(const struct ib_http_source *http, CURLcode result)
{
    return http->opened &&
           (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST ||
            result == CURLE_COULDNT_RESOLVE_PROXY || result == CURLE_OPERATION_TIMEDOUT ||
            result == CURLE_SSL_CONNECT_ERROR);
}

static void retry_later(struct ib_http_transfer *transfer, const char *why, const char *hint)
{
    struct ib_http_source *http = transfer->http;
    struct ib_http_piece *piece = transfer->piece;
    unsigned *attempt = piece ? &piece->attempt : &http->stream_attempt;
    const uint64_t gained =
        piece ? transfer->offset - transfer->asked : http->streamed - http->stream_mark;

    if (!piece && http->streamed && !ib_http_version_validator(&http->version)) {
        _cleanup_(ib_freep) char *text = ib_asprintf(
            "%s, and the server does not say which version the file is (neither ETag nor "
            "Last-Modified), so that the rest of it may belong to another",
            why);
        fail(http, text, "start again, or download the file first", IB_E_NETWORK);
        return;
    }
    *attempt = gained >= PROGRESS_MADE ? 1 : *attempt + 1;
    if (*attempt > ib_fetch_retries(&http->fetch)) {
        _cleanup_(ib_freep) char *text =
            ib_asprintf("%s (tried %u times, from byte %" PRIu64 ")", why, *attempt,
                        piece ? piece->offset + piece->filled : http->streamed);
        fail(http, text, hint, IB_E_NETWORK);
        return;
    }
    const uint64_t delay = ib_fetch_delay_ms(transfer->easy, &http->fetch, *attempt);
    ib_progress_note(http->fetch.progress, "%s: %s; again in %.1f s", http->base.name, why,
                     (double)delay / 1000);
    if (piece) {
        piece->state = PIECE_WAITING;
        piece->due_ms = ib_now_ms() + delay;
    } else {
        http->stream_due_ms = ib_now_ms() + delay;
        http->stream_mark = http->streamed;
    }
}

/* An empty file has no first part (RFC 9110 section 15.5.17). */
static bool is_empty_file(const struct ib_http_transfer *transfer, long status)
{
    const char *value = header_value(transfer->easy, "Content-Range");
    struct ib_content_range range;

    return status == 416 && !transfer->http->opened && value &&
           ib_content_range_parse(value, &range) && !range.satisfied && range.total == 0;
}

/* Why a range that was there before cannot be had now; NULL: not such a failure. */
static char *shrunk(const struct ib_http_transfer *transfer, long status)
{
    const char *value = header_value(transfer->easy, "Content-Range");
    struct ib_content_range range;

    if (status != 416 || !transfer->http->opened || !value ||
        !ib_content_range_parse(value, &range) || range.total == transfer->http->version.size)
        return NULL;
    return ib_asprintf("it has %" PRIu64 " bytes now, and had %" PRIu64, range.total,
                       transfer->http->version.size);
}

/* Whether all that the request was for has come. */
static bool is_complete(struct ib_http_transfer *transfer)
{
    struct ib_http_source *http = transfer->http;

    if (transfer->piece)
        return transfer->piece->filled == transfer->piece->size;
    return http->base.size == UINT64_MAX || http->streamed >= http->base.size;
}

static bool was_redirected(const struct ib_http_transfer *transfer)
{
    const char *place = NULL;

    curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &place);
    return place && !ib_streq(place, transfer->http->url);
}

/* *ret_why is why it must be tried again, or has failed; NULL: all is well. */
static enum ib_http_verdict verdict_of(struct ib_http_transfer *transfer, CURLcode result,
                                       long status, char **ret_why)
{
    struct ib_http_source *http = transfer->http;

    char *why = shrunk(transfer, status);
    if (why)
        refuse(transfer, IB_HTTP_CHANGED, why);
    if (transfer->refusal) {
        *ret_why =
            transfer->verdict == IB_HTTP_CHANGED
                ? ib_asprintf("the file was changed while it was read: %s", transfer->refusal)
                : ib_strdup(transfer->refusal);
        return transfer->verdict;
    }
    enum ib_fetch_verdict verdict =
        ib_fetch_judge(transfer->easy, result, transfer->message, ret_why);
    if (verdict == IB_VERDICT_DONE) {
        if (!is_complete(transfer))
            *ret_why = ib_strdup("it sent less than it was asked for");
        return *ret_why ? IB_HTTP_RETRY : IB_HTTP_PART;
    }
    if (status >= 400 && status < 500 && http->opened && was_redirected(transfer)) {
        free(ib_steal(&http->place)); /* addresses that redirects lead to may be of limited life */
        return IB_HTTP_RETRY;
    }
    return verdict == IB_VERDICT_RETRY || passing(http, result) ? IB_HTTP_RETRY : IB_HTTP_REFUSED;
}

static void settle(struct ib_http_transfer *transfer, CURLcode result)
{
    struct ib_http_source *http = transfer->http;
    _cleanup_(ib_freep) char *why = NULL;
    long status = 0;

    if (transfer->restream || (transfer->piece && transfer->piece->dropped)) {
        if (transfer->piece)
            transfer->piece->state = PIECE_DONE;
        return;
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (is_empty_file(transfer, status)) {
        transfer->piece->dropped = true;
        transfer->piece->state = PIECE_DONE;
        http->base.size = 0;
        http->opened = true;
        return;
    }
    switch (verdict_of(transfer, result, status, &why)) {
    case IB_HTTP_PART:
    case IB_HTTP_WHOLE:
        if (transfer->piece)
            transfer->piece->state = PIECE_DONE;
        else
            http->stream_ended = true;
        return;
    case IB_HTTP_RETRY:
        retry_later(transfer, why, cure(transfer, result, status));
        return;
    case IB_HTTP_CHANGED:
    case IB_HTTP_REFUSED:
        fail(http, why, cure(transfer, result, status),
             status == 404 || status == 410 ? IB_E_NOT_FOUND : IB_E_NETWORK);
    }
}

void ib_http_handle_end(struct ib_http_transfer *transfer, CURLcode result)
{
    struct ib_http_source *http = transfer->http;

    if (result == CURLE_OK && !transfer->begun && !transfer->refusal)
        begin_answer(transfer); /* an empty body */
    pthread_mutex_lock(&http->lock);
    settle(transfer, result);
    pthread_cond_broadcast(&http->changed);
    ib_http_stop_transfer(transfer);
    pthread_mutex_unlock(&http->lock);
}
