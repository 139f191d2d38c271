/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd units enabled, disabled and masked in a tree, as `systemctl --root` does it, in memory.
 *
 * Source: systemd.unit(5) "[Install] Section Options" and "Unit File Load Path". Instances of
 * templates ("getty@tty1.service"), Alias=, WantedBy=, RequiredBy=, UpheldBy=, Also= and
 * DefaultInstance= are known; drop-ins are not looked at for [Install].
 */
#pragma once

#include "io/tree.h"

/* Makes the links that the unit's [Install] section asks for, and those of its Also= units. */
int ib_unit_enable(struct ib_tree *tree, const char *unit, struct ib_error **err) _must_check_;
/* Removes every link to the unit below etc/systemd/system. One that is not enabled is fine. */
int ib_unit_disable(struct ib_tree *tree, const char *unit, struct ib_error **err) _must_check_;
/* Makes the unit impossible to start; it need not exist. */
int ib_unit_mask(struct ib_tree *tree, const char *unit, struct ib_error **err) _must_check_;
