/* SPDX-License-Identifier: Apache-2.0 */
/* Images from servers: nginx, and a double that fails in every way we know. After each failure the
 * bytes are right, or there is an error with its cause and cure; nothing hangs, nothing grows. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/source.h"
#include "io/unpacker.h"

enum { SIZE = 3 * 1024 * 1024 + 17 };

static char *dir, *log_path;
static struct ib_child *server;
static unsigned port;
static uint8_t *content, *data;
static struct ib_source_options options = {
    .ahead_bytes = IB_MIB, .retries = 3, .retry_delay_ms = 5, .stall_seconds = 1};

/* The double; `fixed_port` 0: any. */
static bool start_server(unsigned fixed_port)
{
    _cleanup_(ib_freep) char *python = ib_find_program("python3");
    _cleanup_(ib_freep) char *number = ib_asprintf("%u", fixed_port);
    const char *const argv[] = {
        "python3", IB_SOURCE_DIR "/tests/fixtures/rangesd.py", dir, log_path, number, NULL};
    int out[2];

    if (!python || pipe(out) < 0)
        return false;
    server = ib_spawn(&(struct ib_run){.argv = argv, .stdout_fd = out[1]}, NULL);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    const bool ok = server && fscanf(f, "%u", &port) == 1;
    fclose(f);
    return ok;
}

static void set_up(void)
{
    unsetenv("http_proxy");
    unsetenv("https_proxy");
    dir = ib_make_temp_dir("/tmp", "ib-source", NULL);
    log_path = ib_path_join(dir, "log");
    _cleanup_(ib_freep) char *image = ib_path_join(dir, "disk.img");
    _cleanup_(ib_freep) char *empty = ib_path_join(dir, "empty");
    content = ib_malloc(SIZE);
    data = ib_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 2654435761U >> 13);
    cr_assert_eq(ib_write_file(image, 0644, content, SIZE, NULL), 0);
    cr_assert_eq(ib_write_file(empty, 0644, "", 0, NULL), 0);
    if (!start_server(0))
        cr_skip_test("python3 is needed for the test server");
}

static void tear_down(void)
{
    server = ib_child_kill(server);
    ib_temp_dirp(&dir);
    free(log_path), free(content), free(data);
}

TestSuite(source_http, .init = set_up, .fini = tear_down, .timeout = 60);

static struct ib_source *open_as(const char *fault, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *url = ib_asprintf("http://127.0.0.1:%u/%s/%s", port, fault, name);

    return ib_source_open(url, &options, err);
}

static void check_error(struct ib_error *err, const char *fault, enum ib_error_code code,
                        const char *words)
{
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;

    cr_assert_not_null(err, "%s: no error", fault);
    cr_assert(strstr(text, words), "%s: %s", fault, text);
    cr_assert_eq(ib_error_code(err), code, "%s: %s", fault, text);
    cr_assert_not_null(ib_error_hint(err), "%s: %s", fault, text);
}

/* Reads all of it in pieces of 10000 bytes. */
static int read_all(struct ib_source *source, struct ib_error **err)
{
    size_t n = 1;

    memset(data, 0, SIZE);
    for (uint64_t offset = 0; n > 0; offset += n)
        if (ib_source_read_some(source, data + offset, IB_MIN(10000, SIZE - offset), offset, &n,
                                err) < 0)
            return -1;
    return ib_source_expect_end(source, SIZE, err);
}

static void succeeds(const char *fault)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_source_freep) struct ib_source *source = open_as(fault, "disk.img", &err);

    const int r = source ? read_all(source, &err) : -1;
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;
    cr_assert_eq(r, 0, "%s: %s", fault, text);
    cr_assert_eq(memcmp(data, content, SIZE), 0, "%s", fault);
    cr_assert(ib_source_is_sequential(source) && ib_source_fd(source) == -1);
    cr_assert_eq(ib_source_size(source), SIZE);
}

