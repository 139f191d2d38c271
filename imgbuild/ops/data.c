/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/data.h"

#include <errno.h>

#include "base/file.h"

char *ib_data_dir(struct ib_error **err)
{
    const char *env = getenv("IMGBUILD_DATA");
    _cleanup_(ib_freep) char *program = realpath("/proc/self/exe", NULL);
    _cleanup_(ib_freep) char *bin = program ? ib_path_dir(program) : NULL;
    _cleanup_(ib_freep) char *dir = env && *env ? ib_strdup(env)
                                    : bin       ? ib_asprintf("%s/../share/imgbuild", bin)
                                                : NULL;
    char *real = dir ? realpath(dir, NULL) : NULL;

    if (!real) {
        ib_fail(err, IB_E_IO, errno, dir ? dir : "/proc/self/exe", "find the program's own files");
        ib_hint(err,
                "install imgbuild again, or set IMGBUILD_DATA to its share/imgbuild directory");
    }
    return real;
}

char *ib_data_path(const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_data_dir(err);
    _cleanup_(ib_freep) char *path = dir ? ib_path_join(dir, name) : NULL;

    if (path && !ib_path_exists(path)) {
        ib_fail(err, IB_E_IO, ENOENT, path, "find the program's own file");
        ib_hint(err,
                "install imgbuild again, or set IMGBUILD_DATA to its share/imgbuild directory");
        return NULL;
    }
    return ib_steal(&path);
}
