/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the files of a project directory: the only part of the model that touches a disk. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "model/recipe.h"
#include "model/yaml.h"

#define MAX_FILES 10000
#define MAX_DEPTH 16

/* The names in a directory, sorted, without those that begin with a dot. False with errno. */
static bool list_directory(const char *path, struct ib_strv *ret)
{
    _cleanup_(ib_closedirp) DIR *dir = opendir(path);
    struct dirent *entry;

    if (!dir)
        return false;
    while ((errno = 0, entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            ib_strv_add(ret, entry->d_name);
    ib_strv_sort(ret);
    return errno == 0;
}

static int add_recipe(struct ib_recipe_source *source, const char *path, const char *name,
                      struct ib_error **err)
{
    size_t n = source->files.count;
    _cleanup_(ib_buf_clear) struct ib_buf data = {0};

    if (ib_read_file(path, IB_YAML_MAX_SIZE + 1, &data, err) < 0)
        return -1;
    if ((n & (n - 1)) == 0)
        source->files.items =
            ib_reallocarray(source->files.items, n ? 2 * n : 1, sizeof(struct ib_recipe_file));
    source->files.items[source->files.count++] = (struct ib_recipe_file){
        .path = ib_strdup(name), .data = ib_steal(&data.data), .size = data.size};
    return 0;
}

/* A directory of the project that is being listed. */
struct listing {
    const char *project_dir;
    struct ib_recipe_source *source;
    bool is_recipes; /* YAML files are recipes, and strangers are kept to be reported */
};

static int list_below(const struct listing *l, const char *name, unsigned depth,
                      struct ib_error **err);

static int list_entry(const struct listing *l, const char *name, unsigned depth,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(l->project_dir, name);
    bool is_key = ib_startswith(name, "recipes/keys/") || ib_streq(name, "recipes/imgbuild.lock");
    struct stat st;

    if (stat(path, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "look at");
    if (S_ISDIR(st.st_mode))
        return list_below(l, name, depth + 1, err);
    if (l->source->paths.count >= MAX_FILES)
        return ib_failf(err, IB_E_INVALID, "'%s' holds more than %d files", l->project_dir,
                        MAX_FILES);
    ib_strv_add(&l->source->paths, name);
    if (!l->is_recipes || is_key || ib_endswith(name, ".md"))
        return 0;
    return add_recipe(l->source, path, name, err);
}

static int list_below(const struct listing *l, const char *name, unsigned depth,
                      struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(l->project_dir, name);
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (depth > MAX_DEPTH)
        return ib_failf(err, IB_E_INVALID, "'%s' is nested too deeply", path);
    if (!list_directory(path, &names))
        return ib_fail(err, IB_E_IO, errno, path, "read directory");
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *below = ib_path_join(name, names.items[i]);
        if (list_entry(l, below, depth, err) < 0)
            return -1;
    }
    return 0;
}

static int list_overlays(const char *project_dir, struct ib_recipe_source *source,
                         struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(project_dir, "overlays");
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    if (!ib_path_exists(path))
        return 0;
    if (!list_directory(path, &names))
        return ib_fail(err, IB_E_IO, errno, path, "read directory");
    for (size_t i = 0; i < names.count; i++) {
        _cleanup_(ib_freep) char *below = ib_path_join(path, names.items[i]);
        struct stat st;
        if (stat(below, &st) == 0 && S_ISDIR(st.st_mode))
            ib_strv_add(&source->overlays, names.items[i]);
    }
    return 0;
}

int ib_recipe_source_read(const char *project_dir, struct ib_recipe_source *ret,
                          struct ib_error **err)
{
    static const char *const directories[] = {"recipes", "firmware", "files"};

    ret->check_paths = true;
    for (size_t i = 0; i < IB_ARRAY_SIZE(directories); i++) {
        struct listing l = {.project_dir = project_dir, .source = ret, .is_recipes = i < 2};
        _cleanup_(ib_freep) char *path = ib_path_join(project_dir, directories[i]);
        if (i > 0 && !ib_path_exists(path))
            continue;
        if (list_below(&l, directories[i], 0, err) < 0) {
            if (i == 0 && err && ib_error_code(*err) == IB_E_NOT_FOUND)
                ib_hint(err, "run imgbuild in the directory that holds recipes/, or name it "
                             "with -C");
            return ib_wrap(err, project_dir, "read recipes in");
        }
    }
    return list_overlays(project_dir, ret, err);
}

/* The base that the user named on the command line: a mistake there is no mistake in a recipe. */
static int check_base(const struct ib_recipe_source *source, const char *base,
                      struct ib_error **err)
{
    static const char directory[] = "recipes/bases/";
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    for (size_t i = 0; i < source->files.count; i++) {
        const char *path = source->files.items[i].path;
        if (ib_startswith(path, directory) && ib_endswith(path, ".yaml"))
            ib_strv_take(&names, ib_strndup(path + strlen(directory),
                                            strlen(path) - strlen(directory) - strlen(".yaml")));
    }
    if (ib_strv_contains(&names, base))
        return 0;
    const char *nearest = ib_nearest(base, (const char *const *)names.items, names.count);
    _cleanup_(ib_freep) char *all = ib_strv_join(&names, ", ");
    ib_failf(err, IB_E_NOT_FOUND, "there is no base '%s'", base);
    if (nearest)
        return ib_hint(err, "did you mean '%s'? Bases: %s", nearest, all);
    return ib_hint(err, "bases: %s", all);
}

struct ib_recipe *ib_recipe_load(const char *project_dir, const char *base, struct ib_diags *diags,
                                 struct ib_error **err)
{
    _cleanup_(ib_recipe_source_clear) struct ib_recipe_source source = {.base = base};

    if (ib_recipe_source_read(project_dir, &source, err) < 0)
        return NULL;
    if (base && check_base(&source, base, err) < 0)
        return NULL;
    struct ib_recipe *recipe = ib_recipe_parse(&source, diags);
    if (!recipe)
        ib_diags_to_error(diags, err);
    return recipe;
}