/* Fails, and what was read before it is right. */
static void fails(const char *fault, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_source_freep) struct ib_source *source = open_as(fault, "disk.img", &err);
    size_t n = 1, offset = 0;

    for (; source && n > 0; offset += n)
        if (ib_source_read_some(source, data, IB_MIN(10000, SIZE - offset), offset, &n, &err) < 0)
            break;
        else
            cr_assert_eq(memcmp(data, content + offset, n), 0, "%s", fault);
    check_error(err, fault, code, words);
    if (source) { /* and goes on failing */
        _cleanup_(ib_error_freep) struct ib_error *again = NULL;
        cr_assert_eq(ib_source_read(source, data, 10, SIZE - 10, &again), -1);
        cr_assert_not_null(again);
    }
}

static char *requests_made(void)
{
    struct ib_buf log = {0};

    cr_assert_eq(ib_read_file(log_path, IB_MIB, &log, NULL), 0);
    return ib_buf_steal_string(&log);
}

/* The bytes that were asked for in ranges, and the number of requests. */
static uint64_t bytes_asked(size_t *ret_requests)
{
    _cleanup_(ib_freep) char *log = requests_made();
    uint64_t sum = 0;

    *ret_requests = 0;
    for (char *at = log; (at = strstr(at, " bytes=")); ++*ret_requests) {
        unsigned long long first, last;
        at += 7;
        cr_assert_eq(sscanf(at, "%llu-%llu", &first, &last), 2);
        sum += last - first + 1;
    }
    return sum;
}

Test(source_http, works)
{
    static const char *const faults[] = {"ok",      "dated",     "short", "redirect", "chunked",
                                         "norange", "noversion", "weak",  "nototal"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(faults); i++)
        succeeds(faults[i]);
}

Test(source_http, every_byte_is_asked_for_once)
{
    size_t requests;

    succeeds("ok");
    cr_assert_eq(bytes_asked(&requests), SIZE);
    cr_assert_lt(requests, 40);
    _cleanup_(ib_freep) char *log = requests_made();
    cr_assert(strstr(log, " bytes=0-65535 -\n"), "%s", log);
    cr_assert(strstr(log, " \"1\"\n"), "%s", log);
}

Test(source_http, recovers)
{
    static const char *const faults[] = {"norange-break", "forgot", "503",
                                         "truncate",      "reset",  "redirect-expires"};

    /* which request is the third is chance where four are under way: one range may meet it often */
    options.retries = 30;
    for (size_t i = 0; i < IB_ARRAY_SIZE(faults); i++)
        succeeds(faults[i]);
}

Test(source_http, recovers_from_stalls)
{
    options.ahead_bytes = 4 * IB_MIB;
    succeeds("stall");
}

Test(source_http, file_changes)
{
    fails("etag", IB_E_NETWORK, "its ETag is \"2\" now, and was \"1\"");
    fails("modified", IB_E_NETWORK, "was modified on 'Tue");
    fails("resized", IB_E_NETWORK, "it has 3145746 bytes now, and had 3145745");
    fails("shrunk", IB_E_NETWORK, "it has 1000 bytes now");
    fails("norange-changed", IB_E_NETWORK, "its ETag is \"2\" now");
}

Test(source_http, lies)
{
    fails("shifted", IB_E_NETWORK, "with the range 'bytes 1000-");
    fails("longer", IB_E_NETWORK, "with the range 'bytes ");
    fails("more", IB_E_NETWORK, "more bytes than it announced");
    fails("lying", IB_E_NETWORK, "announced");
    fails("garbage", IB_E_NETWORK, "99999999999999999999");
    fails("multipart", IB_E_NETWORK, "with the range ''");
    fails("notext", IB_E_NETWORK, "");
    fails("headers", IB_E_NETWORK, "headers do not end");
}

