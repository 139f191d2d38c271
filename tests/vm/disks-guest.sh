#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The machine's side of disks.sh: its init. Each check is a line "ok …" or "NOT OK …"; "HOST …" asks
# the other side to plug or unplug something.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin LD_LIBRARY_PATH=/lib/x86_64-linux-gnu
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /run/lock/lvm /run/cryptsetup /mnt/lvm /mnt/pool /usr
exec </dev/null >/dev/console 2>&1
echo 1 >/proc/sys/kernel/printk
. /etc/disks.conf
for module in $MODULES; do modprobe $module || echo "# no module $module"; done

report() { # NAME PASSED OUTPUT
    if [ "$2" = 1 ]; then
        echo "ok      $1"
    else
        echo "NOT OK  $1"
        echo "$3" | sed 's/^/        /'
    fi
}

hash_of() {
    sync
    echo 3 >/proc/sys/vm/drop_caches
    md5sum <"$1"
}

# The disk with this serial number, as our own listing finds it.
find_disk() {
    local disk try
    for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        for disk in /sys/block/nvme* /sys/block/sd* /sys/block/vd*; do
            [ -e "$disk" ] || continue
            if disk_gate look /dev/${disk##*/} | grep -q " serial=$1 "; then
                echo /dev/${disk##*/}
                return
            fi
        done
        sleep 0.5
    done
    echo "/dev/no-disk-$1"
}

# refused NAME DISK WORDS: opening fails with the status of a refusal, these words among others, and
# no byte of the disk is another one
refused() {
    local before after out status passed=0
    before=$(hash_of "$2")
    out=$(disk_gate open "$2")
    status=$?
    after=$(hash_of "$2")
    [ $status = 12 ] && [ "$before" = "$after" ] && [ -n "$before" ] &&
        echo "$out" | grep -qE "refused: .*$3" && echo "$out" | grep -q '^try: ' && passed=1
    report "$1" $passed "status $status, $before $after: $out"
}

# opens NAME DISK WORDS
opens() {
    local out passed=0
    out=$(disk_gate open "$2") && echo "$out" | grep -qE "$3" && passed=1
    report "$1" $passed "$out"
}

host() {
    echo "HOST $*"
}

wait_gone() {
    while [ -e "/sys/block/${1#/dev/}" ]; do sleep 0.1; done
}

nvme=$(find_disk NVME1) a=$(find_disk SATA-A) b=$(find_disk SATA-B) c=$(find_disk SATA-C)
read_only=$(find_disk RO1) large=$(find_disk K4) verity=$(find_disk VERITY1)
pool1=$(find_disk POOL1) pool2=$(find_disk POOL2) usb=$(find_disk USB1)
echo "# $nvme $a $b $c $read_only $large $verity $pool1 $pool2 $usb"

opens "a disk whose name and transport are told (NVMe)" $nvme 'model=QEMU NVMe Ctrl serial=NVME1 transport=nvme .* removable=0'
opens "SATA" $a 'model=TEST DISK WITH A LONG NAME serial=SATA-A transport=sata'
opens "a USB stick is removable" $usb 'serial=USB1 transport=usb .* removable=1'

# LVM on LUKS on a partition, mounted
echo -n secret >/tmp/key
cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
    --luks2-keyslots-size 256k --luks2-metadata-size 16k ${nvme}p2 /tmp/key &&
    cryptsetup open --key-file /tmp/key ${nvme}p2 safe &&
    lvm pvcreate -q -y /dev/mapper/safe && lvm vgcreate -q vg /dev/mapper/safe &&
    lvm lvcreate -q -y -Wn -Zn -L 8M -n data vg || echo "# LVM on LUKS failed"
# without udev nobody makes LVM's nodes; the kernel's own is there
volume=$(grep -lx vg-data /sys/block/dm-*/dm/name)
volume=/dev/$(echo "$volume" | cut -d / -f 4)
mkfs.ext4 -q $volume >/dev/null && mount -t ext4 -o ro $volume /mnt/lvm || echo "# no file system on $volume"
refused "LVM on LUKS, mounted" $nvme "/dev/mapper/vg-data, which lies on ${nvme}p2, is mounted on '/mnt/lvm'"
umount /mnt/lvm
refused "LVM on LUKS, not mounted" $nvme "${nvme}p2 is in use by the open encrypted volume /dev/mapper/safe"
lvm vgchange -q -an vg
refused "LUKS, open" $nvme "${nvme}p2 is in use by the open encrypted volume /dev/mapper/safe"
cryptsetup close safe
opens "LUKS, closed again: what would be lost is named" $nvme 'contents: gpt table with 2 partitions: 1 .esp. .*, 2 .*\(crypto_LUKS\)'

# swap on a partition
mkswap ${a}1 >/dev/null
swapon ${a}1
refused "swap on a partition" $a "${a}1 is swap space in use"
swapoff ${a}1
opens "swap that is not used" $a '1 \(swap\)'

# members of an array
mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 --metadata=1.2 ${b}1 $c 2>/dev/null ||
    echo "# mdadm failed"
refused "a partition is a member of an array" $b "${b}1 is in use by the MD array /dev/md0"
refused "the disk is a member of an array" $c "$c is in use by the MD array /dev/md0"
mdadm --stop /dev/md0 2>/dev/null
opens "a member of an array that is stopped" $c 'linux_raid_member'

# a btrfs on two disks: mountinfo names one of them
mount -t btrfs -o ro,device=$pool1,device=$pool2 $pool1 /mnt/pool || echo "# btrfs failed"
refused "the first disk of a btrfs" $pool1 "$pool1 is mounted on '/mnt/pool'"
refused "the second disk of a btrfs" $pool2 "$pool2 is mounted on '/mnt/pool'"
umount /mnt/pool

# the running system, as our nodes have it: squashfs on dm-verity
veritysetup open ${verity}1 usr ${verity}2 $ROOTHASH && mount -t squashfs -o ro /dev/mapper/usr /usr ||
    echo "# verity failed"
refused "the running system, on dm-verity" $verity "this system runs from it: /dev/mapper/usr, which lies on ${verity}[12], is mounted on '/usr'"
disk_gate look $verity | grep -q system=1
report "and no option may lift that" $((1 - $?)) "$(disk_gate look $verity)"

refused "a read-only disk" $read_only "$read_only is read-only"
refused "a partition" ${b}1 "${b}1 is a partition, not a whole disk"

out=$(disk_gate fill $large)
echo "$out" | grep -q 'block=4096' && echo "$out" | grep -q 'filled: direct=1 cheap=1 written=0'
report "4096-byte sectors: written, cleared by the device, read back" $((1 - $?)) "$out"
out=$(disk_gate fill $usb)
echo "$out" | grep -q 'filled: direct=1 .*'
report "a USB stick: written, cleared, read back" $((1 - $?)) "$out"

# unplugged between the look and the opening
disk_gate later $usb /tmp/go1 >/tmp/out1 &
pid=$!
until grep -q looked /tmp/out1; do sleep 0.1; done
host unplug USB1
wait_gone $usb
touch /tmp/go1
wait $pid
status=$?
[ $status = 4 ] && grep -q 'error: .*No such file' /tmp/out1 && [ ! -e $usb ]
report "unplugged: not found, and no file below /dev" $((1 - $?)) "$status $(cat /tmp/out1)"

# another stick of the same make takes its name
host plug USB1
usb=$(find_disk USB1)
disk_gate later $usb /tmp/go2 >/tmp/out2 &
pid=$!
until grep -q looked /tmp/out2; do sleep 0.1; done
host unplug USB1
wait_gone $usb
host plug USB2
other=$(find_disk USB2)
touch /tmp/go2
wait $pid
status=$?
[ "$other" = "$usb" ] && [ $status = 12 ] && grep -q 'no longer the disk that was shown' /tmp/out2
report "another stick under the same name ($usb)" $((1 - $?)) "$other $status $(cat /tmp/out2)"

# both, and their names swapped
host plug USB1
first=$(find_disk USB2) second=$(find_disk USB1)
disk_gate later $second /tmp/go3 >/tmp/out3 &
pid=$!
until grep -q looked /tmp/out3; do sleep 0.1; done
host unplug USB2
wait_gone $first
host unplug USB1
wait_gone $second
host plug USB1
find_disk USB1 >/dev/null
host plug USB2
now=$(find_disk USB2)
touch /tmp/go3
wait $pid
status=$?
[ "$now" = "$second" ] && [ $status = 12 ] && grep -q 'no longer the disk that was shown' /tmp/out3
report "names that are swapped ($first, $second)" $((1 - $?)) "$now $status $(cat /tmp/out3)"

echo "END OF CHECKS"
sync
poweroff -f
