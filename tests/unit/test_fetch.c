/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching from a real server that fails in every way we know. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/atomic.h"
#include "httpd.h"
#include "io/fetch.h"

enum { SIZE = 3 * 1024 * 1024 + 17 };

static char *dir, *cache_dir, *log_path;
static struct httpd httpd;
static struct ib_cache *cache;
static struct ib_sha256 hash;
static unsigned char *content;

static void set_up(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-fetch", NULL);
    cache_dir = ib_path_join(dir, "cache");
    log_path = ib_path_join(dir, "log");
    char *path = ib_path_join(dir, "k3s");
    content = ib_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (unsigned char)(i * 2654435761U >> 13);
    cr_assert_eq(ib_atomic_write(path, 0644, content, SIZE, NULL), 0);
    ib_sha256(content, SIZE, &hash);
    cache = ib_cache_open(cache_dir, NULL);
    if (!httpd_start(&httpd, dir, log_path))
        cr_skip_test("python3 is needed for the test server");
    free(path);
}

static void tear_down(void)
{
    httpd_stop(&httpd);
    ib_cache_free(cache);
    ib_temp_dirp(&dir);
    free(cache_dir), free(log_path), free(content);
}

TestSuite(fetch, .init = set_up, .fini = tear_down, .timeout = 60);

static struct ib_fetch_options quick(void)
{
    return (struct ib_fetch_options){.cache = cache, .retry_delay_ms = 1, .stall_s = 1};
}

/* Fetches "k3s" from the faults named in `faults` ("gone ok"), in that order. */
static int fetch_with(const struct ib_fetch_options *options, const char *faults,
                      struct ib_fetch_request *request, struct ib_error **err)
{
    struct ib_strv list = {0}, urls = {0};

    ib_strv_split(&list, faults, " ");
    for (size_t i = 0; i < list.count; i++)
        ib_strv_addf(&urls, "http://127.0.0.1:%u/%s/k3s", httpd.port, list.items[i]);
    *request = (struct ib_fetch_request){
        .name = "k3s",
        .urls = (const char *const *)urls.items,
        .url_count = urls.count,
        .has_sha256 = true,
        .sha256 = hash,
        .size_bytes = SIZE,
    };
    int r = ib_fetch(request, 1, options, err);
    request->urls = NULL;
    ib_strv_clear(&list);
    ib_strv_clear(&urls);
    return r;
}

static void check_blob(void)
{
    _cleanup_(ib_freep) char *path = ib_cache_blob_path(cache, &hash);
    struct ib_buf blob = {0};

    cr_assert_eq(ib_read_file(path, 2 * SIZE, &blob, NULL), 0);
    cr_assert(blob.size == SIZE && memcmp(blob.data, content, SIZE) == 0);
    ib_buf_clear(&blob);
}

static uint64_t partial_size(void)
{
    _cleanup_(ib_freep) char *path = ib_cache_partial_path(cache, &hash);
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void succeeds(const char *faults)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    int r = fetch_with(&options, faults, &request, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;
    cr_assert_eq(r, 0, "%s: %s", faults, text ? text : "");
    cr_assert_eq(request.status, IB_FETCH_FETCHED);
    cr_assert_eq(request.ret_size_bytes, SIZE);
    check_blob();
    cr_assert_eq(partial_size(), 0);
    ib_fetch_request_clear(&request);
}

/* Fails with this code and, in its whole text, these words. */
static void fails(const char *faults, enum ib_error_code code, const char *words)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_eq(fetch_with(&options, faults, &request, &err), -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", text);
    cr_assert(strstr(text, words), "%s", text);
    cr_assert_not_null(ib_error_hint(err));
    cr_assert_str_eq(ib_error_line(err, 0), "cannot fetch 'k3s'");
    cr_assert_not_null(request.error);
    cr_assert_not(ib_cache_has_blob(cache, &hash));
    ib_fetch_request_clear(&request);
}

static char *requests_made(void)
{
    struct ib_buf log = {0};

    cr_assert_eq(ib_read_file(log_path, IB_MIB, &log, NULL), 0);
    return ib_buf_steal_string(&log);
}

Test(fetch, plain)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;

    succeeds("ok");
    cr_assert_eq(fetch_with(&options, "gone", &request, NULL), 0);
    cr_assert_eq(request.status, IB_FETCH_CACHED);
}

