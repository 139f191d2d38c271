/* SPDX-License-Identifier: Apache-2.0 */
/* The files of scripts/, embedded (cmake/embed.cmake). They run inside a tree. Private to os/. */
#pragma once

extern const char ib_script_apt_job[];
extern const char ib_script_depmod[];
extern const char ib_script_initrd_job[];
extern const char ib_script_rpm_job[];
