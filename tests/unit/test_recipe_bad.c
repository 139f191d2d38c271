/* SPDX-License-Identifier: Apache-2.0 */
/* Every directory of tests/fixtures/recipes-bad: see its README.md. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <dirent.h>
#include <fts.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "base/file.h"
#include "model/recipe.h"

#define GOOD IB_SOURCE_DIR "/tests/fixtures/recipes-good"
#define BAD IB_SOURCE_DIR "/tests/fixtures/recipes-bad"

static struct ib_recipe_file *find_file(struct ib_recipe_source *source, const char *path)
{
    for (size_t i = 0; i < source->files.count; i++)
        if (ib_streq(source->files.items[i].path, path))
            return &source->files.items[i];
    return NULL;
}

static void put_file(struct ib_recipe_source *source, const char *path, struct ib_buf *data)
{
    struct ib_recipe_file *file = find_file(source, path);

    if (!file) {
        size_t n = source->files.count++;
        source->files.items = ib_reallocarray(source->files.items, n + 1, sizeof(*file));
        file = &source->files.items[n];
        *file = (struct ib_recipe_file){.path = ib_strdup(path)};
    }
    free(file->data);
    file->data = ib_steal(&data->data);
    file->size = data->size;
}

static void remove_file(struct ib_recipe_source *source, const char *path)
{
    struct ib_recipe_file *file = find_file(source, path);

    cr_assert_not_null(file, "%s", path);
    free(file->path);
    free(file->data);
    *file = source->files.items[--source->files.count];
}

static void read_text(const char *path, struct ib_buf *ret)
{
    struct ib_error *err = NULL;

    cr_assert_eq(ib_read_file(path, IB_MIB, ret, &err), 0, "%s", path);
}

/* Lays a directory's files over the good ones. */
static void lay_over(struct ib_recipe_source *source, char *dir)
{
    char *const roots[] = {dir, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    size_t n = strlen(dir) + 1;

    for (FTSENT *e; (e = fts_read(fts));) {
        struct ib_buf data = {0};
        if (e->fts_info != FTS_F || ib_streq(e->fts_path + n, "expected.txt"))
            continue;
        read_text(e->fts_path, &data);
        if (ib_streq(e->fts_path + n, "removed.txt")) {
            struct ib_strv names = {0};
            ib_strv_split(&names, (char *)data.data, "\n");
            for (size_t i = 0; i < names.count; i++)
                remove_file(source, names.items[i]);
            ib_strv_clear(&names);
        } else {
            put_file(source, e->fts_path + n, &data);
        }
        ib_buf_clear(&data);
    }
    fts_close(fts);
}

static char *check(char *dir)
{
    struct ib_error *err = NULL;
    struct ib_recipe_source source = {0};
    struct ib_diags *diags = ib_diags_new();

    cr_assert_eq(ib_recipe_source_read(GOOD, &source, &err), 0);
    lay_over(&source, dir);
    struct ib_recipe *recipe = ib_recipe_parse(&source, diags);
    cr_assert_null(recipe, "%s was accepted", dir);
    char *text = ib_diags_text(diags);
    ib_diags_free(diags);
    ib_recipe_source_clear(&source);
    return text;
}

Test(recipe_bad, all)
{
    struct dirent **entries;
    int count = scandir(BAD, &entries, NULL, alphasort), seen = 0;

    cr_assert_geq(count, 0);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (name[0] < '0' || name[0] > '9')
            continue;
        char *dir = ib_path_join(BAD, name);
        char *path = ib_path_join(dir, "expected.txt");
        char *text = check(dir);
        if (getenv("IB_UPDATE_EXPECTED")) {
            cr_assert_eq(ib_atomic_write(path, 0644, text, strlen(text), NULL), 0);
        } else {
            struct ib_buf expected = {0};
            read_text(path, &expected);
            cr_expect_str_eq(text, (char *)expected.data, "%s says:\n%s", name, text);
            ib_buf_clear(&expected);
        }
        seen++;
        free(text);
        free(path);
        free(dir);
    }
    cr_assert_geq(seen, 35);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}