Test(fetch, next_url_when_one_is_gone)
{
    succeeds("gone forbidden ok");
}

Test(fetch, every_place_and_its_reason_is_named)
{
    fails("gone forbidden wrong", IB_E_VERIFY, "/gone/k3s: HTTP status 404");
    fails("gone forbidden wrong", IB_E_VERIFY, "/forbidden/k3s: HTTP status 403");
    fails("gone forbidden wrong", IB_E_VERIFY, "/wrong/k3s: wrong content: SHA-256 ");
}

Test(fetch, wrong_bytes_are_never_kept)
{
    fails("wrong", IB_E_VERIFY, "wrong content");
    cr_assert_eq(partial_size(), 0);
    succeeds("wrong ok");
}

Test(fetch, wrong_size_is_refused_at_once)
{
    fails("shorter", IB_E_VERIFY, "it offers 3145744 bytes instead of 3145745");
    fails("longer", IB_E_VERIFY, "it offers 3145746 bytes instead of 3145745");
    cr_assert_eq(partial_size(), 0);
}

Test(fetch, truncated_download_is_carried_on)
{
    succeeds("truncate");
    char *log = requests_made();
    cr_assert(strstr(log, "GET /truncate/k3s bytes=1572872- \"1\"\n"), "%s", log);
    free(log);
}

Test(fetch, truncated_without_length)
{
    succeeds("nolength");
}

Test(fetch, always_truncated_ends_with_the_retries)
{
    fails("truncate-always", IB_E_NETWORK, "truncate-always/k3s");
    cr_assert_eq(partial_size(), 5 * 64 * 1024, "what came is kept for the next run");
    succeeds("ok");
    char *log = requests_made();
    cr_assert(strstr(log, "GET /ok/k3s bytes=327680- -\n"), "%s", log);
    free(log);
}

Test(fetch, stall_is_broken_off)
{
    succeeds("stall");
}

Test(fetch, reset_connection)
{
    succeeds("reset");
}

Test(fetch, server_that_ignores_ranges)
{
    succeeds("norange");
}

Test(fetch, server_that_refuses_ranges)
{
    succeeds("416");
}

Test(fetch, server_that_answers_another_range)
{
    fails("badrange", IB_E_NETWORK, "it answered with the range");
    succeeds("ok");
}

Test(fetch, file_that_changed_meanwhile)
{
    succeeds("etag");
    char *log = requests_made();
    cr_assert(strstr(log, "GET /etag/k3s bytes=1572872- \"old\"\n"), "%s", log);
    free(log);
}

Test(fetch, partial_of_other_bytes_is_begun_anew)
{
    char *path = ib_cache_partial_path(cache, &hash), *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, "rubbish", 7, NULL), 0);
    succeeds("ok");
    free(path), free(parent);
}

Test(fetch, whole_partial_needs_no_network)
{
    char *path = ib_cache_partial_path(cache, &hash), *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, content, SIZE, NULL), 0);
    succeeds("gone");
    free(path), free(parent);
}

Test(fetch, too_long_partial_is_begun_anew)
{
    char *path = ib_cache_partial_path(cache, &hash), *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, "", 0, NULL), 0);
    cr_assert_eq(truncate(path, 2 * SIZE), 0);
    succeeds("ok");
    free(path), free(parent);
}

Test(fetch, busy_server_is_asked_again)
{
    succeeds("503");
}

Test(fetch, always_busy_server_is_given_up)
{
    fails("503-always", IB_E_NETWORK, "HTTP status 503");
    char *log = requests_made();
    size_t count = 0;
    for (const char *p = log; (p = strstr(p, "GET ")); p++)
        count++;
    cr_assert_eq(count, 5, "the first try and four more");
    free(log);
}

