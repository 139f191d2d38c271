# SPDX-License-Identifier: Apache-2.0
ib_unit_test(os debrepo)
ib_unit_test(os debresolve)
ib_unit_test(os exclude)
ib_unit_test(os oci)
ib_unit_test(os selinux)
ib_unit_test(os verify)
ib_unit_test(os appliance)
set_tests_properties(unit/appliance PROPERTIES LABELS vm TIMEOUT 600) # launches appliances
ib_unit_test(os kernel)
ib_unit_test(os units)
ib_unit_test(os cleanup)
ib_unit_test(os sandbox)
ib_unit_test(os sandbox_engines)
set_tests_properties(unit/sandbox_engines PROPERTIES LABELS vm TIMEOUT 600) # launches appliances
