# SPDX-License-Identifier: Apache-2.0
ib_unit_test(ops lock_run)
ib_unit_test(ops flash)
ib_unit_test(ops pins)
ib_unit_test(ops inspect)

# With the packages that tests/unit/os.cmake has made.
ib_unit_test(ops lock_fedora)
target_compile_definitions(test_lock_fedora PRIVATE
    IB_RPM_DIR="${CMAKE_BINARY_DIR}/fixtures/rpm-tree")
set_tests_properties(unit/lock_fedora PROPERTIES FIXTURES_REQUIRED rpm-tree)
