# SPDX-License-Identifier: Apache-2.0
ib_unit_test(os debrepo)
ib_unit_test(os debresolve)
ib_unit_test(os exclude)
ib_unit_test(os oci)
ib_unit_test(os selinux)
ib_unit_test(os verify)
ib_unit_test(os appliance)
set_tests_properties(unit/appliance PROPERTIES LABELS vm TIMEOUT 600) # launches appliances
ib_unit_test(os debian)
set_tests_properties(unit/debian PROPERTIES LABELS vm TIMEOUT 1800) # builds real trees
ib_unit_test(os kernel)
ib_unit_test(os units)
ib_unit_test(os cleanup)
ib_unit_test(os sandbox)
ib_unit_test(os sandbox_engines)
set_tests_properties(unit/sandbox_engines PROPERTIES LABELS vm TIMEOUT 600) # launches appliances

# Made once, for tests that need them: ib_fixture(NAME LABEL SECONDS)
function(ib_fixture name label seconds)
    add_test(NAME fixture/${name}
        COMMAND ${CMAKE_SOURCE_DIR}/tests/fixtures/${name} ${CMAKE_BINARY_DIR}/fixtures/${name})
    set_tests_properties(fixture/${name} PROPERTIES
        LABELS ${label} SKIP_RETURN_CODE 77 TIMEOUT ${seconds} FIXTURES_SETUP ${name})
endfunction()
ib_fixture(rpm-tree unit 300)
ib_unit_test(os host)
foreach(name rpm rpmresolve)
    ib_unit_test(os ${name})
    target_compile_definitions(test_${name} PRIVATE
        IB_RPM_DIR="${CMAKE_BINARY_DIR}/fixtures/rpm-tree")
    set_tests_properties(unit/${name} PROPERTIES FIXTURES_REQUIRED rpm-tree)
endforeach()
# Appliances without KVM: some 15 s each on an idle machine.
ib_fixture(fedora-images vm 900)
ib_unit_test(os diskimage)
target_compile_definitions(test_diskimage PRIVATE
    IB_IMAGES_DIR="${CMAKE_BINARY_DIR}/fixtures/fedora-images")
set_tests_properties(unit/diskimage PROPERTIES
    LABELS vm TIMEOUT 1800 FIXTURES_REQUIRED fedora-images RUN_SERIAL ON)
