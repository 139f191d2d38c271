/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates: files of the project with ${…} values in them, which recipes mark as such (a rule's or
 * a file's `template: true`).
 */
#pragma once

#include "model/recipe.h"

/*
 * Appends a template's text to *ret with its values put in. `name` is relative to the project and
 * stands in messages. Unknown values and unclosed "${" go to `diags` and fail with IB_E_INVALID.
 */
int ib_template_read(const char *project_dir, const char *name, const struct ib_values *values,
                     struct ib_buf *ret, struct ib_diags *diags,
                     struct ib_error **err) _must_check_;

/* Puts every mistake in every template of the project into `diags`; an error only where a file
 * cannot be read. */
int ib_templates_check(const char *project_dir, const struct ib_recipe *recipe,
                       struct ib_diags *diags, struct ib_error **err) _must_check_;
