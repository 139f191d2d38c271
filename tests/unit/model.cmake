# SPDX-License-Identifier: Apache-2.0
ib_unit_test(model
    lock
    manifest
    recipe_bad)