Test(fetch, retry_after_is_heard)
{
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    succeeds("429");
    clock_gettime(CLOCK_MONOTONIC, &end);
    cr_assert_geq(end.tv_sec * 1000 + end.tv_nsec / 1000000 - begin.tv_sec * 1000 -
                      begin.tv_nsec / 1000000,
                  950);
}

Test(fetch, redirects_stay_on_http)
{
    succeeds("redirect");
}

Test(fetch, redirect_to_a_file_is_refused)
{
    fails("redirect-file", IB_E_NETWORK, "redirect-file/k3s: Protocol \"file\"");
    fails("redirect-loop", IB_E_NETWORK, "redirect-loop/k3s: Maximum (10) redirects");
}

Test(fetch, refused_connection_goes_on_with_the_next)
{
    const char *urls[2] = {"http://127.0.0.1:1/k3s", NULL};
    char *good = httpd_url(&httpd, "ok/k3s");
    urls[1] = good;
    struct ib_fetch_options options = {.cache = cache};
    struct ib_fetch_request request = {.name = "k3s", .urls = urls, .url_count = 2};
    request.has_sha256 = true;
    request.sha256 = hash;

    cr_assert_eq(ib_fetch(&request, 1, &options, NULL), 0);
    check_blob();
    free(good);
}

Test(fetch, mirrors_come_first)
{
    _cleanup_(ib_freep) char *gone = ib_asprintf("http://127.0.0.1:%u/gone", httpd.port);
    _cleanup_(ib_freep) char *url = ib_asprintf("http://127.0.0.1:%u/ok/", httpd.port);
    const char *const mirrors[] = {"/no/such/directory", gone, url};
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;

    options.mirrors = mirrors;
    options.mirror_count = 3;
    cr_assert_eq(fetch_with(&options, "forbidden", &request, NULL), 0);
    char *log = requests_made();
    cr_assert_str_eq(log, "GET /gone/k3s - -\nGET /ok/k3s - -\n");
    free(log);
    check_blob();
}

Test(fetch, mirror_directory_by_name_offline)
{
    const char *const mirrors[] = {dir};
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;

    options.mirrors = mirrors;
    options.mirror_count = 1;
    options.offline = true;
    cr_assert_eq(fetch_with(&options, "ok", &request, NULL), 0);
    check_blob();
}

Test(fetch, mirror_directory_by_hash_offline)
{
    char hex[IB_SHA256_HEX_SIZE];
    char *sub = ib_path_join(dir, "usb/sha256"),
         *path = ib_path_join(sub, ib_sha256_hex(&hash, hex));
    char *mirror = ib_asprintf("file://%s/usb", dir);
    const char *const mirrors[] = {mirror};
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;

    cr_assert_eq(ib_mkdir_p(sub, NULL), 0);
    cr_assert_eq(ib_atomic_write(path, 0644, content, SIZE, NULL), 0);
    options.mirrors = mirrors;
    options.mirror_count = 1;
    options.offline = true;
    cr_assert_eq(fetch_with(&options, "ok", &request, NULL), 0);
    check_blob();
    free(sub), free(path), free(mirror);
}

