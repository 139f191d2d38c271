/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP transfer: its settings, what its end means, and small files as a whole. */
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/log.h"
#include "fetch_internal.h"

enum { RETRIES = 4, DELAY_MS = 1000, DELAY_MAX_MS = 60000, STALL_S = 30, CONNECT_S = 15 };

void ib_fetch_global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        abort(); /* memory */
}

void ib_fetch_global_cleanup(int *unused _unused_)
{
    curl_global_cleanup();
}

bool ib_is_http_url(const char *place)
{
    return strncasecmp(place, "http://", 7) == 0 || strncasecmp(place, "https://", 8) == 0;
}

unsigned ib_fetch_retries(const struct ib_fetch_options *options)
{
    return options->retries ? options->retries : RETRIES;
}

uint64_t ib_fetch_delay_ms(CURL *easy, const struct ib_fetch_options *options, unsigned attempt)
{
    const uint64_t first = options->retry_delay_ms ? options->retry_delay_ms : DELAY_MS;
    uint64_t delay = first << IB_MIN(attempt - 1, 10U);
    curl_off_t asked_s = 0;

    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &asked_s) == CURLE_OK && asked_s > 0)
        delay = IB_MAX(delay, (uint64_t)IB_MIN(asked_s, DELAY_MAX_MS / 1000) * 1000);
    return IB_MIN(delay, (uint64_t)DELAY_MAX_MS);
}

void ib_fetch_setup(CURL *easy, const char *url, const struct ib_fetch_options *options,
                    bool keep_tls, char *message)
{
    const char *ca = getenv("CURL_CA_BUNDLE");
    const bool tls = strncasecmp(url, "https:", 6) == 0;

    if (!ca || !*ca)
        ca = getenv("SSL_CERT_FILE");
    message[0] = 0;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "imgbuild");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, keep_tls && tls ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 256L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                     (long)(options->stall_s ? options->stall_s : STALL_S));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT,
                     (long)(options->connect_s ? options->connect_s : CONNECT_S));
    if (ca && *ca)
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca);
}

static bool passing_status(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static bool passing_result(CURL *easy, CURLcode result)
{
    curl_off_t connected_us = 0;

    switch (result) {
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    case CURLE_OPERATION_TIMEDOUT: /* an established connection that stalls, not one never made */
        curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
        return connected_us > 0;
    default:
        return false;
    }
}

enum ib_fetch_verdict ib_fetch_judge(CURL *easy, CURLcode result, const char *message,
                                     char **ret_why)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (result == CURLE_OK)
        return IB_VERDICT_DONE;
    if (result == CURLE_HTTP_RETURNED_ERROR) {
        *ret_why = ib_asprintf("HTTP status %ld", status);
        return passing_status(status) ? IB_VERDICT_RETRY : IB_VERDICT_NEXT;
    }
    *ret_why = ib_strdup(*message ? message : curl_easy_strerror(result));
    return passing_result(easy, result) ? IB_VERDICT_RETRY : IB_VERDICT_NEXT;
}

static int hex_value(char c)
{
    unsigned char byte = 0;
    const char pair[3] = {'0', c, 0};

    return ib_unhex(pair, &byte, 1) ? byte : -1;
}

char *ib_url_decode(const char *begin, const char *end)
{
    struct ib_buf name = {0};

    while (begin < end) {
        int high = *begin == '%' && end - begin > 2 ? hex_value(begin[1]) : -1;
        int low = high >= 0 ? hex_value(begin[2]) : -1;
        if (low >= 0) {
            ib_buf_append(&name, &(char){(char)(high << 4 | low)}, 1);
            begin += 3;
        } else {
            ib_buf_append(&name, begin++, 1);
        }
    }
    size_t size = name.size;
    _cleanup_(ib_freep) char *text = ib_buf_steal_string(&name);
    return strlen(text) == size ? ib_steal(&text) : NULL;
}

const char *ib_url_raw_basename(const char *url, size_t *ret_length)
{
    const char *end = url + strcspn(url, "?#"), *begin = end;

    while (begin > url && begin[-1] != '/')
        begin--;
    *ret_length = (size_t)(end - begin);
    return begin;
}

char *ib_url_basename(const char *url)
{
    size_t length;
    const char *begin = ib_url_raw_basename(url, &length);
    _cleanup_(ib_freep) char *text = ib_url_decode(begin, begin + length);

    if (!text || !*text || strlen(text) > 255 || strchr(text, '/') || ib_streq(text, ".") ||
        ib_streq(text, ".."))
        return NULL;
    return ib_steal(&text);
}

