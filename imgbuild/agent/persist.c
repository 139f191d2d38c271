/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/persist.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/copy.h"
#include "agent/mount.h"
#include "base/file.h"

#define AGENT "/usr/lib/imgbuild/imgbuild-agent"

void ib_persist_clear(struct ib_persist *persist)
{
    ib_strv_clear(&persist->directories);
    ib_strv_clear(&persist->files);
}

/* Does `path` equal `top` or lie below it? Both without leading slash. */
static bool is_below(const char *path, const char *top)
{
    size_t n = strlen(top);

    return strncmp(path, top, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static bool is_below_any(const char *path, const char *const *tops)
{
    for (; *tops; tops++)
        if (is_below(path, *tops))
            return true;
    return false;
}

static bool persists_anyway(const char *path)
{
    static const char *const tops[] = {"var", "home", "root", "opt", "srv", "mnt", NULL};

    return is_below_any(path, tops) || ib_streq(path, "etc/machine-id") ||
           fnmatch("etc/ssh/ssh_host_*", path, FNM_PATHNAME) == 0;
}

static int add_entry(const char *line, struct ib_persist *ret, struct ib_error **err)
{
    static const char *const volatile_tops[] = {"boot", "dev", "efi", "proc",
                                                "run",  "sys", "tmp", NULL};
    _cleanup_(ib_freep) char *path = line[0] == '/' ? ib_path_normalize(line) : NULL;

    if (!path || !*path || strpbrk(line, "\r\t") || is_below_any(path, volatile_tops)) {
        ib_failf(err, IB_E_INVALID, "'%s' cannot persist", line);
        return ib_hint(err, "name an absolute path on the root file system under persist:");
    }
    if (persists_anyway(path))
        return 0;
    if (ib_endswith(line, "/")) {
        ib_strv_add(&ret->directories, path);
        return 0;
    }
    if (!is_below(path, "etc") || ib_streq(path, "etc")) {
        ib_failf(err, IB_E_INVALID, "the file '%s' cannot persist: it is not below /etc", line);
        return ib_hint(err, "if it is a directory, end its name with '/' under persist:");
    }
    ib_strv_add(&ret->files, path);
    return 0;
}

int ib_persist_parse(const char *text, struct ib_persist *ret, struct ib_error **err)
{
    _cleanup_(ib_persist_clear) struct ib_persist p = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    ib_strv_split(&lines, text, "\n");
    for (size_t i = 0; i < lines.count; i++)
        if (lines.items[i][0] != '#' && add_entry(lines.items[i], &p, err) < 0)
            return ib_wrap(err, NULL, "read the list of what persists");
    ib_strv_sort_unique(&p.directories); /* a parent comes before what is mounted inside it */
    ib_strv_sort_unique(&p.files);
    *ret = p;
    p = (struct ib_persist){0};
    return 0;
}

static char *kept_path(const char *root, const char *path)
{
    return ib_asprintf("%s" IB_PERSIST_DIR "/%s", root, path);
}

static int make_parent(const char *path, struct ib_error **err)
{
    _cleanup_(ib_freep) char *dir = ib_path_dir(path);

    return ib_mkdir_p(dir, err);
}

static int restore_directory(const char *path, const char *root, struct ib_error **err)
{
    _cleanup_(ib_freep) char *kept = kept_path(root, path);
    _cleanup_(ib_freep) char *target = ib_asprintf("%s/%s", root, path);

    if (!ib_path_exists(target) && ib_mkdir_p(target, err) < 0)
        return ib_hint(err,
                       "add the directory to an overlay of the role and build the image again");
    if (!ib_path_exists(kept) &&
        (make_parent(kept, err) < 0 || ib_copy_tree_atomic(target, kept, err) < 0))
        return -1;
    return ib_mount_bind(kept, target, err);
}

static int restore_file(const char *path, const char *root, struct ib_error **err)
{
    _cleanup_(ib_freep) char *kept = kept_path(root, path);
    _cleanup_(ib_freep) char *target = ib_asprintf("%s/%s", root, path);

    if (!ib_path_exists(kept))
        return 0;
    return make_parent(target, err) < 0 ? -1 : ib_copy_file(kept, target, err);
}

int ib_persist_restore(const struct ib_persist *persist, const char *root, struct ib_error **err)
{
    for (size_t i = 0; i < persist->directories.count; i++)
        if (restore_directory(persist->directories.items[i], root, err) < 0)
            return ib_wrap(err, persist->directories.items[i], "bring back the directory");
    for (size_t i = 0; i < persist->files.count; i++)
        if (restore_file(persist->files.items[i], root, err) < 0)
            return ib_wrap(err, persist->files.items[i], "bring back the file");
    return 0;
}

static int save_file(const char *path, const char *root, struct ib_error **err)
{
    _cleanup_(ib_freep) char *kept = kept_path(root, path);
    _cleanup_(ib_freep) char *source = ib_asprintf("%s/%s", root, path);
    struct stat st;

    if (lstat(source, &st) < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return ib_fail(err, IB_E_IO, errno, source, "look at");
        return ib_remove_tree(kept, err);
    }
    if (!S_ISREG(st.st_mode)) {
        ib_failf(err, IB_E_INVALID, "'/%s' is not a regular file any more, and is not kept", path);
        return ib_hint(err, "write a regular file, or remove it from persist:");
    }
    return make_parent(kept, err) < 0 ? -1 : ib_copy_file(source, kept, err);
}

int ib_persist_save(const struct ib_persist *persist, const char *root, struct ib_error **err)
{
    int r = 0;

    for (size_t i = 0; i < persist->files.count; i++) { /* one bad file must not lose the others */
        struct ib_error *one = NULL;
        if (save_file(persist->files.items[i], root, &one) == 0)
            continue;
        if (r == 0 && err)
            *err = ib_steal(&one);
        ib_error_clear(&one);
        r = -1;
    }
    return r < 0 ? ib_wrap(err, NULL, "keep changed files") : 0;
}

static int write_unit(const char *dir, const char *name, const char *wanted_by, struct ib_buf *text,
                      struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf content = *text;
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_freep) char *wants = ib_asprintf("%s/%s.wants", dir, wanted_by);
    _cleanup_(ib_freep) char *link = ib_path_join(wants, name);
    _cleanup_(ib_freep) char *target = ib_asprintf("../%s", name);

    *text = (struct ib_buf){0};
    if (ib_mkdir_p(wants, err) < 0 || ib_write_plain(path, &content, err) < 0)
        return -1;
    if (symlink(target, link) < 0 && errno != EEXIST)
        return ib_fail(err, IB_E_IO, errno, link, "make the symbolic link");
    return 0;
}

static void append_watch(struct ib_buf *text, const char *path)
{
    ib_buf_append_str(text, "PathChanged=/");
    for (; *path; path++)
        ib_buf_append(text, *path == '%' ? "%%" : path, *path == '%' ? 2 : 1);
    ib_buf_append_str(text, "\n");
}

int ib_persist_write_units(const struct ib_persist *persist, const char *unit_dir,
                           struct ib_error **err)
{
    struct ib_buf text = {0};

    if (!persist->files.count)
        return 0;
    ib_buf_append_str(&text, "[Unit]\nDescription=Watch the files of /etc that survive a reboot\n"
                             "[Path]\nUnit=imgbuild-persist.service\n");
    for (size_t i = 0; i < persist->files.count; i++)
        append_watch(&text, persist->files.items[i]);
    if (write_unit(unit_dir, "imgbuild-persist.path", "paths.target", &text, err) < 0)
        return -1;
    ib_buf_append_str(&text, "[Unit]\nDescription=Keep changed files of /etc\n"
                             "[Service]\nType=oneshot\nExecStart=" AGENT " persist\n");
    _cleanup_(ib_freep) char *service = ib_path_join(unit_dir, "imgbuild-persist.service");
    int r = ib_write_plain(service, &text, err);
    ib_buf_clear(&text);
    if (r < 0)
        return -1;
    /* starts before, and so stops after, every ordinary service */
    ib_buf_append_str(&text, "[Unit]\nDescription=Keep changed files of /etc at shutdown\n"
                             "DefaultDependencies=no\nAfter=local-fs.target\nBefore=basic.target\n"
                             "Conflicts=shutdown.target\nBefore=shutdown.target\n"
                             "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
                             "ExecStart=-" AGENT " persist\nExecStop=" AGENT " persist\n");
    return write_unit(unit_dir, "imgbuild-persist-shutdown.service", "basic.target", &text, err);
}