Test(fetch, wrong_file_in_a_mirror_is_passed_over)
{
    char *usb = ib_path_join(dir, "usb"), *path = ib_path_join(usb, "k3s");
    const char *const mirrors[] = {usb};
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    struct ib_error *err = NULL;

    cr_assert_eq(ib_mkdir_p(usb, NULL), 0);
    content[5] ^= 1;
    cr_assert_eq(ib_atomic_write(path, 0644, content, SIZE, NULL), 0);
    content[5] ^= 1;
    options.mirrors = mirrors;
    options.mirror_count = 1;
    options.offline = true;
    cr_assert_eq(fetch_with(&options, "ok", &request, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    cr_assert_eq(partial_size(), 0);
    ib_error_clear(&err);
    ib_fetch_request_clear(&request);
    options.offline = false;
    cr_assert_eq(fetch_with(&options, "ok", &request, &err), 0);
    check_blob();
    free(usb), free(path);
}

Test(fetch, offline_names_the_file_and_the_cure)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    struct ib_error *err = NULL;

    options.offline = true;
    cr_assert_eq(fetch_with(&options, "ok", &request, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_assert(strstr(ib_error_line(err, 1), "/ok/k3s"));
    cr_assert(strstr(ib_error_hint(err), "--mirror DIR"));
    cr_assert_not(ib_path_exists(log_path) && partial_size());
    ib_error_clear(&err);
    ib_fetch_request_clear(&request);
}

Test(fetch, many_at_a_time_and_all_failures_told)
{
    enum { COUNT = 12 };
    struct ib_fetch_request requests[COUNT] = {0};
    char *names[COUNT], *urls[COUNT];
    struct ib_fetch_options options = quick();
    struct ib_error *err = NULL;

    for (int i = 0; i < COUNT; i++) {
        names[i] = ib_asprintf("file%d", i);
        char *path = ib_path_join(dir, names[i]);
        content[0] = (unsigned char)i;
        cr_assert_eq(ib_atomic_write(path, 0644, content, 100000, NULL), 0);
        urls[i] = ib_asprintf("http://127.0.0.1:%u/%s/file%d", httpd.port,
                              i % 4 == 3 ? "gone" : "truncate", i);
        requests[i] = (struct ib_fetch_request){.name = names[i], .url_count = 1};
        requests[i].urls = (const char *const *)&urls[i];
        requests[i].has_sha256 = true;
        ib_sha256(content, 100000, &requests[i].sha256);
        free(path);
    }
    cr_assert_eq(ib_fetch(requests, COUNT, &options, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "3 of 12 files cannot be fetched");
    cr_assert_str_eq(ib_error_line(err, 1), "cannot fetch 'file3'");
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(requests[i].status, i % 4 == 3 ? IB_FETCH_FAILED : IB_FETCH_FETCHED);
        cr_assert_eq(requests[i].error != NULL, i % 4 == 3);
        cr_assert_eq(ib_cache_has_blob(cache, &requests[i].sha256), i % 4 != 3);
        ib_fetch_request_clear(&requests[i]);
        free(names[i]), free(urls[i]);
    }
    ib_error_free(err);
}

Test(fetch, unknown_hash_is_learnt)
{
    char *url = httpd_url(&httpd, "truncate/k3s");
    struct ib_fetch_request request = {.name = "k3s", .url_count = 1};
    struct ib_fetch_options options = quick();

    request.urls = (const char *const *)&url;
    cr_assert_eq(ib_fetch(&request, 1, &options, NULL), 0);
    cr_assert(ib_sha256_equal(&request.ret_sha256, &hash));
    cr_assert_eq(request.ret_size_bytes, SIZE);
    check_blob();
    free(url);
}

Test(fetch, unknown_size_is_bounded)
{
    char *url = httpd_url(&httpd, "endless/k3s");
    struct ib_fetch_request request = {.name = "k3s", .url_count = 1, .max_size_bytes = IB_MIB};
    struct ib_fetch_options options = quick();
    struct ib_error *err = NULL;

    request.urls = (const char *const *)&url;
    cr_assert_eq(ib_fetch(&request, 1, &options, &err), -1);
    cr_assert(strstr(ib_error_line(err, 1), "it goes on after 1048576 bytes"));
    ib_error_clear(&err);
    ib_fetch_request_clear(&request);
    free(url);
}

static volatile sig_atomic_t cancel;

static void cancel_on_bytes(const struct ib_event *event, void *userdata)
{
    (void)userdata;
    if (event->kind == IB_EVENT_ADVANCE)
        cancel = 1;
}

Test(fetch, cancel_keeps_what_came)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    struct ib_error *err = NULL;
    struct ib_progress *progress = ib_progress_new(cancel_on_bytes, NULL, &cancel);

    options.progress = progress;
    cr_assert_eq(fetch_with(&options, "slow", &request, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    cr_assert_gt(partial_size(), 0);
    cr_assert_lt(partial_size(), SIZE);
    ib_error_clear(&err);
    ib_progress_free(progress);
    succeeds("ok");
}

Test(fetch, full_disk_is_told_and_survived)
{
    struct ib_fetch_options options = quick();
    struct ib_fetch_request request;
    struct ib_error *err = NULL;
    struct rlimit old, small;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 1000000, .rlim_max = old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    cr_assert_eq(fetch_with(&options, "ok", &request, &err), -1);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_assert_eq(ib_error_errno(err), EFBIG);
    cr_assert_leq(partial_size(), 1000000);
    ib_error_clear(&err);
    ib_fetch_request_clear(&request);
    succeeds("ok");
}

Test(fetch, processes_share_one_download)
{
    enum { PROCESSES = 3 };

    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            struct ib_fetch_options options = quick();
            struct ib_fetch_request request;
            _exit(fetch_with(&options, "ok", &request, NULL) == 0 ? 0 : 1);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        cr_assert(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    char *log = requests_made();
    cr_assert_str_eq(log, "GET /ok/k3s - -\n", "%s", log);
    free(log);
    check_blob();
}

Test(fetch, file_url_only_with_a_known_hash)
{
    char *url = ib_asprintf("file://%s/k3s", dir);
    struct ib_fetch_request request = {.name = "k3s", .url_count = 1};
    struct ib_fetch_options options = quick();
    struct ib_error *err = NULL;

    request.urls = (const char *const *)&url;
    cr_assert_eq(ib_fetch(&request, 1, &options, &err), -1);
    cr_assert(strstr(ib_error_line(err, 1), "Protocol \"file\""), "%s", ib_error_line(err, 1));
    ib_error_clear(&err);
    request.has_sha256 = true;
    request.sha256 = hash;
    cr_assert_eq(ib_fetch(&request, 1, &options, &err), 0);
    check_blob();
    ib_fetch_request_clear(&request);
    free(url);
}

Test(fetch, remote_size)
{
    struct ib_fetch_options options = quick();
    char *url = httpd_url(&httpd, "redirect/k3s"), *bad = httpd_url(&httpd, "gone/k3s");

    cr_assert_eq(ib_fetch_remote_size(url, &options), SIZE);
    cr_assert_eq(ib_fetch_remote_size(bad, &options), 0);
    free(url), free(bad);
}

Test(fetch, small_file_in_memory)
{
    struct ib_fetch_options options = quick();
    struct ib_buf text = {0};
    struct ib_error *err = NULL;
    char *url = httpd_url(&httpd, "503/k3s"), *bad = httpd_url(&httpd, "gone/k3s");

    cr_assert_eq(ib_fetch_small(url, 2 * SIZE, true, &options, &text, &err), 0);
    cr_assert(text.size == SIZE && memcmp(text.data, content, SIZE) == 0);
    cr_assert_eq(ib_fetch_small(url, SIZE - 1, true, &options, &text, &err), -1);
    cr_assert(strstr(ib_error_line(err, 1), "larger than the 3145744 bytes allowed"));
    ib_error_clear(&err);
    cr_assert_eq(ib_fetch_small(bad, SIZE, true, &options, &text, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 1), "HTTP status 404");
    ib_error_clear(&err);
    options.offline = true;
    cr_assert_eq(ib_fetch_small(url, SIZE, true, &options, &text, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
    ib_buf_clear(&text);
    free(url), free(bad);
}

Test(url, basename)
{
    static const struct {
        const char *url, *base;
    } cases[] = {
        {"https://x/a/b.qcow2", "b.qcow2"}, {"https://x/a/b?c=d/e#f", "b"},
        {"https://x/v1%2Bk3s1/k3s", "k3s"}, {"https://x/a%2Bb", "a+b"},
        {"https://x/a%2fb", NULL},          {"https://x/", NULL},
        {"https://x/%2e%2e", NULL},         {"https://x/a%00b", NULL},
        {"https://x/100%", "100%"},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        char *base = ib_url_basename(cases[i].url);
        cr_assert(ib_streq(base, cases[i].base), "%s gave %s", cases[i].url, base ? base : "NULL");
        free(base);
    }
}
