/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/project.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"

static bool holds_recipes(const char *dir)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "recipes/cluster.yaml");

    return ib_path_exists(path);
}

static char *not_a_project(const char *where, struct ib_error **err)
{
    ib_failf(err, IB_E_NOT_FOUND, "there is no recipes/cluster.yaml in '%s'%s", where,
             ib_streq(where, ".") ? " or above it" : "");
    ib_hint(err, "name the project's directory: imgbuild -C DIR …");
    return NULL;
}

char *ib_project_find(const char *dir, struct ib_error **err)
{
    _cleanup_(ib_freep) char *at = realpath(dir ? dir : ".", NULL);

    if (!at) {
        ib_fail(err, IB_E_IO, errno, dir ? dir : ".", "open directory");
        return NULL;
    }
    if (dir)
        return holds_recipes(at) ? ib_steal(&at) : not_a_project(dir, err);
    while (!holds_recipes(at)) {
        if (ib_streq(at, "/"))
            return not_a_project(".", err);
        char *parent = ib_path_dir(at);
        free(at);
        at = parent;
    }
    return ib_steal(&at);
}

static int read_lock(struct ib_project *p, struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(p->dir, IB_LOCK_PATH);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_path_exists(path)) {
        p->lock = ib_lock_new();
        return 0;
    }
    if (ib_read_file(path, IB_LOCK_MAX_SIZE, &text, err) < 0)
        return -1;
    p->lock = ib_lock_parse(IB_LOCK_PATH, text.data, text.size, diags);
    return p->lock ? 0 : ib_diags_to_error(diags, err);
}

int ib_project_open(struct ib_project *ret, const char *dir, const char *cache_dir,
                    const char *base, struct ib_progress *progress, struct ib_diags *diags,
                    struct ib_error **err)
{
    _cleanup_(ib_project_clear) struct ib_project p = {.progress = progress};

    p.dir = ib_project_find(dir, err);
    if (!p.dir)
        return -1;
    p.recipe = ib_recipe_load(p.dir, base, diags, err);
    if (!p.recipe || read_lock(&p, diags, err) < 0)
        return -1;
    p.cache = ib_cache_open(cache_dir, err);
    if (!p.cache)
        return -1;
    *ret = p;
    p = (struct ib_project){0};
    return 0;
}

void ib_project_clear(struct ib_project *project)
{
    ib_recipe_free(project->recipe);
    ib_lock_free(project->lock);
    ib_cache_free(project->cache);
    free(project->dir);
    *project = (struct ib_project){0};
}

/* git's word on HEAD's commit date; false where the project is not in git or git is missing. */
static bool commit_date(const char *dir, uint64_t *ret)
{
    const char *const argv[] = {"git", "-C", dir, "log", "-1", "--format=%ct", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    int status = 0;

    if (ib_run(&(struct ib_run){.argv = argv, .out = &out, .ret_status = &status}, NULL) < 0 ||
        status != 0 || !out.size)
        return false;
    char *text = (char *)out.data;
    text[strcspn(text, "\n")] = 0;
    return ib_parse_u64(text, INT64_MAX, ret);
}

int ib_project_epoch(const struct ib_project *project, int64_t *ret, struct ib_error **err)
{
    const char *env = getenv("SOURCE_DATE_EPOCH");
    uint64_t epoch = 0;

    if (env && *env) {
        if (!ib_parse_u64(env, INT64_MAX, &epoch)) {
            ib_failf(err, IB_E_USAGE, "SOURCE_DATE_EPOCH='%s' is not a number of seconds", env);
            return ib_hint(err, "set it to seconds since 1970, or unset it");
        }
    } else if (!commit_date(project->dir, &epoch)) {
        epoch = (uint64_t)project->lock->date_s;
    }
    *ret = (int64_t)epoch;
    return 0;
}

char *ib_version_from_epoch(int64_t epoch_s)
{
    struct tm tm;
    time_t t = (time_t)epoch_s;

    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof(tm));
    return ib_asprintf("%04d.%02d.%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
