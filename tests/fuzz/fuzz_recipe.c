/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes from anywhere. The input is several files: each begins with a line "=== PATH". What is
 * accepted is resolved, shown and released.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "model/show.h"

#define MAX_FILES 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next "=== PATH" at the beginning of a line, or the end. */
static size_t find_head(const uint8_t *data, size_t size, size_t at)
{
    for (; at < size; at++)
        if ((at == 0 || data[at - 1] == '\n') && size - at >= 4 && !memcmp(data + at, "=== ", 4))
            return at;
    return size;
}

static void split(const uint8_t *data, size_t size, struct ib_recipe_source *ret)
{
    ret->files.items = ib_calloc(MAX_FILES, sizeof(*ret->files.items));
    for (size_t at = find_head(data, size, 0); at < size && ret->files.count < MAX_FILES;) {
        size_t next = find_head(data, size, at + 1);
        const uint8_t *name = data + at + 4, *end = memchr(name, '\n', next - at - 4);
        if (end) {
            size_t rest = (size_t)(data + next - end - 1);
            ret->files.items[ret->files.count++] = (struct ib_recipe_file){
                .path = ib_strndup((const char *)name, (size_t)(end - name)),
                .data = ib_memdup(end + 1, rest),
                .size = rest,
            };
        }
        at = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ib_recipe_source source = {0};
    struct ib_diags *diags = ib_diags_new();

    split(data, size, &source);
    struct ib_recipe *recipe = ib_recipe_parse(&source, diags);
    for (size_t i = 0; recipe && i < recipe->node_specs.count; i++) {
        free(ib_recipe_show_text(recipe, &recipe->node_specs.items[i]));
        json_decref(ib_recipe_show_json(recipe, &recipe->node_specs.items[i]));
    }
    if (recipe)
        free(ib_recipe_list_text(recipe));
    free(ib_diags_text(diags));
    json_decref(ib_diags_json(diags));
    ib_recipe_free(recipe);
    ib_recipe_source_clear(&source);
    ib_diags_free(diags);
    return 0;
}