Test(source_http, goes_away)
{
    fails("404", IB_E_NOT_FOUND, "HTTP status 404");
    fails("vanished", IB_E_NOT_FOUND, "HTTP status 404");
    fails("403", IB_E_NETWORK, "HTTP status 403");
    fails("416", IB_E_NETWORK, "HTTP status 416");
    fails("ignored", IB_E_NETWORK, "ignored a request for a part (tried");
    fails("truncate-later", IB_E_NETWORK, "(tried");
    fails("redirect-loop", IB_E_NETWORK, "redirects");
    fails("redirect-file", IB_E_NETWORK, "rotocol");
}

Test(source_http, what_cannot_be_continued)
{
    fails("noversion-break", IB_E_NETWORK, "neither ETag nor Last-Modified");
    fails("nolength", IB_E_NETWORK, "does not say how long");
    fails("chunked-break", IB_E_NETWORK, "(tried");
}

Test(source_http, stalls)
{
    options.retries = 1;
    fails("stall-later", IB_E_NETWORK, "too slow");
    fails("silent", IB_E_NETWORK, "too slow");
}

/* What is packed on the way is no image; a label on what is packed anyway is fine. */
Test(source_http, content_encoding)
{
    _cleanup_(ib_freep) char *packed = ib_path_join(dir, "disk.img.gz");
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    fails("gzip", IB_E_NETWORK, "Content-Encoding: gzip");
    cr_assert_eq(ib_write_file(packed, 0644, content, SIZE, NULL), 0);
    _cleanup_(ib_source_freep) struct ib_source *source =
        open_as("x-gzip", "disk.img.gz?x=y", &err);
    cr_assert_null(source); /* the double takes the query for a part of the name */
    source = open_as("x-gzip", "disk.img.gz", NULL);
    cr_assert_not_null(source);
    cr_assert_eq(read_all(source, NULL), 0);
}

/* Retry-After is heard, but not for longer than a minute; a cancel ends the wait. */
static volatile sig_atomic_t cancel;
static int notes;

static void on_event(const struct ib_event *event, void *userdata)
{
    (void)userdata;
    if (event->kind != IB_EVENT_NOTE)
        return;
    notes++;
    if (strstr(event->text, "again in 60.0 s"))
        cancel = 1;
}

