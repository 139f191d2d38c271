/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a server of tests/fixtures as a child, serving a directory with faults. */
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"

struct httpd {
    struct ib_child *child;
    unsigned port;
};

/* False where python3 is missing: the test then skips. */
static inline bool httpd_start_script(struct httpd *httpd, const char *script, const char *root,
                                      const char *log)
{
    _cleanup_(ib_freep) char *path = ib_asprintf(IB_SOURCE_DIR "/tests/fixtures/%s", script);
    const char *const argv[] = {"python3", path, root, log, NULL};
    _cleanup_(ib_freep) char *python = ib_find_program("python3");
    int out[2];

    if (!python || pipe(out) < 0)
        return false;
    unsetenv("http_proxy");
    httpd->child = ib_spawn(&(struct ib_run){.argv = argv, .stdout_fd = out[1]}, NULL);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    bool ok = httpd->child && fscanf(f, "%u", &httpd->port) == 1;
    fclose(f);
    return ok;
}

static inline bool httpd_start(struct httpd *httpd, const char *root, const char *log)
{
    return httpd_start_script(httpd, "httpd.py", root, log);
}

static inline void httpd_stop(struct httpd *httpd)
{
    httpd->child = ib_child_kill(httpd->child);
}

/* The caller frees. */
static inline char *httpd_url(const struct httpd *httpd, const char *path)
{
    return ib_asprintf("http://127.0.0.1:%u/%s", httpd->port, path);
}
