/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What survives a reboot besides /var: the recipe's persist: list, kept in
 * /var/lib/imgbuild/persist.
 *
 * The list is text, one absolute path a line, as the UKI brings it in /imgbuild/persist:
 *
 *     /etc/rancher/node/      a directory: bind-mounted from /var, so that every write is kept
 *     /etc/adjtime            a file of /etc: put into /etc at boot, and copied back when it
 * changes
 *
 * A file is not bind-mounted because programs replace files by rename, which a mount point refuses.
 * Instead a path unit watches the files and runs `imgbuild-agent persist`, and a service does so
 * once more at shutdown, after the services that may have written them have ended. A file that was
 * removed from /etc is forgotten.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"

#define IB_PERSIST_DIR "/var/lib/imgbuild/persist"
#define IB_PERSIST_LIST "/run/imgbuild/persist"

struct ib_persist {
    struct ib_strv directories, files; /* normalized, without the leading slash; sorted */
};

void ib_persist_clear(struct ib_persist *persist);

/*
 * Parses and checks the list. Left out, because they persist anyway: what lies below /var or a
 * directory that lives there, the machine id, SSH host keys.
 */
int ib_persist_parse(const char *text, struct ib_persist *ret, struct ib_error **err) _must_check_;

/* Puts kept files into ROOT/etc and mounts kept directories; new ones start as the root has them.
 */
int ib_persist_restore(const struct ib_persist *persist, const char *root,
                       struct ib_error **err) _must_check_;

/* Copies changed files from ROOT/etc to the persistent directory, and forgets removed ones. */
int ib_persist_save(const struct ib_persist *persist, const char *root,
                    struct ib_error **err) _must_check_;

/* Writes the units that call `imgbuild-agent persist` below unit_dir (/run/systemd/system). Nothing
 * where no file is to be kept. */
int ib_persist_write_units(const struct ib_persist *persist, const char *unit_dir,
                           struct ib_error **err) _must_check_;
