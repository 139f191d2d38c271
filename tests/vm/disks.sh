#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The gate to disks in a machine with all kinds of them: LVM on LUKS, an array, swap, btrfs on two
# disks, dm-verity, read-only, 4096-byte sectors, USB sticks that come and go. A kernel of the host's
# and a small initrd, no firmware: about a minute without KVM.
#   disks.sh DISK_GATE
set -eu
gate=$1
here=$(cd "$(dirname "$0")" && pwd)
. "$here/lib.sh"
PATH=$PATH:/sbin:/usr/sbin

tools="cryptsetup lvm mdadm mkfs.ext4 veritysetup"
for program in qemu-system-x86_64 busybox cpio python3 sfdisk mkfs.btrfs mksquashfs depmod modprobe $tools; do
    command -v "$program" >/dev/null || vm_skip "$program is not installed"
done
kernel=$(ls /boot/vmlinuz-* 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] && [ -r "$kernel" ] || vm_skip "there is no readable kernel in /boot"
release=${kernel#/boot/vmlinuz-}
[ -d "/lib/modules/$release" ] || vm_skip "there are no modules of $kernel"

dir=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true; rm -rf "$dir"' EXIT

### The initrd: busybox, the tools with their libraries, our program, and the modules
root=$dir/root
mkdir -p "$root"/{bin,sbin,etc,dev,proc,sys,tmp,run,mnt,lib64,lib/x86_64-linux-gnu}
cp "$(command -v busybox)" "$root/bin/"
ln -s ../bin/busybox "$root/sbin/modprobe" # where the kernel looks for it
cp "$gate" "$root/bin/disk_gate"
for tool in $tools; do cp "$(command -v $tool)" "$root/bin/"; done
for program in "$gate" $(for tool in $tools; do command -v $tool; done); do
    ldd "$program" | awk '/=> \// {print $3}'
done | sort -u | while read -r library; do cp -L "$library" "$root/lib/x86_64-linux-gnu/"; done
cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
# the ciphers and hashes first: others ask for them by an algorithm's name
modules="crc32c_generic sha256_generic xxhash_generic blake2b_generic xts ecb cbc aes_generic
    algif_skcipher algif_hash virtio_pci virtio_blk ahci sd_mod nvme xhci_pci usb_storage
    ext4 squashfs btrfs loop dm_mod dm_crypt dm_verity raid1"
for module in $modules; do
    modprobe -S "$release" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" {print $2}'
done | sort -u | while read -r file; do install -D -m 644 "$file" "$root$file"; done
cp "/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$root/lib/modules/$release/"
depmod -b "$root" "$release"
install -m 755 "$here/disks-guest.sh" "$root/init"

### The disks
image() { truncate -s "$2" "$dir/$1"; }
random() { head -c "$2" /dev/urandom >"$dir/$1"; }
image nvme 48M
printf 'label: gpt\nsize=4M,name=esp\nname=safe\n' | sfdisk -q "$dir/nvme"
random sata-a 16777216
printf 'label: dos\nsize=8M,type=82\n' | sfdisk -q "$dir/sata-a"
random sata-b 16777216
printf 'label: gpt\nsize=12M\n' | sfdisk -q "$dir/sata-b"
image sata-c 16M
random read-only 8388608
random large 16777216
image pool1 128M
image pool2 128M
mkfs.btrfs -q -d single -m single "$dir/pool1" "$dir/pool2" >"$dir/btrfs.log"
random usb1 16777216
random usb2 16777216
mkdir "$dir/usr"
cp /bin/true "$dir/usr/"
mksquashfs "$dir/usr" "$dir/usr.squashfs" -quiet -no-progress >/dev/null
veritysetup format "$dir/usr.squashfs" "$dir/usr.verity" >"$dir/verity.log"
image verity 8M
printf 'label: gpt\nsize=2M\nsize=2M\n' | sfdisk -q "$dir/verity"
dd if="$dir/usr.squashfs" of="$dir/verity" bs=1M seek=1 conv=notrunc status=none
dd if="$dir/usr.verity" of="$dir/verity" bs=1M seek=3 conv=notrunc status=none
{
    echo "ROOTHASH=$(awk '/^Root hash:/ {print $3}' "$dir/verity.log")"
    echo "MODULES='$(echo $modules)'"
} >"$root/etc/disks.conf"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$dir/initrd"
hashes() { (cd "$dir" && sha256sum read-only pool1 pool2 verity usb2); }
before=$(hashes)

### The machine
args=()
drive() { # NAME DEVICE,OPTIONS [DRIVE OPTIONS]
    args+=(-drive "if=none,id=$1,format=raw,cache=unsafe,discard=unmap,file=$dir/$1${3-}" -device "$2,drive=$1")
}
drive nvme nvme,serial=NVME1
drive sata-a "ide-hd,bus=ide.0,serial=SATA-A,model=TEST DISK WITH A LONG NAME"
drive sata-b ide-hd,bus=ide.1,serial=SATA-B
drive sata-c ide-hd,bus=ide.2,serial=SATA-C
drive read-only virtio-blk-pci,serial=RO1 ,readonly=on
drive large virtio-blk-pci,serial=K4,logical_block_size=4096,physical_block_size=4096
drive verity virtio-blk-pci,serial=VERITY1
drive pool1 virtio-blk-pci,serial=POOL1
drive pool2 virtio-blk-pci,serial=POOL2
args+=(-device "qemu-xhci,id=usb")
for n in 1 2; do
    args+=(-blockdev "driver=file,node-name=file$n,filename=$dir/usb$n"
        -blockdev "driver=raw,node-name=stick$n,file=file$n")
done
stick() { echo "usb-storage,id=dev$1,bus=usb.0,drive=stick$1,serial=USB$1,removable=on"; }
: >"$dir/console"
qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -machine q35,accel="${VM_ACCEL:-tcg}" \
    -cpu max -m 768 -kernel "$kernel" -initrd "$dir/initrd" -append "console=ttyS0 quiet panic=-1" \
    -serial "file:$dir/console" -monitor "unix:$dir/monitor,server=on,wait=off" \
    "${args[@]}" -device "$(stick 1)" </dev/null >"$dir/qemu.log" 2>&1 &
qemu=$!

monitor() {
    python3 - "$dir/monitor" "$1" <<'END'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
s.settimeout(1)
text = b""
try:
    while text.count(b"(qemu)") < 2:
        text += s.recv(4096)
except socket.timeout:
    pass
END
}

# Does what the machine asks for, in its order, until it is off.
done_requests=0
end=$((SECONDS + ${VM_TIMEOUT:-400}))
while kill -0 "$qemu" 2>/dev/null && [ $SECONDS -lt $end ]; do
    mapfile -t requests < <(tr -d '\r' <"$dir/console" | grep -a '^HOST ' || true)
    while [ $done_requests -lt ${#requests[@]} ]; do
        request=${requests[$done_requests]}
        case $request in
        "HOST unplug USB"?) monitor "device_del dev${request: -1}" ;;
        "HOST plug USB"?) monitor "device_add $(stick "${request: -1}")" ;;
        esac
        done_requests=$((done_requests + 1))
    done
    sleep 0.1
done

tr -d '\r' <"$dir/console" | grep -aE '^(ok |NOT OK |        |# )' || true
ok "bytes of the disks that were only refused are those from before" equal "$before" "$(hashes)"
ok "all checks were made" grep -aq "END OF CHECKS" "$dir/console"
ok "each of them passed" equal 0 "$(grep -ac '^NOT OK' "$dir/console")"
[ "$vm_failed" -eq 0 ] || vm_dir=$dir vm_console 80
vm_result
