/* SPDX-License-Identifier: Apache-2.0 */
/* What a server's headers are worth. */
#include <criterion/criterion.h>
#include <string.h>

#include "http_answer.h"

Test(http_answer, content_range)
{
    static const char *const wrong[] = {
        "",
        "bytes",
        "bytes ",
        "bytes 1-2",
        "bytes 1-/3",
        "bytes -2/3",
        "bytes 2-1/3",
        "bytes 1-3/3",
        "bytes 1-2/3 ",
        "bytes 1-2/x",
        "bytes 1--2/3",
        "bytes +1-2/3",
        "bytes  1-2/3",
        "bytes */*",
        "bytes 1-2,4-5/9",
        "items 1-2/3",
        "bytes 1-18446744073709551615/*",
        "bytes 1-18446744073709551616/*",
        "bytes 0-1/18446744073709551615",
    };
    struct ib_content_range range;

    for (size_t i = 0; i < IB_ARRAY_SIZE(wrong); i++)
        cr_assert_not(ib_content_range_parse(wrong[i], &range), "%s", wrong[i]);
    cr_assert(ib_content_range_parse("Bytes 1-2/3", &range));
    cr_assert(range.satisfied && range.first == 1 && range.last == 2 && range.total == 3);
    cr_assert(ib_content_range_parse("bytes 0-0/*", &range));
    cr_assert(range.satisfied && range.last == 0 && range.total == UINT64_MAX);
    cr_assert(ib_content_range_parse("bytes */7", &range));
    cr_assert(!range.satisfied && range.total == 7);
}

static const struct ib_http_answer good = {
    .status = 206,
    .length = 100,
    .content_range = "bytes 50-149/1000",
    .etag = "\"a\"",
    .modified = "Mon, 02 Jan 2023 10:00:00 GMT",
};

/* The verdict on a request for 100 bytes from 50, behind an answer like `good`. */
static enum ib_http_verdict judge(struct ib_http_answer answer)
{
    _cleanup_(ib_http_version_clear) struct ib_http_version version = {0};
    _cleanup_(ib_freep) char *why = NULL;
    uint64_t size;

    ib_http_version_learn(&version, &good);
    return ib_http_judge(&answer, "http://h/x.img.gz?q", &version, 50, 100, &size, &why);
}

#define JUDGE(field, value)              \
    ({                                   \
        struct ib_http_answer a_ = good; \
        a_.field = (value);              \
        judge(a_);                       \
    })

Test(http_answer, judge)
{
    cr_assert_eq(judge(good), IB_HTTP_PART);
    cr_assert_eq(JUDGE(length, UINT64_MAX), IB_HTTP_PART);
    cr_assert_eq(JUDGE(length, 99), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(etag, "\"b\""), IB_HTTP_CHANGED);
    cr_assert_eq(JUDGE(etag, "W/\"a\""), IB_HTTP_CHANGED);
    cr_assert_eq(JUDGE(etag, NULL), IB_HTTP_PART); /* If-Range has vouched for it */
    cr_assert_eq(JUDGE(modified, "Tue, 03 Jan 2023 10:00:00 GMT"), IB_HTTP_CHANGED);
    cr_assert_eq(JUDGE(content_range, "bytes 50-149/1001"), IB_HTTP_CHANGED);
    cr_assert_eq(JUDGE(content_range, "bytes 50-149/*"), IB_HTTP_PART);
    cr_assert_eq(JUDGE(content_range, "bytes 50-150/1000"), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(content_range, "bytes 49-148/1000"), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(content_range, "bytes */1000"), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(content_range, NULL), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(content_encoding, "identity"), IB_HTTP_PART);
    cr_assert_eq(JUDGE(content_encoding, "x-gzip"), IB_HTTP_PART); /* of a .gz */
    cr_assert_eq(JUDGE(content_encoding, "br"), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(content_encoding, "gzip, br"), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(status, 204), IB_HTTP_REFUSED);
    cr_assert_eq(JUDGE(status, 200), IB_HTTP_CHANGED); /* of 100 bytes */

    struct ib_http_answer whole = good;
    whole.status = 200;
    whole.content_range = NULL;
    whole.length = 1000;
    cr_assert_eq(judge(whole), IB_HTTP_WHOLE);
    whole.length = UINT64_MAX;
    cr_assert_eq(judge(whole), IB_HTTP_REFUSED);
    whole.chunked = true;
    cr_assert_eq(judge(whole), IB_HTTP_WHOLE);
}

Test(http_answer, validator)
{
    _cleanup_(ib_http_version_clear) struct ib_http_version version = {0};
    struct ib_http_answer answer = good;

    ib_http_version_learn(&version, &answer);
    cr_assert_str_eq(ib_http_version_validator(&version), "\"a\"");
    answer.etag = "W/\"a\""; /* says nothing about bytes (RFC 9110 section 8.8.1) */
    ib_http_version_learn(&version, &answer);
    cr_assert_str_eq(ib_http_version_validator(&version), good.modified);
    answer.modified = NULL;
    ib_http_version_learn(&version, &answer);
    cr_assert_null(ib_http_version_validator(&version));
}
