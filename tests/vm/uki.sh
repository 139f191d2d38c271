#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots an artifact that the image layer made, unpacked by plain zstd, in QEMU with OVMF:
# firmware, systemd-boot, UKI, kernel, initrd and the identity behind it.
#   uki.sh MAKE_IMAGE
set -eu
make_image=$1

skip() {
    echo "skipped: $*"
    exit 77
}

efi=/usr/lib/systemd/boot/efi
stub=$efi/linuxx64.efi.stub
boot=$efi/systemd-bootx64.efi
[ -r "$stub" ] && [ -r "$boot" ] || skip "systemd-boot-efi is not installed"
kernel=$(ls /boot/vmlinuz-*-amd64 /lib/modules/*/vmlinuz 2>/dev/null | sort -V | tail -n 1)
[ -n "$kernel" ] && [ -r "$kernel" ] || skip "there is no readable kernel in /boot"
busybox=$(command -v busybox) || skip "busybox is not installed"
for program in qemu-system-x86_64 zstd cpio mkfs.fat mcopy sfdisk; do
    PATH=$PATH:/sbin:/usr/sbin command -v $program >/dev/null || skip "$program is not installed"
done
firmware=/usr/share/OVMF/OVMF_CODE_4M.fd
[ -r $firmware ] || skip "ovmf is not installed"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

mkdir -p "$dir/root/"{bin,proc,etc,dev}
cp "$busybox" "$dir/root/bin/busybox"
cat >"$dir/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox echo "BOOTED host=$(/bin/busybox cat /etc/hostname) $(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
END
chmod 755 "$dir/root/init"
(cd "$dir/root" && find . | cpio -o -H newc --quiet >"$dir/initrd")

"$make_image" "$dir" "$stub" "$boot" "$kernel" "$dir/initrd"
zstd -dq "$dir/test.img.zst" -o "$dir/disk.raw"
PATH=$PATH:/sbin:/usr/sbin sfdisk --verify "$dir/disk.raw"
cp /usr/share/OVMF/OVMF_VARS_4M.fd "$dir/vars.fd"

timeout 300 qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
    -machine q35,accel=tcg -cpu max -m 1024 -serial "file:$dir/console" -net none \
    -drive if=pflash,format=raw,unit=0,readonly=on,file=$firmware \
    -drive if=pflash,format=raw,unit=1,file="$dir/vars.fd" \
    -drive if=none,id=disk,format=raw,file="$dir/disk.raw" -device virtio-blk-pci,drive=disk ||
    echo "the machine did not power off"

grep -a "BOOTED" "$dir/console" || {
    tail -c 4000 "$dir/console"
    exit 1
}
grep -aq "BOOTED host=odin console=ttyS0 .*imgbuild.test=yes" "$dir/console"
