#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What an update and an accident ask of a machine that is there: a disk that is too small, boot
# counting (a boot image whose root is missing says so, is tried twice and given up for the one before;
# one that comes up is marked good), a damaged /var, and a root in slot B on an enlarged disk.
#   slots.sh ARTIFACT KEY      as node.sh
set -u
. "$(dirname "$0")/lib.sh"
artifact=$1
DISK_SIZE=${DISK_SIZE:-200G} LARGER_DISK_SIZE=${LARGER_DISK_SIZE:-300G} BOOT_S=${BOOT_S:-600}
PATH=$PATH:/sbin:/usr/sbin
vm_need qemu-system-x86_64 zstd ssh sfdisk mcopy perl debugfs
[ -r "$artifact" ] || vm_skip "there is no '$artifact'"
dir=$(mktemp -d)
trap 'vm_kill; rm -rf "$dir"' EXIT
vm_open "$dir"
install -m 600 "$2" "$dir/key"

# partition N's value of a key in sfdisk's table, in sectors or as text
part() {
    sfdisk -J "$dir/disk.raw" 2>/dev/null | tr -d ' \n' | grep -o '{"node":[^}]*}' | sed -n "$1p" |
        sed "s/.*\"$2\":\"\{0,1\}\([^,\"}]*\).*/\1/"
}
table() {
    sfdisk -d "$dir/disk.raw" 2>/dev/null | grep '^/'
}
esp() {
    local tool=$1
    shift
    MTOOLS_SKIP_CHECK=1 "$tool" -i "$dir/disk.raw@@$(($(part 1 start) * 512))" "$@"
}
listing() {
    esp mdir -b ::EFI/Linux | sed 's|.*/||' | sort | xargs
}
restarts() { # -no-reboot: QEMU ends instead
    local i
    for ((i = 0; i < 120; i++)); do
        vm_running || return 0
        sleep 1
    done
    return 1
}

# --- a disk that the recipe's partitions do not fit on, and the shell to look at it
vm_unpack "$artifact" 8G || exit 1
before=$(table)
vm_start imgbuild.shell
ok "a disk that is too small: the system is not started" vm_wait "THE SYSTEM WAS NOT STARTED" "$BOOT_S"
ok "… for that reason" vm_wait "is the disk large enough" 10
ok "… in systemd-repart's words" vm_wait "Can't fit requested partitions" 10
ok "imgbuild.shell opens a shell on the console" timeout 60 \
    bash -c "until grep -aqE '^[^ ]*# ' '$dir/console'; do sleep 0.5; done"
vm_type 'echo "the shell counts $((6 * 7))"; exit'
ok "… that does what is typed" vm_wait "the shell counts 42" 60
ok "… and the machine restarts after it" vm_wait "restart in" 60
vm_kill
ok "the disk's partitions were not touched" equal "$before" "$(table)"

# --- a newer boot image whose root is nowhere
vm_unpack "$artifact" "$DISK_SIZE" || exit 1
good=$(listing)
ok "the image brings one boot image" matches '^[a-z]+_[0-9.]+\.efi$' "$good"
esp mcopy "::EFI/Linux/$good" "$dir/bad.efi"
perl -0777 -pi -e 's/roothash=[0-9a-f]{8}/roothash=00000000/' "$dir/bad.efi"
newer=${good%%_*}_9999.12.31
esp mcopy "$dir/bad.efi" "::EFI/Linux/$newer+2.efi"
# the good one counts too, as after an update
counted=${good%.efi}+3.efi
esp mren "::EFI/Linux/$good" "$counted"
for try in 1 2; do
    vm_start "systemd.default_device_timeout_sec=20"
    ok "try $try: the missing root is named" vm_wait \
        "no partition with the UUID 00000000-" "$BOOT_S"
    ok "… and the disks that are there" vm_wait "    nvme0n1  " 10
    ok "… and the machine restarts" vm_wait "restart in" 10
    ok "… by itself" restarts
    vm_kill
    ok "… after counting down" equal "$counted $newer+$((2 - try))-$try.efi" "$(listing)"
done
vm_start
ok "then the one before is started" vm_wait_ssh "$BOOT_S"
# LoaderEntrySelected of the Boot Loader Interface, without the counter; UTF-16 behind four bytes of
# attributes
ok "… by its name" equal "$good" "$(vm_ssh 'cat \
    /sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f | tail -c +5 | tr -d "\0"')"
ok "… and marked as good once all is started" vm_ssh 'timeout 300 sh -c "
    until [ \$(systemctl is-active systemd-bless-boot) = active ]; do sleep 2; done" &&
    systemctl is-active --quiet boot-complete.target multi-user.target'
ok "… and nothing failed" silent 'systemctl --failed --no-legend --plain'
vm_ssh 'echo kept >/var/lib/kept; mkdir /var/lib/damaged; echo found >/var/lib/damaged/lost' # for later
ok "off" vm_power_off 300
ok "a good boot image loses its counter, a bad one stays given up" \
    equal "$good $newer+0-2.efi" "$(listing)"

# --- /var damaged beyond what may be repaired unasked: a directory lost, with a file in it
debugfs() {
    command debugfs -w -R "$1" "$dir/disk.raw?offset=$(($(part 6 start) * 512))" 2>/dev/null
}
debugfs "clri /lib/damaged"
debugfs "set_super_value state 2" # has errors
vm_start
ok "a damaged /var is not run" vm_wait "e2fsck ended with exit status 4" "$BOOT_S"
ok "… and the cure is named" vm_wait "fsck.repair=yes" 10
ok "… and the machine restarts" vm_wait "restart in" 60
vm_kill

# --- what runs in slot A moves to slot B, and the disk to a larger one, where Ceph is not yet; the
# network's cable is forgotten
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
sfdisk -q --delete "$dir/disk.raw" 7
truncate -s "$LARGER_DISK_SIZE" "$dir/disk.raw"
before=$(table | head -n 5) var_start=$(part 6 start) var_size=$(part 6 size)
vm_start fsck.repair=yes
vm_monitor "set_link net off"
ok "without a cable the machine starts nevertheless" vm_wait "- Multi-User System." "$BOOT_S"
vm_monitor "set_link net on"
ok "… and is there when the cable is" vm_wait_ssh "$BOOT_S"
ok "a root in slot B runs" equal "nvme0n1p4 nvme0n1p5" "$(vm_ssh 'ls /sys/class/block/$(basename $(readlink -f /dev/mapper/root))/slaves | xargs')"
ok "… with the same /var" matches '^/dev/nvme0n1p6$' "$(vm_ssh 'findmnt -n -o SOURCE /var')"
ok "… that keeps its data" equal kept "$(vm_ssh 'cat /var/lib/kept')"
ok "… repaired" equal found "$(vm_ssh 'cat /var/lost+found/*')"
ok "… and grown to its partition's new size" vm_ssh '
    set -- $(findmnt -n -b -o SIZE,SOURCE /var)
    part=$(lsblk -bno SIZE "$2")
    [ "$1" -gt $((part / 100 * 95)) ] || { echo "$1 of $part"; exit 1; }'
ok "… and nothing else failed" silent \
    'systemctl --failed --no-legend --plain | grep -v ^systemd-networkd-wait-online'
ok "off" vm_power_off 300
ok "the slots are as before" equal "$before" "$(table | head -n 5)"
ok "/var's partition is where it was" equal "$var_start" "$(part 6 start)"
ok "… and larger" [ "$(part 6 size)" -gt $((var_size + 20 * 1024 * 1024 * 2)) ]
ok "Ceph's partition was made behind it" equal ceph "$(part 7 name)"
vm_result
