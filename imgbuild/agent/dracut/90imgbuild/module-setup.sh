#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# dracut module: imgbuild's agent, its units, and the programs that the agent runs in the initrd.

check() {
    return 255 # only when asked for (--modules)
}

depends() {
    echo "systemd-initrd systemd-veritysetup systemd-repart dm kernel-modules"
}

install() {
    local target

    inst_simple "$moddir/imgbuild-agent" /usr/lib/imgbuild/imgbuild-agent
    inst_simple "$moddir/imgbuild-sysroot.service" "$systemdsystemunitdir/imgbuild-sysroot.service"
    inst_simple "$moddir/imgbuild-failed.service" "$systemdsystemunitdir/imgbuild-failed.service"
    mkdir -p "$initdir$systemdsystemunitdir/initrd-root-fs.target.requires"
    ln_r "$systemdsystemunitdir/imgbuild-sysroot.service" \
        "$systemdsystemunitdir/initrd-root-fs.target.requires/imgbuild-sysroot.service"
    # whatever fails on the way to the root ends in our words and a restart, not in a shell
    for target in initrd-root-device initrd-root-fs initrd-fs emergency; do
        inst_simple "$moddir/onfailure.conf" "$systemdsystemunitdir/$target.target.d/50-imgbuild.conf"
    done
    ln_r "$systemdsystemunitdir/initrd.target" "$systemdsystemunitdir/default.target"
    # the agent runs repart itself, with the node's definitions
    ln -sfn /dev/null "$initdir$systemdsystemunitdir/systemd-repart.service"

    inst_multiple systemd-repart udevadm blkid e2fsck mke2fs mkfs.ext4 systemctl journalctl
    inst_simple /etc/mke2fs.conf
    # PID 1 shows the system's name and looks for initrd-release
    inst_simple /usr/lib/os-release
    rm -f "$initdir/etc/initrd-release" "$initdir/etc/os-release"
    ln_r /usr/lib/os-release /etc/initrd-release
    ln_r /usr/lib/os-release /etc/os-release
}
