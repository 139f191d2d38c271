/* SPDX-License-Identifier: Apache-2.0 */
/* Images from files and pipes. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "io/source.h"

enum { SIZE = 200 * 1000 };

static uint8_t content[SIZE], data[SIZE];

static void set_up(void)
{
    for (size_t i = 0; i < SIZE; i++)
        content[i] = (uint8_t)(i * 2654435761U >> 21);
}

TestSuite(source, .init = set_up, .timeout = 30);

static struct ib_source *file_source(void)
{
    _cleanup_(ib_closep) int fd = memfd_create("image", MFD_CLOEXEC);

    cr_assert_eq(ib_write_full(fd, content, SIZE), 0);
    return ib_source_open_fd(fd, "image", NULL);
}

/* A pipe that a child fills. */
static struct ib_source *pipe_source(void)
{
    struct ib_source *source;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    if (fork() == 0)
        _exit(ib_write_full(ends[1], content, SIZE) < 0);
    close(ends[1]);
    source = ib_source_open_fd(ends[0], "pipe", NULL);
    close(ends[0]);
    return source;
}

static void fails(struct ib_error **err, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_freep) char *text = ib_error_text(*err);

    cr_assert_eq(ib_error_code(*err), code, "%s", text);
    cr_assert(strstr(text, words), "%s", text);
    ib_error_clear(err);
}

Test(source, file)
{
    _cleanup_(ib_source_freep) struct ib_source *source = file_source();
    struct ib_error *err = NULL;
    const uint8_t *head;
    size_t n;

    cr_assert_eq(ib_source_size(source), SIZE);
    cr_assert_not(ib_source_is_sequential(source));
    cr_assert_geq(ib_source_fd(source), 0);
    ib_source_plan(source, (struct ib_source_range[]){{0, SIZE}, {SIZE * 2, 1}}, 2);
    cr_assert_eq(ib_source_peek(source, SIZE, &head, &n, NULL), 0);
    cr_assert(n == IB_SOURCE_PEEK_MAX && memcmp(head, content, n) == 0);
    cr_assert_eq(ib_source_read(source, data, 1000, SIZE - 1000, NULL), 0); /* backwards too */
    cr_assert_eq(memcmp(data, content + SIZE - 1000, 1000), 0);
    cr_assert_eq(ib_source_read(source, data, SIZE, 0, NULL), 0);
    cr_assert_eq(memcmp(data, content, SIZE), 0);
    cr_assert_eq(ib_source_read_some(source, data, 10, SIZE, &n, NULL), 0);
    cr_assert_eq(n, 0);
    cr_assert_eq(ib_source_read_some(source, data, 10, UINT64_MAX - 3, &n, NULL), 0);
    cr_assert_eq(n, 0);

    cr_assert_eq(ib_source_read(source, data, 10, SIZE - 9, &err), -1);
    fails(&err, IB_E_INVALID, "ends early");
    cr_assert_eq(ib_source_read(source, data, 10, UINT64_MAX - 3, &err), -1);
    fails(&err, IB_E_INVALID, "ends early");
    cr_assert_eq(ib_source_expect_end(source, SIZE, NULL), 0);
    cr_assert_eq(ib_source_expect_end(source, SIZE - 1, &err), -1);
    fails(&err, IB_E_INVALID, "goes on");
    cr_assert_eq(ib_source_expect_end(source, SIZE + 1, &err), -1);
    fails(&err, IB_E_INVALID, "ends early");
    cr_assert_eq(ftruncate(ib_source_fd(source), 100), 0); /* while we read */
    cr_assert_eq(ib_source_read(source, data, 1000, 0, &err), -1);
    fails(&err, IB_E_INVALID, "ends early");
}