Test(source_http, cancel)
{
    _cleanup_(ib_progress_freep) struct ib_progress *progress =
        ib_progress_new(on_event, NULL, &cancel);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    options.progress = progress;
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("503-later", "disk.img", &err);
    cr_assert_not_null(source);
    cr_assert_eq(read_all(source, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    cr_assert_gt(notes, 0);
    options.progress = NULL;
}

Test(source_http, empty_file)
{
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("ok", "empty", NULL);
    _cleanup_(ib_source_freep) struct ib_source *stream = open_as("norange", "empty", NULL);
    size_t n;

    cr_assert_eq(ib_source_size(source), 0);
    cr_assert_eq(ib_source_read_some(source, data, 10, 0, &n, NULL), 0);
    cr_assert_eq(n, 0);
    cr_assert_eq(ib_source_size(stream), 0);
    cr_assert_eq(ib_source_expect_end(stream, 0, NULL), 0);
}

/* Nothing but what was planned is asked for, but for the head. */
Test(source_http, plan)
{
    const struct ib_source_range plan[] = {
        {100 * 1000, 1000}, {101 * 1000, 500}, {IB_MIB, 300 * 1000}, {3 * IB_MIB, 1000}};
    static const struct ib_source_range later[] = {{2 * IB_MIB, 5}, {3 * IB_MIB, 17}};
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("ok", "disk.img", NULL);
    const uint8_t *head;
    size_t n, requests;

    cr_assert_eq(ib_source_peek(source, IB_SOURCE_PEEK_MAX, &head, &n, NULL), 0);
    cr_assert(n == IB_SOURCE_PEEK_MAX && memcmp(head, content, n) == 0);
    ib_source_plan(source, plan, IB_ARRAY_SIZE(plan));
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(ib_source_read(source, data, plan[i].size, plan[i].offset, NULL), 0);
        cr_assert_eq(memcmp(data, content + plan[i].offset, plan[i].size), 0);
    }
    ib_source_plan(source, later, IB_ARRAY_SIZE(later));
    cr_assert_eq(ib_source_read(source, data, 17, 3 * IB_MIB, NULL), 0);
    cr_assert_eq(memcmp(data, content + 3 * IB_MIB, 17), 0);
    /* 65536 at first, then at most a window that grew to twice that */
    cr_assert_leq(bytes_asked(&requests), 65536 + 131072 + 1500 + 300 * 1000 + 17 + 5 + 17 + 1000);
    cr_assert_leq(requests, 12);
}

/* Reads that no plan told of, backwards steps of which are refused. */
Test(source_http, reads_beside_the_plan)
{
    static const struct ib_source_range plan[] = {{IB_MIB, 1000}};
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("ok", "disk.img", NULL);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    static const uint64_t offsets[] = {70000, 500000, IB_MIB + 500, IB_MIB + 5000, 3 * IB_MIB - 9};

    ib_source_plan(source, plan, IB_ARRAY_SIZE(plan));
    for (size_t i = 0; i < IB_ARRAY_SIZE(offsets); i++) {
        cr_assert_eq(ib_source_read(source, data, 4000, offsets[i] - (i == 4) * 4000, NULL), 0);
        cr_assert_eq(memcmp(data, content + offsets[i] - (i == 4) * 4000, 4000), 0);
    }
    cr_assert_eq(ib_source_read(source, data, 4000, 10, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERNAL);
}

/* A stream passes over what lies between. */
Test(source_http, gaps_in_a_stream)
{
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("norange", "disk.img", NULL);
    static const struct ib_source_range plan[] = {{2 * IB_MIB, 1000}};

    ib_source_plan(source, plan, 1);
    for (uint64_t offset = 5; offset < SIZE - 1000; offset += 300001) {
        cr_assert_eq(ib_source_read(source, data, 1000, offset, NULL), 0);
        cr_assert_eq(memcmp(data, content + offset, 1000), 0);
    }
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* A reader that takes its time: not more than the bound is asked for, and nothing stalls. */
Test(source_http, slow_reader)
{
    size_t requests;

    for (int stream = 0; stream < 2; stream++) {
        _cleanup_(ib_source_freep) struct ib_source *source =
            open_as(stream ? "norange" : "ok", "disk.img", NULL);
        cr_assert_eq(ib_source_read(source, data, 700000, 0, NULL), 0);
        sleep_ms(2500); /* longer than a stall may be */
        if (!stream)    /* what was read, the bound, and the piece that is being read */
            cr_assert_leq(bytes_asked(&requests), 700000 + IB_MIB + 131072);
        cr_assert_eq(ib_source_read(source, data + 700000, SIZE - 700000, 700000, NULL), 0);
        cr_assert_eq(memcmp(data, content, SIZE), 0);
    }
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    cr_assert(f && fscanf(f, "%*u %llu", &pages) == 1);
    fclose(f);
    return pages * 4096;
}

Test(source_http, endless)
{
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("endless", "disk.img", NULL);
    size_t n = 0;

    cr_assert_eq(ib_source_size(source), IB_SOURCE_SIZE_UNKNOWN);
    const uint64_t before = resident_bytes();
    for (uint64_t offset = 0; offset < 300 * IB_MIB; offset += n)
        cr_assert_eq(ib_source_read_some(source, data, SIZE, offset, &n, NULL), 0);
#ifndef __SANITIZE_ADDRESS__ /* which keeps what was freed */
    cr_assert_lt(resident_bytes(), before + 8 * IB_MIB);
#else
    (void)before;
#endif
}

/* It dies while we read, and comes back. */
Test(source_http, server_restarts)
{
    _cleanup_(ib_source_freep) struct ib_source *source = NULL;
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    options.retry_delay_ms = 400;
    source = open_as("slow", "disk.img", NULL);
    cr_assert_eq(ib_source_read(source, data, 300000, 0, NULL), 0);
    server = ib_child_kill(server);
    sleep_ms(300);
    cr_assert(start_server(port));
    cr_assert_eq(ib_source_read(source, data + 300000, SIZE - 300000, 300000, &err), 0);
    cr_assert_eq(memcmp(data, content, SIZE), 0);
}

Test(source_http, server_dies)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL, *none = NULL;
    _cleanup_(ib_source_freep) struct ib_source *source = open_as("slow", "disk.img", NULL);

    cr_assert_eq(ib_source_read(source, data, 300000, 0, NULL), 0);
    server = ib_child_kill(server);
    cr_assert_eq(ib_source_read(source, data + 300000, SIZE - 300000, 300000, &err), -1);
    check_error(err, "dead", IB_E_NETWORK, "(tried 4 times");
    cr_assert_null(open_as("ok", "disk.img", &none));
    check_error(none, "dead", IB_E_NETWORK, "onnect");
}

/* A user's password has no place in messages. */
Test(source_http, names)
{
    _cleanup_(ib_freep) char *url =
        ib_asprintf("http://me:secret@127.0.0.1:%u/404/disk.img?t=@x", port);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_null(ib_source_open(url, &options, &err));
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert(strstr(text, "http://127.0.0.1:") && !strstr(text, "secret"), "%s", text);
}

Test(source_http, proxy)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_freep) char *proxy = ib_asprintf("http://127.0.0.1:%u", port);

    setenv("http_proxy", proxy, 1); /* the double is none, but it is asked */
    cr_assert_null(ib_source_open("http://images.invalid/404/disk.img", &options, &err));
    check_error(err, "proxy", IB_E_NOT_FOUND, "404");
    _cleanup_(ib_freep) char *log = requests_made();
    cr_assert(strstr(log, "http://images.invalid/404/disk.img"), "%s", log);
    unsetenv("http_proxy");
}

