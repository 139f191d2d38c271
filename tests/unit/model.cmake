# SPDX-License-Identifier: Apache-2.0
ib_unit_test(model
    disk_rule
    lock
    manifest
    recipe
    recipe_bad
    yaml)
target_link_libraries(test_recipe PRIVATE PkgConfig::JANSSON)
