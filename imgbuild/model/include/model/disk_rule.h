/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that name a disk by what it is (struct ib_disk_rule): `install_disk` of a recipe, and on
 * the command line
 *
 *     model=Samsung*,serial=S5GX…,size>=400G,size<=2T,transport=nvme,by-id=nvme-*,type=ssd
 *
 * Every condition must hold and exactly one disk must match. `model` and `by-id` are patterns
 * (fnmatch(3)); sizes are written as in recipes; "\," is a comma inside a value.
 *
 * Types mean disks that are built in: `nvme`, `ssd` (does not rotate, NVMe or not) and `hdd` never
 * match a medium that travels. Such a one is chosen by its other marks.
 */
#pragma once

#include "io/disk.h"
#include "model/recipe.h"

/* Whether the user wrote a rule, and not the name of a file or device. */
bool ib_disk_is_rule(const char *text);

/* IB_E_USAGE for what is no rule, with the nearest name. The caller clears. */
int ib_disk_rule_parse(const char *text, struct ib_disk_rule *ret,
                       struct ib_error **err) _must_check_;
void ib_disk_rule_clear(struct ib_disk_rule *rule);

/* The rule as ib_disk_rule_parse takes it. The caller frees. */
char *ib_disk_rule_text(const struct ib_disk_rule *rule);

/* NULL where the disk matches; else why not ("its model is 'WD Blue', not 'Samsung*'"). The caller
 * frees. */
char *ib_disk_rule_mismatch(const struct ib_disk_rule *rule, const struct ib_disk *disk);

/*
 * The one disk that matches; borrowed from `disks`. Disks that would be refused count as well: a
 * rule that could mean the system's disk is not precise enough. None is IB_E_NOT_FOUND, several
 * IB_E_REFUSED; both say of every candidate what it is, and why it does not match.
 */
int ib_disk_rule_pick(const struct ib_disk_rule *rule, const struct ib_disks *disks,
                      const struct ib_disk **ret, struct ib_error **err) _must_check_;

/* From what a user wrote, a path or a rule, to a disk (as ib_disk_look). The caller clears. */
int ib_disk_choose(const char *what, bool all, struct ib_disk *ret,
                   struct ib_error **err) _must_check_;