Test(source, pipe)
{
    _cleanup_(ib_source_freep) struct ib_source *source = pipe_source();
    struct ib_error *err = NULL;
    const uint8_t *head;
    size_t n;

    cr_assert_eq(ib_source_size(source), IB_SOURCE_SIZE_UNKNOWN);
    cr_assert(ib_source_is_sequential(source));
    cr_assert_eq(ib_source_fd(source), -1);
    cr_assert_eq(ib_source_peek(source, 64, &head, &n, NULL), 0);
    cr_assert(n == 64 && memcmp(head, content, 64) == 0);
    cr_assert_eq(ib_source_peek(source, 20000, &head, &n, NULL), 0);
    cr_assert(n == 20000 && memcmp(head, content, n) == 0);
    cr_assert_eq(ib_source_read(source, data, 30000, 10, NULL), 0);
    cr_assert_eq(memcmp(data, content + 10, 30000), 0);
    cr_assert_eq(ib_source_read(source, data, 1000, 20, &err), -1);
    fails(&err, IB_E_INTERNAL, "backwards");
    cr_assert_eq(ib_source_read(source, data, 1000, 150000, NULL), 0); /* passes over */
    cr_assert_eq(memcmp(data, content + 150000, 1000), 0);
    cr_assert_eq(ib_source_read(source, data, 60000, 151000, &err), -1);
    fails(&err, IB_E_INVALID, "after 200000 of 211000");
    cr_assert_eq(ib_source_size(source), SIZE);
    cr_assert_eq(ib_source_expect_end(source, SIZE, NULL), 0);
}

Test(source, end_of_a_pipe)
{
    struct ib_error *err = NULL;

    for (int i = -1; i <= 1; i++) {
        _cleanup_(ib_source_freep) struct ib_source *source = pipe_source();
        cr_assert_eq(ib_source_read(source, data, SIZE - 10, 0, NULL), 0);
        cr_assert_eq(ib_source_expect_end(source, (uint64_t)(SIZE + i), &err), i ? -1 : 0);
        if (i)
            fails(&err, IB_E_INVALID, i < 0 ? "goes on" : "ends early");
    }
}

Test(source, names)
{
    struct ib_error *err = NULL;

    cr_assert_null(ib_source_open("/nonexistent/x.img", NULL, &err));
    fails(&err, IB_E_NOT_FOUND, "cannot open");
    cr_assert_null(ib_source_open("/tmp", NULL, &err));
    fails(&err, IB_E_INVALID, "directory");
    cr_assert_null(ib_source_open("ftp://127.0.0.1/x.img", NULL, &err));
    fails(&err, IB_E_UNSUPPORTED, "ftp:");
}

/* Standard input that is a file: from where it stands. */
Test(source, standard_input)
{
    _cleanup_(ib_closep) int fd = memfd_create("image", MFD_CLOEXEC);

    cr_assert_eq(ib_write_full(fd, content, SIZE), 0);
    cr_assert_eq(lseek(fd, 5000, SEEK_SET), 5000);
    cr_assert_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    _cleanup_(ib_source_freep) struct ib_source *source = ib_source_open("-", NULL, NULL);
    cr_assert_eq(ib_source_size(source), SIZE - 5000);
    cr_assert_eq(ib_source_read(source, data, SIZE - 5000, 0, NULL), 0);
    cr_assert_eq(memcmp(data, content + 5000, SIZE - 5000), 0);
}

static volatile sig_atomic_t cancel = 1;

static void ignore(const struct ib_event *event, void *userdata)
{
    (void)event, (void)userdata;
}

/* A silent pipe does not keep us from stopping. */
Test(source, cancel)
{
    _cleanup_(ib_progress_freep) struct ib_progress *progress =
        ib_progress_new(ignore, NULL, &cancel);
    const struct ib_source_options options = {.progress = progress};
    struct ib_error *err = NULL;
    int ends[2];
    size_t n;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    _cleanup_(ib_source_freep) struct ib_source *source = ib_source_open("-", &options, NULL);
    cr_assert_eq(ib_source_read_some(source, data, 10, 0, &n, &err), -1);
    fails(&err, IB_E_INTERRUPTED, "");
}
