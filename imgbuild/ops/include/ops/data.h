/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that belong to the program and that it puts into images: PREFIX/share/imgbuild, and the
 * same layout in the build tree.
 *
 *     dracut/90imgbuild/                 our dracut module
 *     dracut/90imgbuild/imgbuild-agent   the agent, statically linked
 *     installer/                         the installer with its libraries and loader
 *     installer-units/                   its systemd units, and the script that starts it
 */
#pragma once

#include "base/error.h"

#define IB_DATA_DRACUT_MODULE "dracut/90imgbuild"
#define IB_DATA_AGENT "dracut/90imgbuild/imgbuild-agent"

#define IB_DATA_INSTALLER "installer"
#define IB_DATA_INSTALLER_UNITS "installer-units"

/* $IMGBUILD_DATA, else ../share/imgbuild as seen from the program's own directory. Absolute; the
 * caller frees. */
char *ib_data_dir(struct ib_error **err) _must_check_;

/* One of the files or directories above, which must be there. The caller frees. */
char *ib_data_path(const char *name, struct ib_error **err) _must_check_;
