/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server's headers: whatever they say, not more bytes are taken than were asked for, and not from
 * elsewhere. Input: two answers of six lines each: status, Content-Length, Content-Range,
 * Content-Encoding, ETag, Last-Modified; an empty line is a header that is missing.
 */
#include <string.h>

#include "base/buffer.h"
#include "http_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 6, FIRST = 1000, SIZE = 5000 };

static const char *next_line(char **text)
{
    char *line = *text, *end = line + strcspn(line, "\n");

    *text = *end ? end + 1 : end;
    *end = 0;
    return *line ? line : NULL;
}

static void take_answer(char **text, struct ib_http_answer *ret)
{
    const char *lines[LINES];
    uint64_t number = 0;

    for (int i = 0; i < LINES; i++)
        lines[i] = next_line(text);
    *ret = (struct ib_http_answer){.length = UINT64_MAX,
                                   .content_range = lines[2],
                                   .content_encoding = lines[3],
                                   .etag = lines[4],
                                   .modified = lines[5]};
    if (lines[0] && ib_parse_u64(lines[0], 999, &number))
        ret->status = (long)number;
    if (lines[1] && ib_parse_u64(lines[1], INT64_MAX, &number))
        ret->length = number;
    ret->chunked = ret->length == UINT64_MAX;
}

static enum ib_http_verdict judge(const struct ib_http_answer *answer,
                                  const struct ib_http_version *known)
{
    _cleanup_(ib_freep) char *why = NULL;
    struct ib_content_range range;
    uint64_t size = 0;
    const enum ib_http_verdict verdict =
        ib_http_judge(answer, "http://h/a.img.gz", known, FIRST, SIZE, &size, &why);
    const bool good = verdict == IB_HTTP_PART || verdict == IB_HTTP_WHOLE;

    if (good == (why != NULL))
        abort();
    if (verdict == IB_HTTP_PART &&
        (size == 0 || size > SIZE || !ib_content_range_parse(answer->content_range, &range) ||
         range.first != FIRST || range.last != FIRST + size - 1 ||
         (known && known->size != UINT64_MAX && range.total != UINT64_MAX &&
          range.total != known->size)))
        abort();
    if (good && known && known->etag && answer->etag && strcmp(known->etag, answer->etag) != 0)
        abort();
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(ib_freep) char *text = size ? ib_strndup((const char *)data, size) : ib_strdup("");
    _cleanup_(ib_http_version_clear) struct ib_http_version version = {0};
    struct ib_http_answer first, second;
    char *at = text;

    take_answer(&at, &first);
    take_answer(&at, &second);
    const enum ib_http_verdict verdict = judge(&first, NULL);
    if (verdict != IB_HTTP_PART && verdict != IB_HTTP_WHOLE)
        return 0;
    ib_http_version_learn(&version, &first);
    judge(&second, &version);
    if (judge(&first, &version) != verdict)
        abort(); /* the same answer again is of the same version */
    return 0;
}
