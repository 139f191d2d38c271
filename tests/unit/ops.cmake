# SPDX-License-Identifier: Apache-2.0
ib_unit_test(ops lock_run)
ib_unit_test(ops pins)
ib_unit_test(ops inspect)
