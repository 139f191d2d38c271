/* SPDX-License-Identifier: Apache-2.0 */
#include "installer/medium.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

#include "agent/cmdline.h"
#include "base/file.h"

static int wait_for(const char *path, unsigned timeout_s, struct ib_error **err)
{
    for (unsigned tenths = 0; !ib_path_exists(path); tenths++) {
        if (tenths >= timeout_s * 10) {
            ib_failf(err, IB_E_NOT_FOUND, "the stick's partition '%s' did not appear in %u s",
                     ib_path_base(path), timeout_s);
            return ib_hint(err, "plug it in again; if it stays away, its controller's driver may "
                                "be missing from drivers: of the hardware profile");
        }
        usleep(100000);
    }
    return 0;
}

int ib_stick_open(const char *cmdline, const char *dev, unsigned timeout_s, struct ib_stick *ret,
                  struct ib_error **err)
{
    _cleanup_(ib_freep) char *hex = ib_cmdline_value(cmdline, "imgbuild.medium");
    _cleanup_(ib_stick_close) struct ib_stick stick = {.fd = -1};
    struct ib_sha256 id;
    char data[37], second[37];

    if (!hex || !ib_sha256_parse(hex, &id) || !ib_cmdline_root_uuids(hex, data, second)) {
        ib_failf(err, IB_E_INVALID, "the kernel's command line has no valid imgbuild.medium=");
        return ib_hint(err, "start the stick's own entry");
    }
    stick.path = ib_asprintf("%s/disk/by-partuuid/%s", dev, data);
    if (wait_for(stick.path, timeout_s, err) < 0)
        return -1;
    stick.fd = ib_open_read(stick.path, err);
    if (stick.fd < 0 || ib_medium_read(stick.fd, stick.path, &id, &stick.medium, err) < 0)
        return -1;
    *ret = stick;
    stick = (struct ib_stick){.fd = -1};
    return 0;
}

void ib_stick_close(struct ib_stick *stick)
{
    ib_closep(&stick->fd);
    free(stick->path);
    ib_medium_clear(&stick->medium);
    *stick = (struct ib_stick){.fd = -1};
}

static bool read_mac(const char *class, const char *interface, struct ib_mac *ret)
{
    _cleanup_(ib_freep) char *path = ib_asprintf("%s/%s/address", class, interface);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, 256, &text, NULL) < 0 || text.size == 0)
        return false;
    text.data[strcspn((const char *)text.data, "\n")] = 0;
    return ib_mac_parse((const char *)text.data, ret);
}

const struct ib_medium_node *ib_stick_find_node(const struct ib_stick *stick, const char *sysfs)
{
    _cleanup_(ib_freep) char *class = ib_path_join(sysfs, "class/net");
    _cleanup_(ib_closedirp) DIR *dir = opendir(class);
    const struct ib_medium_node *found = NULL;

    for (struct dirent *d; dir && (d = readdir(dir));) {
        struct ib_mac mac;
        if (d->d_name[0] == '.' || !read_mac(class, d->d_name, &mac))
            continue;
        for (size_t i = 0; i < stick->medium.count; i++) {
            const struct ib_medium_node *node = &stick->medium.nodes[i];
            if (!ib_mac_equal(&node->mac, &mac) || node == found)
                continue;
            if (found)
                return NULL;
            found = node;
        }
    }
    return found;
}
