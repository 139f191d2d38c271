#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the tree: `initrd-job.sh KERNEL DRIVERS [PROGRAMS]` makes `initrd` beside this script
# with the tree's own dracut and our dracut module (module/), uncompressed; those of the programs
# that the tree has go in, too. Nothing is asked of the machine
# that this runs on, and the tree's own dracut settings are left aside.
set -eu
umask 022
cd "$(dirname "$0")"
module=/usr/lib/dracut/modules.d/90imgbuild

if ! command -v dracut >/dev/null; then
    echo "the tree has no dracut: add it to the packages of the base" >&2
    exit 1
fi
cp -R module "$module"
trap 'rm -rf "$module"' EXIT
mkdir tmp conf
: >conf/empty.conf

dracut --force --quiet --kver "$1" \
    --conf conf/empty.conf --confdir "$PWD/conf" --tmpdir "$PWD/tmp" \
    --reproducible --no-compress \
    --no-hostonly --no-hostonly-cmdline --no-early-microcode \
    --nofscks --nolvmconf --nomdadmconf --nostrip --nohardlink \
    --modules "systemd systemd-initrd systemd-modules-load systemd-repart systemd-sysctl \
        systemd-veritysetup dm kernel-modules imgbuild" \
    --drivers "$2" \
    ${3:+--install-optional "$3"} \
    "$PWD/initrd" "$1"
