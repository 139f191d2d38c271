/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buffer.h"

static enum ib_log_level current_level = IB_LOG_WARNING;

void ib_log_set_level(enum ib_log_level level)
{
    current_level = level;
}

void ib_log(enum ib_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"warning", "info", "debug"};
    _cleanup_(ib_buf_clear) struct ib_buf line = {0};
    int saved = errno;
    va_list ap;

    if (level > current_level)
        return;
    ib_buf_printf(&line, "imgbuild: %s: ", names[level]);
    va_start(ap, fmt);
    ib_buf_vprintf(&line, fmt, ap);
    va_end(ap);
    ib_buf_append_str(&line, "\n");
    fwrite(line.data, 1, line.size, stderr); /* one write a line, so that threads do not mix */
    errno = saved;
}
