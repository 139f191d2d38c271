# SPDX-License-Identifier: Apache-2.0
# One test a line, sorted.
ib_unit_test(io archive)
ib_unit_test(io archive_hostile)
ib_unit_test(io cache)
ib_unit_test(io disk)
ib_unit_test(io fetch)
ib_unit_test(io minisign)
target_link_libraries(test_minisign PRIVATE PkgConfig::CRYPTO)
ib_unit_test(io source)
ib_unit_test(io target)
ib_unit_test(io tree)
ib_unit_test(io unpacker)
ib_unit_test(io writer)
