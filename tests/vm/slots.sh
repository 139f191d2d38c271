#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Slots and boot counting, as an update will use them: a boot image whose root is missing says so,
# is tried twice and given up for the one before; and a root in slot B runs like one in slot A.
#   slots.sh ARTIFACT KEY      as node.sh
set -u
. "$(dirname "$0")/lib.sh"
artifact=$1
DISK_SIZE=${DISK_SIZE:-200G} BOOT_S=${BOOT_S:-600}
PATH=$PATH:/sbin:/usr/sbin
vm_need qemu-system-x86_64 zstd ssh sfdisk mcopy perl
[ -r "$artifact" ] || vm_skip "there is no '$artifact'"
dir=$(mktemp -d)
trap 'vm_kill; rm -rf "$dir"' EXIT
vm_open "$dir"
install -m 600 "$2" "$dir/key"
vm_unpack "$artifact" "$DISK_SIZE" || exit 1

# partition N's value of a key in sfdisk's table, in sectors or as text
part() {
    sfdisk -J "$dir/disk.raw" 2>/dev/null | tr -d ' \n' | grep -o '{"node":[^}]*}' | sed -n "$1p" |
        sed "s/.*\"$2\":\"\{0,1\}\([^,\"}]*\).*/\1/"
}
esp() {
    local tool=$1
    shift
    MTOOLS_SKIP_CHECK=1 "$tool" -i "$dir/disk.raw@@$(($(part 1 start) * 512))" "$@"
}
listing() {
    esp mdir -b ::EFI/Linux | sed 's|.*/||' | sort | xargs
}

# --- a newer boot image whose root is nowhere
good=$(listing)
ok "the image brings one boot image" matches '^[a-z]+_[0-9.]+\.efi$' "$good"
esp mcopy "::EFI/Linux/$good" "$dir/bad.efi"
perl -0777 -pi -e 's/roothash=[0-9a-f]{8}/roothash=00000000/' "$dir/bad.efi"
newer=${good%%_*}_9999.12.31
esp mcopy "$dir/bad.efi" "::EFI/Linux/$newer+2.efi"
for try in 1 2; do
    vm_start "systemd.default_device_timeout_sec=60"
    ok "try $try: the missing root is named" vm_wait \
        "no partition with the UUID 00000000-" "$BOOT_S"
    ok "… and the disks that are there" vm_wait "    nvme0n1  " 10
    ok "… and the machine restarts" vm_wait "restart in" 10
    for ((i = 0; i < 120; i++)); do # -no-reboot: QEMU ends instead
        vm_running || break
        sleep 1
    done
    ok "… by itself" bash -c "! kill -0 $vm_pid 2>/dev/null"
    vm_kill
    ok "… after counting down" equal "$good $newer+$((2 - try))-$try.efi" "$(listing)"
done
vm_start
ok "then the one before is started" vm_wait_ssh "$BOOT_S"
# LoaderEntrySelected of the Boot Loader Interface, UTF-16 behind four bytes of attributes
ok "… by its name" equal "$good" "$(vm_ssh 'cat \
    /sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f | tail -c +5 | tr -d "\0"')"
ok "… and nothing failed" silent 'systemctl --failed --no-legend --plain'
ok "off" vm_power_off 300

# --- what runs in slot A moves to slot B
id=$(part 2 uuid) hash=$(part 3 uuid) label=$(part 2 name)
for pair in "2 4 $id" "3 5 $hash"; do
    set -- $pair
    dd if="$dir/disk.raw" of="$dir/disk.raw" bs=1M conv=notrunc,sparse status=none \
        iflag=skip_bytes,count_bytes oflag=seek_bytes \
        skip=$(($(part "$1" start) * 512)) seek=$(($(part "$2" start) * 512)) \
        count=$(($(part "$1" size) * 512))
    dd if=/dev/zero of="$dir/disk.raw" bs=1M count=1 conv=notrunc status=none \
        oflag=seek_bytes seek=$(($(part "$1" start) * 512))
    sfdisk -q --part-uuid "$dir/disk.raw" "$1" "$(cat /proc/sys/kernel/random/uuid)"
    sfdisk -q --part-label "$dir/disk.raw" "$1" _empty
    sfdisk -q --part-uuid "$dir/disk.raw" "$2" "$3"
    sfdisk -q --part-label "$dir/disk.raw" "$2" "$label"
done
before=$(sfdisk -d "$dir/disk.raw" | grep '^/')
vm_start
ok "a root in slot B runs" vm_wait_ssh "$BOOT_S"
ok "… from there" equal "nvme0n1p4 nvme0n1p5" "$(vm_ssh 'ls /sys/class/block/$(basename $(readlink -f /dev/mapper/root))/slaves | xargs')"
ok "… with the same /var" matches '^/dev/nvme0n1p6$' "$(vm_ssh 'findmnt -n -o SOURCE /var')"
ok "… and nothing failed" silent 'systemctl --failed --no-legend --plain'
ok "off" vm_power_off 300
ok "the partitions are as before" equal "$before" "$(sfdisk -d "$dir/disk.raw" | grep '^/')"
vm_result
