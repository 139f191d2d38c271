/* SPDX-License-Identifier: Apache-2.0 */
/* Mirrors that are directories: files are copied and checked like a download. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch_internal.h"

static int copy_from(struct ib_fetch_job *job, const char *path, int fd, struct ib_error **err)
{
    enum { CHUNK = 1 << 20 };
    _cleanup_(ib_freep) uint8_t *chunk = ib_malloc(CHUNK);

    for (;;) {
        if (ib_progress_check(job->run->options->progress, err) < 0)
            return -1;
        ssize_t n = read(fd, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ib_fail(err, IB_E_IO, errno, path, "read");
        if (n == 0)
            return 0;
        if ((uint64_t)n > ib_job_size_limit(job->request) - job->partial.size_bytes)
            return ib_failf(err, IB_E_INVALID, "'%s' grew while it was read", path);
        if (ib_partial_append(&job->partial, chunk, (size_t)n) < 0)
            return ib_fail(err, IB_E_IO, errno, job->partial.path, "write");
        ib_job_report(job);
    }
}

/* 1: found and right; 0: not; or -1. */
static int try_file(struct ib_fetch_job *job, const char *path, struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    _cleanup_(ib_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : ib_job_reason(job, path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return ib_job_reason(job, path, "it is not a regular file");
    if ((uint64_t)st.st_size > ib_job_size_limit(request) ||
        (request->size_bytes && (uint64_t)st.st_size != request->size_bytes)) {
        _cleanup_(ib_freep) char *why =
            ib_asprintf("it has %" PRIu64 " bytes instead of %s%" PRIu64, (uint64_t)st.st_size,
                        request->size_bytes ? "" : "at most ", ib_job_size_limit(request));
        job->wrong_hash |= request->has_sha256;
        return ib_job_reason(job, path, why);
    }
    if (ib_job_restart(job, err) < 0 || copy_from(job, path, fd, err) < 0)
        return -1;
    size_t place = job->place;
    int r = ib_job_check_whole(job, path, err);
    job->place = place; /* directories are not counted there */
    return r;
}

/* The path of a file: URL (RFC 8089: "file:/P", "file:///P", "file://localhost/P"), or NULL. */
static char *file_url_path(const char *url)
{
    static const char *const heads[] = {"file://localhost/", "file:///", "file:/"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(heads); i++) {
        const char *path = url + strlen(heads[i]) - 1;
        if (ib_startswith(url, heads[i]) && (i < 2 || path[1] != '/'))
            return ib_url_decode(path, path + strlen(path));
    }
    return NULL;
}

/* The caller frees. NULL: not a directory, but a web server. */
static char *mirror_directory(const char *mirror)
{
    if (ib_is_http_url(mirror))
        return NULL;
    return ib_startswith(mirror, "file:") ? file_url_path(mirror) : ib_strdup(mirror);
}

/* 1: found and right; 0: not; or -1. */
static int try_directory(struct ib_fetch_job *job, const char *mirror, const char *dir,
                         struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    char hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_freep) char *base = request->url_count ? ib_url_basename(request->urls[0]) : NULL;
    _cleanup_(ib_freep) char *by_name = base ? ib_path_join(dir, base) : NULL;
    _cleanup_(ib_freep) char *by_hash =
        ib_asprintf("%s/sha256/%s", dir, ib_sha256_hex(&request->sha256, hex));
    const size_t known = job->reasons.count;
    int r = 0;

    if (request->has_sha256)
        r = try_file(job, by_hash, err);
    if (r == 0 && by_name)
        r = try_file(job, by_name, err);
    if (r == 0 && job->reasons.count == known) {
        _cleanup_(ib_freep) char *why = ib_asprintf("there is no '%s' in it", base ? base : hex);
        ib_job_reason(job, mirror, why);
    }
    return r;
}

int ib_job_try_directories(struct ib_fetch_job *job, struct ib_error **err)
{
    const struct ib_fetch_request *request = job->request;
    const struct ib_fetch_options *options = job->run->options;
    int r = 0;

    for (size_t m = 0; r == 0 && m < options->mirror_count; m++) {
        _cleanup_(ib_freep) char *dir = mirror_directory(options->mirrors[m]);
        if (dir)
            r = try_directory(job, options->mirrors[m], dir, err);
    }
    for (size_t u = 0; r == 0 && request->has_sha256 && u < request->url_count; u++) {
        _cleanup_(ib_freep) char *path = file_url_path(request->urls[u]);
        const size_t known = job->reasons.count;
        if (!path)
            continue;
        r = try_file(job, path, err);
        if (r == 0 && job->reasons.count == known)
            ib_job_reason(job, request->urls[u], "it is not there");
    }
    return r;
}
