/* SPDX-License-Identifier: Apache-2.0 */
/* Which kind of source a name means. Apart from source.c, so that a program that reads files only
 * needs no HTTP client. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "fetch_internal.h"
#include "source_internal.h"

static struct ib_source *open_path(const char *path, struct ib_progress *progress,
                                   struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        ib_fail(err, errno == ENOENT || errno == ENOTDIR ? IB_E_NOT_FOUND : IB_E_IO, errno, path,
                "open");
        return NULL;
    }
    return ib_source_file_new(fd, path, false, progress, err);
}

struct ib_source *ib_source_open(const char *spec, const struct ib_source_options *options,
                                 struct ib_error **err)
{
    struct ib_progress *progress = options ? options->progress : NULL;

    if (ib_streq(spec, "-"))
        return ib_source_file_new(STDIN_FILENO, "standard input", true, progress, err);
    if (ib_is_http_url(spec))
        return ib_source_http_new(spec, options, err);
    const char *scheme = strstr(spec, "://");
    if (scheme && !ib_path_exists(spec) && !memchr(spec, '/', (size_t)(scheme - spec))) {
        ib_failf(err, IB_E_UNSUPPORTED, "'%s' is neither a file nor an address of http or https",
                 spec);
        ib_hint(err, "download it first, or pipe it in: curl … | imgbuild flash - DEVICE");
        return NULL;
    }
    return open_path(spec, progress, err);
}
