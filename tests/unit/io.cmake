# SPDX-License-Identifier: Apache-2.0
# One test a line, sorted.
ib_unit_test(io archive)
ib_unit_test(io archive_hostile)
ib_unit_test(io cache)
ib_unit_test(io fetch)
ib_unit_test(io tree)
