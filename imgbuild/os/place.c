/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

char *ib_place_new(const char *scratch_dir, struct ib_error **err)
{
    return ib_make_temp_dir(scratch_dir, "imgbuild-place", err);
}

int ib_place_write(const char *place, const char *name, unsigned mode, const char *text,
                   struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(place, name);

    return ib_write_file(path, mode, text, strlen(text), err);
}

int ib_place_copy(const char *place, const char *name, unsigned mode, const char *host_path,
                  struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(place, name);
    _cleanup_(ib_closep) int from = ib_open_read(host_path, err);
    struct stat st;

    if (from < 0 || ib_write_file(path, mode, "", 0, err) < 0)
        return -1;
    _cleanup_(ib_closep) int to = open(path, O_WRONLY | O_CLOEXEC);
    if (to < 0 || fstat(from, &st) < 0 || ib_copy_range(from, 0, to, (uint64_t)st.st_size) < 0)
        return ib_fail(err, IB_E_IO, errno, host_path, "copy");
    return 0;
}

int ib_place_mkdir(const char *place, const char *name, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(place, name);

    return ib_mkdir_p(path, err);
}

int ib_place_enter(const char *place, struct ib_sandbox *sandbox, struct ib_error **err)
{
    return ib_sandbox_copy_in(sandbox, place, IB_PLACE, err);
}

int ib_place_leave(struct ib_sandbox *sandbox, struct ib_error **err)
{
    return ib_sandbox_remove(sandbox, IB_PLACE, err);
}

int ib_place_run(struct ib_sandbox *sandbox, const char *script, const char *const *arguments,
                 const char *const *env, int64_t date_s, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};
    _cleanup_(ib_strv_clear) struct ib_strv all_env = {0};

    ib_strv_add(&argv, "/bin/sh");
    ib_strv_addf(&argv, IB_PLACE "/%s", script);
    if (arguments)
        ib_strv_add_all(&argv, arguments);
    if (env)
        ib_strv_add_all(&all_env, env);
    ib_strv_addf(&all_env, "SOURCE_DATE_EPOCH=%lld", (long long)date_s);
    return ib_sandbox_run(sandbox, (const char *const *)argv.items,
                          (const char *const *)all_env.items, NULL, err);
}