static void run(const char *command)
{
    struct ib_strv argv = {0};

    ib_strv_split(&argv, command, " ");
    cr_assert_eq(ib_run(&(struct ib_run){.argv = (const char *const *)argv.items}, NULL), 0, "%s",
                 command);
    ib_strv_clear(&argv);
}

/* nginx, on `port`, and with TLS on the port that it returns: ports that two doubles had. */
static unsigned start_nginx(void)
{
    const unsigned tls_port = port;
    _cleanup_(ib_freep) char *program = ib_find_program("nginx"), *openssl = NULL;
    _cleanup_(ib_freep) char *conf = ib_path_join(dir, "nginx.conf");
    struct ib_buf text = {0};

    openssl = ib_find_program("openssl");
    if (!program || !openssl)
        cr_skip_test("nginx and openssl are needed");
    struct ib_child *first = server;
    cr_assert(start_server(0));
    ib_child_kill(first);
    ib_child_kill(server);
    _cleanup_(ib_freep) char *make = ib_asprintf(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=t "
        "-addext subjectAltName=IP:127.0.0.1 -keyout %s/key.pem -out %s/cert.pem",
        dir, dir);
    run(make);
    ib_buf_printf(&text,
                  "user root; master_process off; daemon off; pid %s/pid; error_log %s/errors;\n"
                  "events {}\nhttp { access_log off; root %s; client_body_temp_path %s/b;\n"
                  "proxy_temp_path %s/p; fastcgi_temp_path %s/f; uwsgi_temp_path %s/u;\n"
                  "scgi_temp_path %s/s;\n"
                  "server { listen 127.0.0.1:%u; listen 127.0.0.1:%u ssl;\n"
                  "ssl_certificate %s/cert.pem; ssl_certificate_key %s/key.pem;\n"
                  "location /down { return 302 http://127.0.0.1:%u/disk.img; } } }\n",
                  dir, dir, dir, dir, dir, dir, dir, dir, port, tls_port, dir, dir, port);
    cr_assert_eq(ib_write_file(conf, 0644, text.data, text.size, NULL), 0);
    ib_buf_clear(&text);
    const char *const argv[] = {"nginx", "-c", conf, NULL};
    server = ib_spawn(&(struct ib_run){.argv = argv}, NULL);
    cr_assert_not_null(server);
    sleep_ms(300);
    return tls_port;
}

