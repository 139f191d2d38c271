# SPDX-License-Identifier: Apache-2.0
ib_unit_test(os debrepo)
ib_unit_test(os exclude)
ib_unit_test(os verify)
