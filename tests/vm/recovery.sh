#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A recovery stick with odin and freyja: an empty machine installs itself from it without a question
# and goes off, then starts odin from its disk alone; the stick's second entry is a rescue shell,
# from which the machine is installed again, with the question asked.
#   recovery.sh IMGBUILD DIR      DIR is make_odin.sh's
set -u
. "$(dirname "$0")/lib.sh"
imgbuild=$(realpath "$1") odin=$(realpath "$2")
BOOT_S=${BOOT_S:-600}
PATH=$PATH:/sbin:/usr/sbin
vm_need qemu-system-x86_64 mcopy sfdisk perl
[ -r "$odin/odin.img.zst" ] || vm_skip "there is no '$odin/odin.img.zst'"
dir=$(mktemp -d)
trap 'vm_kill; rm -rf "$dir"' EXIT
vm_open "$dir"
mkdir "$dir/out"
ln -s "$odin/odin.img.zst" "$dir/out/odin_1.img.zst"
if [ -r "$odin/freyja.img.zst" ]; then
    ln -s "$odin/freyja.img.zst" "$dir/out/freyja_1.img.zst"
else # its root is odin's
    "$imgbuild" -C "$odin/project" node freyja --base debian-13 --quiet \
        --without k3s,k3s-airgap-images,argocd --output "$dir/out" || exit 1
fi

# --- the stick
recovery() {
    "$imgbuild" -C "$odin/project" recovery "$@" odin freyja --base debian-13 \
        --output "$dir/out" --quiet
}
SECONDS=0
ok "the stick is made" recovery "$dir/stick.img"
echo "        in $SECONDS s"
[ -r "$dir/stick.img" ] || vm_result || exit 1
ok "what is there stays" bash -c "! '$imgbuild' -C '$odin/project' recovery '$dir/stick.img' odin \
    --base debian-13 --output '$dir/out' --quiet 2>/dev/null"
ok "its table is sound" sfdisk --verify "$dir/stick.img"
two=$(cat "$dir"/out/*.img.zst | wc -c)
ok "what the nodes share is there once" [ "$(wc -c <"$dir/stick.img")" -lt $((two * 2 / 3)) ]
recovery "$dir/again.img" >/dev/null
ok "made again, it is the same" cmp "$dir/stick.img" "$dir/again.img"
rm -f "$dir/again.img"

truncate -s 600M "$dir/loop"
if loop=$(losetup -f --show "$dir/loop" 2>/dev/null); then
    ok "a loop device is no stick unless asked for" bash -c "! '$imgbuild' -C '$odin/project' recovery \
        $loop odin freyja --base debian-13 --output '$dir/out' --quiet --yes 2>/dev/null"
    ok "… and was not written" cmp -n 1048576 "$dir/loop" /dev/zero
    ok "onto a device" recovery "$loop" --any-device --yes
    start=$(sfdisk -J "$loop" | tr -d ' \n' | sed 's/.*"start":\([0-9]*\).*/\1/')
    ok "… all of its data" cmp -i $((start * 512)) -n $(($(wc -c <"$dir/stick.img") - start * 512 - 1048576)) \
        "$dir/stick.img" "$dir/loop"
    ok "… with its table at the device's end" sfdisk --verify "$loop"
    losetup -d "$loop"
fi
rm -f "$dir/loop"

truncate -s 200G "$dir/disk.raw"
usb=(-device qemu-xhci -drive "if=none,id=stick,format=raw,file=$dir/stick.img"
    -device "usb-storage,drive=stick,removable=on,bootindex=0")
gone() {
    local end=$((SECONDS + $1))
    while vm_running; do
        [ $SECONDS -lt "$end" ] || return 1
        sleep 0.5
    done
}

# --- nobody is asked
VM_EXTRA=("${usb[@]}")
vm_start imgbuild.install=yes
ok "the stick starts and knows the machine" vm_wait "this machine is 'odin'" "$BOOT_S"
ok "it is installed" vm_wait "is on /dev/nvme0n1" "$BOOT_S"
ok "and goes off" gone 60
[ "$vm_failed" -eq 0 ] || { vm_console 60; vm_result; exit 1; }
ok "the disk is what odin's image says" "$imgbuild" verify "$dir/disk.raw" \
    --image "$odin/odin.img.zst"
vm_kill

# --- the disk alone
VM_EXTRA=()
vm_start
ok "odin starts from its disk" vm_wait "odin login:" "$BOOT_S"
vm_kill

# --- the rescue entry
esp=$dir/stick.img@@$(($(sfdisk -J "$dir/stick.img" | tr -d ' \n' |
    sed 's/.*"start":\([0-9]*\).*"start".*/\1/') * 512))
printf 'timeout 0\ndefault rescue.conf\n' >"$dir/loader.conf"
MTOOLS_SKIP_CHECK=1 mcopy -o -i "$esp" "$dir/loader.conf" ::loader/loader.conf
VM_EXTRA=("${usb[@]}")
vm_start
ok "the rescue shell says what is there" vm_wait "Nothing is mounted." "$BOOT_S"
ok "… the disk, with odin on it" bash -c "grep -a -A2 '/dev/nvme0n1 ' '$dir/console' | grep -q control_"
ok "… and both nodes" bash -c "grep -aq '^  odin .*disk: type=nvme' '$dir/console' &&
    grep -aq '^  freyja ' '$dir/console'"
vm_type 'ls -d /dev/nvme0n1p[23]; echo $((6 * 7)) is the answer'
ok "… and is one" vm_wait "42 is the answer" 60
vm_type 'imgbuild-installer install odin'
ok "an installation asks" vm_wait "Type odin or nvme0n1 to overwrite it:" 60
ok "… and says what is lost" grep -aq "^loses .*control_" "$dir/console"
vm_type freyja
ok "… and writes nothing without the answer" vm_wait "nothing was written" 60
vm_type 'imgbuild-installer install'
sleep 5
vm_type odin
ok "… and installs with it" vm_wait "is on /dev/nvme0n1" 300
vm_type 'poweroff -f'
ok "off" gone 60
ok "the disk is odin's again" "$imgbuild" verify "$dir/disk.raw" --image "$odin/odin.img.zst"
[ "$vm_failed" -eq 0 ] || vm_console 60
vm_result