/* Small files. */

struct small {
    struct ib_buf content;
    uint64_t max_size_bytes;
    bool too_large;
    struct ib_progress *progress;
};

static size_t small_write(char *data, size_t size, size_t count, void *userdata)
{
    struct small *small = userdata;

    if (size * count > small->max_size_bytes - small->content.size) {
        small->too_large = true;
        return 0;
    }
    ib_buf_append(&small->content, data, size * count);
    return size * count;
}

static int small_progress(void *userdata, curl_off_t a _unused_, curl_off_t b _unused_,
                          curl_off_t c _unused_, curl_off_t d _unused_)
{
    const struct small *small = userdata;

    return ib_progress_cancelled(small->progress);
}

/* Sleeps in small pieces, so that a cancel is heard. */
static int pause_ms(uint64_t ms, struct ib_progress *progress, struct ib_error **err)
{
    const struct timespec piece = {0, 50 * 1000 * 1000};

    for (const uint64_t end = ib_now_ms() + ms; ib_now_ms() < end;) {
        if (ib_progress_check(progress, err) < 0)
            return -1;
        nanosleep(&piece, NULL);
    }
    return ib_progress_check(progress, err);
}

static void curl_cleanupp(CURL **easy)
{
    curl_easy_cleanup(*easy);
}

static int small_once(CURL *easy, struct small *small, const char *url,
                      const struct ib_fetch_options *options, bool keep_tls, char **ret_why)
{
    char message[CURL_ERROR_SIZE];

    ib_buf_clear(&small->content);
    curl_easy_reset(easy);
    ib_fetch_setup(easy, url, options, keep_tls, message);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, small_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, small);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, small_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, small);
    CURLcode result = curl_easy_perform(easy);
    if (small->too_large) {
        *ret_why = ib_asprintf("it is larger than the %llu bytes allowed for it",
                               (unsigned long long)small->max_size_bytes);
        return IB_VERDICT_NEXT;
    }
    return (int)ib_fetch_judge(easy, result, message, ret_why);
}

int ib_fetch_small(const char *url, uint64_t max_size_bytes, bool keep_tls,
                   const struct ib_fetch_options *options, struct ib_buf *ret,
                   struct ib_error **err)
{
    if (options->offline) {
        ib_failf(err, IB_E_NOT_FOUND, "'%s' is needed, and --offline forbids to fetch it", url);
        return ib_hint(err, "run it without --offline where the network can be reached");
    }
    ib_fetch_global_init();
    int global _cleanup_(ib_fetch_global_cleanup) _unused_ = 0;
    _cleanup_(curl_cleanupp) CURL *easy = curl_easy_init();
    struct small small = {.max_size_bytes = max_size_bytes, .progress = options->progress};
    if (!easy)
        abort(); /* memory */

    for (unsigned attempt = 1;; attempt++) {
        _cleanup_(ib_freep) char *why = NULL;
        int verdict = small_once(easy, &small, url, options, keep_tls, &why);
        if (ib_progress_check(options->progress, err) < 0)
            break;
        if (verdict == IB_VERDICT_DONE) {
            ib_buf_append(&small.content, "", 0); /* the closing NUL */
            ib_buf_clear(ret);
            *ret = small.content;
            return 0;
        }
        if (verdict == IB_VERDICT_NEXT || attempt > ib_fetch_retries(options)) {
            ib_failf(err, IB_E_NETWORK, "%s", why);
            ib_hint(err, "check the address and the network");
            ib_wrap(err, url, "fetch");
            break;
        }
        ib_debug("%s: %s; trying again", url, why);
        if (pause_ms(ib_fetch_delay_ms(easy, options, attempt), options->progress, err) < 0)
            break;
    }
    ib_buf_clear(&small.content);
    return -1;
}

uint64_t ib_fetch_remote_size(const char *url, const struct ib_fetch_options *options)
{
    char message[CURL_ERROR_SIZE];
    curl_off_t size = -1;

    if (options->offline)
        return 0;
    ib_fetch_global_init();
    int global _cleanup_(ib_fetch_global_cleanup) _unused_ = 0;
    _cleanup_(curl_cleanupp) CURL *easy = curl_easy_init();
    if (!easy)
        abort(); /* memory */
    ib_fetch_setup(easy, url, options, false, message);
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 30L);
    if (curl_easy_perform(easy) != CURLE_OK)
        return 0;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    return size > 0 ? (uint64_t)size : 0;
}
