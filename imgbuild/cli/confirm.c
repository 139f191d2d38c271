/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/confirm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static bool names_disk(const struct ib_disk *d, const char *answer)
{
    return ib_streq(answer, d->path) || ib_streq(answer, d->name) || ib_streq(answer, d->model);
}

int ib_cli_confirm_disk(const struct ib_disk *disk, const char *plan, struct ib_error **err)
{
    char line[256];
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    FILE *tty = fd >= 0 ? fdopen(fd, "r+") : NULL;

    if (!tty) {
        ib_closep(&fd);
        ib_failf(err, IB_E_USAGE, "there is no terminal to ask whether %s may be overwritten",
                 disk->path);
        return ib_hint(err, "look at it (imgbuild flash --list), then add --yes");
    }
    fputs(plan, tty);
    fprintf(tty, "Type %s%s%s to overwrite it: ", disk->name, disk->model ? " or " : "",
            disk->model ? disk->model : "");
    fflush(tty);
    bool answered = fgets(line, sizeof(line), tty) != NULL;
    fclose(tty);
    if (answered)
        line[strcspn(line, "\n")] = 0;
    if (answered && names_disk(disk, line))
        return 0;
    ib_failf(err, IB_E_REFUSED, "%s was not named: nothing was written", disk->path);
    return ib_hint(err, "type its name or model exactly as shown");
}
