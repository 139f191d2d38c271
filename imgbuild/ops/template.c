/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/template.h"

#include "base/file.h"
#include "ops/overlay.h"

enum { MAX_TEMPLATE_SIZE = 4 << 20 };

int ib_template_read(const char *project_dir, const char *name, const struct ib_values *values,
                     struct ib_buf *ret, struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_freep) char *host = ib_path_join(project_dir, name);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(host, MAX_TEMPLATE_SIZE, &text, err) < 0)
        return -1;
    if (ib_recipe_expand(values, text.data ? (char *)text.data : "", text.size, name, 1, ret,
                         diags) < 0)
        return ib_diags_to_error(diags, err);
    return 0;
}

static int check_file(const char *project_dir, const char *name, const struct ib_values *values,
                      struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_error_freep) struct ib_error *mistake = NULL;
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    size_t before = ib_diags_count(diags);

    if (ib_template_read(project_dir, name, values, &text, diags, &mistake) == 0 ||
        ib_diags_count(diags) > before)
        return 0;
    if (err)
        *err = ib_steal(&mistake);
    return -1;
}

static int check_files(const char *project_dir, const struct ib_file *files, size_t count,
                       const struct ib_values *values, struct ib_diags *diags,
                       struct ib_error **err)
{
    for (size_t i = 0; i < count; i++)
        if (files[i].is_template && files[i].source &&
            check_file(project_dir, files[i].source, values, diags, err) < 0)
            return -1;
    return 0;
}

static int check_overlays(const char *project_dir, const struct ib_root_spec *root,
                          const struct ib_values *values, struct ib_diags *diags,
                          struct ib_error **err)
{
    for (size_t i = 0; i < root->overlays.count; i++) {
        _cleanup_(ib_strv_clear) struct ib_strv names = {0};
        _cleanup_(ib_overlay_freep) struct ib_overlay *overlay =
            ib_overlay_read(project_dir, root->overlays.items[i], err);
        if (!overlay)
            return -1;
        ib_overlay_templates(overlay, root->rules.items, root->rules.count, &names);
        for (size_t k = 0; k < names.count; k++)
            if (check_file(project_dir, names.items[k], values, diags, err) < 0)
                return -1;
    }
    return 0;
}

int ib_templates_check(const char *project_dir, const struct ib_recipe *recipe,
                       struct ib_diags *diags, struct ib_error **err)
{
    for (size_t i = 0; i < recipe->root_specs.count; i++) {
        const struct ib_root_spec *root = &recipe->root_specs.items[i];
        const struct ib_values *values = ib_root_values(recipe, root);
        if (check_overlays(project_dir, root, values, diags, err) < 0 ||
            check_files(project_dir, root->files.items, root->files.count, values, diags, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < recipe->node_specs.count; i++) {
        const struct ib_node_spec *node = &recipe->node_specs.items[i];
        if (check_files(project_dir, node->files.items, node->files.count,
                        ib_node_values(recipe, node), diags, err) < 0)
            return -1;
    }
    ib_diags_sort(diags); /* roots share overlays, and so their mistakes */
    return 0;
}
