/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/console.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

static char *strip(const char *line)
{
    size_t begin = strspn(line, " \t"), end = strlen(line);

    while (end > begin && strchr(" \t\r\n", line[end - 1]))
        end--;
    return ib_strndup(line + begin, end - begin);
}

char *ib_console_ask(const char *fmt, ...)
{
    char line[256];
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) ? strip(line) : NULL;
}

void ib_console_say(const char *fmt, ...)
{
    va_list ap;

    fputs("imgbuild: ", stdout);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fputc('\n', stdout);
    fflush(stdout);
}

static void show_amount(const struct ib_step *step)
{
    uint64_t total = ib_step_total(step), amount = ib_step_amount(step);
    uint64_t ms = ib_step_elapsed_ms(step);
    char done[16], all[16], rate[16];

    ib_console_say("%s: %s of %s, %s/s", ib_step_name(step), ib_format_size(amount, done),
                   ib_format_size(total, all), ib_format_size(amount * 1000 / (ms + 1), rate));
}

/* ib_event_fn; `userdata` is the last tenth shown, and of which step. */
static void show_event(const struct ib_event *event, void *userdata)
{
    uint64_t *shown = userdata;

    if (event->kind == IB_EVENT_NOTE) {
        ib_console_say("%s", event->text);
    } else if (event->kind == IB_EVENT_ADVANCE && ib_step_total(event->step) > 0 &&
               ib_step_unit(event->step) == IB_UNIT_BYTES) {
        uint64_t tenth = ib_step_amount(event->step) / (ib_step_total(event->step) / 10 + 1);
        uint64_t mark = ib_step_id(event->step) * 16 + tenth;
        if (tenth > 0 && mark > *shown) {
            *shown = mark;
            show_amount(event->step);
        }
    }
}

struct ib_progress *ib_console_progress(void)
{
    static uint64_t shown; /* one console, one progress: it outlives every event */

    return ib_progress_new(show_event, &shown, NULL);
}

int ib_console_shell(struct ib_error **err)
{
    pid_t pid = fork();

    if (pid < 0)
        return ib_fail(err, IB_E_IO, errno, "/bin/sh", "start");
    if (pid == 0) {
        execl("/bin/bash", "-bash", NULL);
        execl("/bin/sh", "-sh", NULL);
        _exit(127);
    }
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return 0;
}
