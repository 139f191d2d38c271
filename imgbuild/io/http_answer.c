/* SPDX-License-Identifier: Apache-2.0 */
#include "http_answer.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

/* A decimal number at *text, which moves behind it. */
static bool take_number(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;

    for (; *p >= '0' && *p <= '9'; p++)
        if (!ib_mul_u64(value, 10, &value) || !ib_add_u64(value, (uint64_t)(*p - '0'), &value))
            return false;
    if (p == *text)
        return false;
    *text = p;
    *ret = value;
    return true;
}

static bool take_char(const char **text, char c)
{
    if (**text != c)
        return false;
    ++*text;
    return true;
}

bool ib_content_range_parse(const char *value, struct ib_content_range *ret)
{
    struct ib_content_range range = {.total = UINT64_MAX};
    const char *p = value + 6;

    if (strncasecmp(value, "bytes ", 6) != 0)
        return false;
    if (!take_char(&p, '*')) {
        range.satisfied = true;
        if (!take_number(&p, &range.first) || !take_char(&p, '-') ||
            !take_number(&p, &range.last) || range.last < range.first || range.last == UINT64_MAX)
            return false;
    }
    if (!take_char(&p, '/'))
        return false;
    const bool total_known = !take_char(&p, '*');
    if (total_known && (!take_number(&p, &range.total) || range.total == UINT64_MAX))
        return false;
    if (*p || (!range.satisfied && !total_known))
        return false;
    if (range.satisfied && total_known && range.last >= range.total)
        return false;
    *ret = range;
    return true;
}

void ib_http_version_clear(struct ib_http_version *version)
{
    free(version->etag);
    free(version->weak);
    free(version->modified);
    *version = (struct ib_http_version){0};
}

const char *ib_http_version_validator(const struct ib_http_version *version)
{
    return version->etag ? version->etag : version->modified;
}

static bool is_weak(const char *etag)
{
    return strncmp(etag, "W/", 2) == 0;
}

static uint64_t size_of(const struct ib_http_answer *answer)
{
    struct ib_content_range range;

    if (answer->status != 206)
        return answer->length;
    return answer->content_range && ib_content_range_parse(answer->content_range, &range)
               ? range.total
               : UINT64_MAX;
}

void ib_http_version_learn(struct ib_http_version *version, const struct ib_http_answer *answer)
{
    ib_http_version_clear(version);
    version->size = size_of(answer);
    if (answer->etag && is_weak(answer->etag))
        version->weak = ib_strdup(answer->etag);
    else if (answer->etag && answer->etag[0] == '"')
        version->etag = ib_strdup(answer->etag);
    version->modified = ib_strdup(answer->modified);
}

/*
 * A label on a file that is packed anyway is fine ("x-gzip" on NAME.gz: old Apache configurations).
 * Anything else was packed on the way: what we get would be no image, and ranges of it nonsense.
 */
static bool encoding_is_fine(const char *encoding, const char *url)
{
    static const char *const labels[][2] = {
        {"gzip", ".gz"},     {"x-gzip", ".gz"}, {"zstd", ".zst"}, {"bzip2", ".bz2"},
        {"x-bzip2", ".bz2"}, {"xz", ".xz"},     {"x-xz", ".xz"},
    };
    const size_t length = strcspn(url, "?#");

    if (!encoding || !*encoding || strcasecmp(encoding, "identity") == 0)
        return true;
    for (size_t i = 0; i < IB_ARRAY_SIZE(labels); i++) {
        const size_t n = strlen(labels[i][1]);
        if (strcasecmp(encoding, labels[i][0]) == 0 && length > n &&
            memcmp(url + length - n, labels[i][1], n) == 0)
            return true;
    }
    return false;
}

/* Why it is not of the known version; NULL: it may be. The caller frees. */
static char *difference(const struct ib_http_answer *answer, const struct ib_http_version *known)
{
    const uint64_t size = size_of(answer);
    const char *was = answer->etag && is_weak(answer->etag) ? known->weak : known->etag;

    if (size != known->size && known->size != UINT64_MAX && size != UINT64_MAX)
        return ib_asprintf("it has %" PRIu64 " bytes now, and had %" PRIu64, size, known->size);
    if (answer->etag && (known->etag || known->weak) && !ib_streq(answer->etag, was))
        return ib_asprintf("its ETag is %.80s now, and was %.80s", answer->etag,
                           known->etag ? known->etag : known->weak);
    if (answer->modified && known->modified && !ib_streq(answer->modified, known->modified))
        return ib_asprintf("it was modified on '%.40s' now, and before on '%.40s'",
                           answer->modified, known->modified);
    return NULL;
}

static enum ib_http_verdict judge_part(const struct ib_http_answer *answer, uint64_t first,
                                       uint64_t size, uint64_t *ret_size, char **ret_why)
{
    struct ib_content_range range;

    if (!answer->content_range || !ib_content_range_parse(answer->content_range, &range) ||
        !range.satisfied || range.first != first || range.last - first >= size) {
        *ret_why = ib_asprintf("it answered a request for a part with the range '%.80s'",
                               answer->content_range ? answer->content_range : "");
        return IB_HTTP_REFUSED;
    }
    *ret_size = range.last - range.first + 1;
    if (answer->length != UINT64_MAX && answer->length != *ret_size) {
        *ret_why = ib_asprintf("it announced %" PRIu64 " bytes for a range of %" PRIu64,
                               answer->length, *ret_size);
        return IB_HTTP_REFUSED;
    }
    return IB_HTTP_PART;
}

enum ib_http_verdict ib_http_judge(const struct ib_http_answer *answer, const char *url,
                                   const struct ib_http_version *known, uint64_t first,
                                   uint64_t size, uint64_t *ret_size, char **ret_why)
{
    if (answer->status != 200 && answer->status != 206) {
        *ret_why = ib_asprintf("HTTP status %ld", answer->status);
        return IB_HTTP_REFUSED;
    }
    if (!encoding_is_fine(answer->content_encoding, url)) {
        *ret_why = ib_asprintf("it packed the file on the way (Content-Encoding: %.40s)",
                               answer->content_encoding);
        return IB_HTTP_REFUSED;
    }
    char *changed = known ? difference(answer, known) : NULL;
    if (changed) {
        *ret_why = changed;
        return IB_HTTP_CHANGED;
    }
    if (answer->status == 206)
        return judge_part(answer, first, size, ret_size, ret_why);
    if (answer->length == UINT64_MAX && !answer->chunked) {
        *ret_why = ib_strdup("it does not say how long the file is, so that its end could not be "
                             "told from a broken connection");
        return IB_HTTP_REFUSED;
    }
    *ret_size = answer->length;
    return IB_HTTP_WHOLE;
}