Test(source_http, nginx)
{
    const unsigned tls_port = start_nginx();
    _cleanup_(ib_freep) char *url = ib_asprintf("http://127.0.0.1:%u/disk.img", port);
    _cleanup_(ib_freep) char *tls = ib_asprintf("https://127.0.0.1:%u/disk.img", tls_port);
    _cleanup_(ib_freep) char *down = ib_asprintf("https://127.0.0.1:%u/down", tls_port);
    _cleanup_(ib_freep) char *ca = ib_path_join(dir, "cert.pem");
    _cleanup_(ib_freep) char *image = ib_path_join(dir, "disk.img");
    _cleanup_(ib_error_freep) struct ib_error *err = NULL, *changed = NULL;
    _cleanup_(ib_source_freep) struct ib_source *plain = ib_source_open(url, &options, NULL);

    cr_assert_not_null(plain);
    cr_assert_eq(read_all(plain, NULL), 0);
    cr_assert_eq(memcmp(data, content, SIZE), 0);

    cr_assert_null(ib_source_open(tls, &options, &err)); /* nobody vouches for it */
    check_error(err, "tls", IB_E_NETWORK, "certificate");
    options.ca_file = ca;
    _cleanup_(ib_source_freep) struct ib_source *secure = ib_source_open(tls, &options, NULL);
    cr_assert_not_null(secure);
    cr_assert_eq(read_all(secure, NULL), 0);
    cr_assert_eq(memcmp(data, content, SIZE), 0);

    ib_error_clear(&err);
    cr_assert_null(ib_source_open(down, &options, &err)); /* what began with TLS stays so */
    check_error(err, "down", IB_E_NETWORK, "rotocol");

    /* replaced while we read */
    _cleanup_(ib_source_freep) struct ib_source *old = ib_source_open(url, &options, NULL);
    cr_assert_eq(ib_source_read(old, data, 10000, 0, NULL), 0);
    content[SIZE - 1] ^= 1;
    cr_assert_eq(ib_remove_tree(image, NULL), 0);
    cr_assert_eq(ib_write_file(image, 0644, content, SIZE - 1, NULL), 0);
    cr_assert_eq(read_all(old, &changed), -1);
    ib_error_clear(&changed);
    cr_assert_eq(ib_source_read(old, data, SIZE - 10000, 10000, &changed), -1);
    check_error(changed, "changed", IB_E_NETWORK, "changed while it was read");
}

/* A packed image from a server, as `imgbuild flash` reads it. */
Test(source_http, unpacks)
{
    _cleanup_(ib_freep) char *pack = ib_asprintf("zstd -q %s/disk.img", dir);
    size_t n;

    run(pack);
    for (int stream = 0; stream < 2; stream++) {
        _cleanup_(ib_source_freep) struct ib_source *source =
            open_as(stream ? "chunked" : "truncate", "disk.img.zst", NULL);
        _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(source, NULL);
        cr_assert_eq(ib_unpacker_raw_size(unpacker), SIZE);
        cr_assert_eq(ib_unpacker_read(unpacker, data, SIZE, &n, NULL), 0);
        cr_assert(n == SIZE && memcmp(data, content, SIZE) == 0);
        cr_assert_eq(ib_unpacker_read(unpacker, data, SIZE, &n, NULL), 0);
        cr_assert_eq(n, 0);
    }
    /* right headers, wrong bytes: the format's checks find it */
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_source_freep) struct ib_source *wrong = open_as("wrong", "disk.img.zst", NULL);
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(wrong, NULL);
    int r = 0;
    for (n = 1; r == 0 && n > 0;)
        r = ib_unpacker_read(unpacker, data, SIZE, &n, &err);
    check_error(err, "wrong", IB_E_INVALID, "damaged zstd");
}
