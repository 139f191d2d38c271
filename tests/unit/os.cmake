# SPDX-License-Identifier: Apache-2.0
ib_unit_test(os debrepo exclude)
