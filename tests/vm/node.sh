#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots a node's artifact twice, and a third time with one byte changed, and looks at everything that
# a node promises.
#   node.sh ARTIFACT KEY      KEY: an SSH key whose public half the image lets in as root
# Expected values are those of the node odin as docs and recipes describe it; each can be overridden:
#   NAME DOMAIN ADDRESS GATEWAY DNS TIMEZONE DISK_SIZE CEPH (yes/no) K3S (server, agent or none)
set -u
. "$(dirname "$0")/lib.sh"
artifact=$1
NAME=${NAME:-odin} DOMAIN=${DOMAIN:-asgard.example.org}
ADDRESS=${ADDRESS:-10.10.10.10/24} GATEWAY=${GATEWAY:-10.10.10.1}
DNS=${DNS:-10.10.10.1 1.1.1.1} TIMEZONE=${TIMEZONE:-Europe/Oslo}
DISK_SIZE=${DISK_SIZE:-200G} CEPH=${CEPH:-yes} K3S=${K3S:-server}
BOOT_S=${BOOT_S:-600}
vm_need qemu-system-x86_64 zstd ssh sfdisk
[ -r "$artifact" ] || vm_skip "there is no '$artifact'"

dir=$(mktemp -d)
trap 'vm_kill; rm -rf "$dir"' EXIT
vm_open "$dir"
install -m 600 "$2" "$dir/key"

boot() {
    vm_start "${2-}"
    if ! vm_wait_ssh "$BOOT_S"; then
        echo "NOT OK  $1: nobody can log in"
        vm_console 40
        exit 1
    fi
}

# --- the artifact is an ordinary zstd file
ok "plain zstd unpacks the artifact" vm_unpack "$artifact" "$DISK_SIZE"
ok "its partition table is sound but for the disk's new size" \
    bash -c "PATH=\$PATH:/sbin:/usr/sbin sfdisk --verify '$dir/disk.raw'"

# --- first boot
boot "first boot"
ok "multi-user.target is reached" vm_ssh 'timeout 300 sh -c "
    until [ \$(systemctl is-active multi-user.target) = active ]; do sleep 2; done"'
ok "no unit failed" silent 'systemctl --failed --no-legend --plain'
ok "/ is squashfs on dm-verity" equal "squashfs /dev/mapper/root" \
    "$(vm_ssh 'findmnt -n -o FSTYPE,SOURCE / | tr -s " "')"
ok "verity has seen no damage" matches '^V$|verity V' \
    "$(vm_ssh 'dmsetup status root 2>/dev/null || echo verity $(cat /sys/block/dm-0/dm/uuid | cut -c7-12 | sed s/VERITY/V/)')"
ok "/ is read-only" matches "Read-only file system" "$(vm_ssh 'touch /usr/x 2>&1')"
ok "the mount option says so" matches '(^|,)ro(,|$)' "$(vm_ssh 'findmnt -n -o OPTIONS /')"
ok "the host name" equal "$NAME" "$(vm_ssh 'hostname -s')"
ok "/etc/hostname is the identity's" equal "$NAME" "$(vm_ssh 'cat /etc/hostname')"
ok "the address, and no other" equal "$ADDRESS" \
    "$(vm_ssh 'ip -4 -br address show scope global | tr -s " " | cut -d" " -f3- | sed "s/ *$//"')"
ok "the default route" matches "^default via $GATEWAY dev [a-z0-9]+ proto static" \
    "$(vm_ssh 'ip -4 route show default')"
ok "the name servers" equal "$DNS" \
    "$(vm_ssh 'sed -n "s/^nameserver //p" /etc/resolv.conf | xargs')"
ok "the resolver knows them" matches "${DNS// /.*}" "$(vm_ssh 'resolvectl dns')"
ok "network-online.target waits for the link" vm_ssh '
    link=$(journalctl -b -q -u systemd-networkd -o short-monotonic | grep "Gained carrier" |
        tail -n 1 | sed "s/^\[ *\([0-9]*\)\.\([0-9]*\)\].*/\1\2/")
    online=$(systemctl show -P ActiveEnterTimestampMonotonic network-online.target)
    [ "${link:-0}" -gt 0 ] && [ "$online" -gt "$link" ] || { echo "link $link, online $online"; exit 1; }'
ok "the time zone" equal "/usr/share/zoneinfo/$TIMEZONE" "$(vm_ssh 'readlink -f /etc/localtime')"
ok "IMAGE_ID is the node" matches "^IMAGE_ID=\"?$NAME\"?$" "$(vm_ssh 'grep ^IMAGE_ /etc/os-release')"

# --- partitions
table=$(vm_ssh 'lsblk -rno NAME,SIZE,FSTYPE,PARTLABEL --bytes /dev/nvme0n1')
ok "slot B is there, and free" matches '^2 _empty$' \
    "$(vm_ssh 'lsblk -rno PARTLABEL /dev/nvme0n1 | grep -c "^_empty$" | sed "s/$/ _empty/"')"
sizes=$(vm_ssh 'lsblk -brno PARTTYPENAME,SIZE /dev/nvme0n1')
ok "slot B's root is as large as slot A's" equal 1 \
    "$(grep -i '^Linux\\x20root\\x20(x86-64)\ ' <<<"$sizes" | sort -u | wc -l)"
ok "/var is ext4 on the same disk" matches '^ext4 /dev/nvme0n1p' \
    "$(vm_ssh 'findmnt -n -o FSTYPE,SOURCE /var | tr -s " "')"
ok "/var fills its partition" vm_ssh '
    set -- $(findmnt -n -b -o SIZE,SOURCE /var)
    part=$(lsblk -bno SIZE "$2")
    [ "$1" -gt $((part / 100 * 95)) ] || { echo "$1 of $part"; exit 1; }'
ok "the partitions fill the disk" vm_ssh '
    set -- $(cat /sys/block/nvme0n1/size \
        $(ls -d /sys/block/nvme0n1/nvme0n1p* | sort -V | tail -n 1)/{start,size})
    [ $(($1 - $2 - $3)) -lt 8192 ] || { echo "disk $1, last partition $2+$3"; exit 1; }'
if [ "$CEPH" = yes ]; then
    ok "Ceph's partition is there, and raw" silent '
        device=/dev/$(lsblk -rno NAME,PARTLABEL | sed -n "s/ ceph$//p")
        [ -b "$device" ] && blkid -p -o value -s TYPE "$device"'
    ok "… under its label" matches ' ceph$' "$table"
else
    ok "no partition for Ceph" bash -c "! grep -q ' ceph\$' <<<'$table'"
fi
for d in home root opt srv mnt; do
    ok "/$d lives in /var" matches "\[/$d\]" "$(vm_ssh "findmnt -n -o SOURCE /$d")"
done
ok "/etc is an overlay in RAM" equal "overlay" "$(vm_ssh 'findmnt -n -o FSTYPE /etc')"

# --- k3s
case $K3S in
server) unit=k3s.service ;;
agent) unit=k3s-agent.service ;;
*) unit= ;;
esac
if [ -n "$unit" ]; then
    config=$(vm_ssh 'cat /etc/rancher/k3s/config.yaml')
    ok "$unit is enabled" equal enabled "$(vm_ssh "systemctl is-enabled $unit")"
    ok "$unit is sound" silent "[ ! -x /usr/bin/k3s ] || systemd-analyze verify $unit 2>&1"
    ok "config.yaml: node-name" matches "^node-name: \"?$NAME\"?$" "$config"
    ok "config.yaml: node-ip" matches "^node-ip: \"?${ADDRESS%/*}\"?$" "$config"
    ok "config.yaml: the token is a file" matches "^token-file: /var/lib/imgbuild/secrets/" "$config"
    ok "config.yaml: root's alone" equal "600 root" \
        "$(vm_ssh 'stat -c "%a %U" /etc/rancher/k3s/config.yaml')"
fi
if [ "$K3S" = server ]; then
    ok "config.yaml: advertise-address" matches "^advertise-address: \"?${ADDRESS%/*}\"?$" "$config"
    ok "config.yaml: the VIP in tls-san" matches '^ *- "?10\.10\.10\.100"?$' "$config"
    ok "config.yaml: traefik, servicelb, local-storage off" equal "local-storage servicelb traefik" \
        "$(grep -Eo '(traefik|servicelb|local-storage)' <<<"$config" | sort -u | xargs)"
    ok "config.yaml: secrets-encryption" matches "^secrets-encryption: true$" "$config"
elif [ "$K3S" = agent ]; then
    ok "config.yaml: joins the VIP" matches '^server: "?https://10\.10\.10\.100:6443"?$' "$config"
fi

# --- what stays and what goes
id=$(vm_ssh 'cat /etc/machine-id')
key=$(vm_ssh 'cat /etc/ssh/ssh_host_ed25519_key.pub')
ok "the machine has an id" matches '^[0-9a-f]{32}$' "$id"
ok "only keys open the door" equal "no no" \
    "$(vm_ssh 'sshd -T 2>/dev/null | sed -n "s/^\(passwordauthentication\|kbdinteractiveauthentication\) //p" | xargs')"
ok "changes can be made" vm_ssh '
    echo drift >/etc/drift && echo drift >>/etc/hosts && rm /etc/hostname &&
    echo kept >/var/lib/kept && echo kept >/root/kept && echo kept >/etc/rancher/node/password'
ok "a file of /etc that persists is taken at once" vm_ssh '
    file=$(grep "^/etc/.*[^/]$" /run/imgbuild/persist | grep -v -e /machine-id -e ssh_host_ |
        head -n 1)
    [ -n "$file" ] || exit 0
    mkdir -p "${file%/*}" && echo "# kept" >>"$file"
    for i in $(seq 60); do
        cmp -s "$file" "/var/lib/imgbuild/persist$file" && exit 0
        sleep 1
    done
    echo "$file"; systemctl status --no-pager imgbuild-persist.path; exit 1'
before=$(wc -c <"$dir/console")
ok "the machine goes off in order" vm_power_off 300
ok "and nothing failed on the way" equal "" \
    "$(tail -c +"$before" "$dir/console" | grep -aE 'FAILED|Failed unmounting' | cut -c1-120)"

# --- second boot
boot "second boot"
ok "changes to /etc are gone" vm_ssh '[ ! -e /etc/drift ] && ! grep drift /etc/hosts'
ok "what was removed from /etc is back" equal "$NAME" "$(vm_ssh 'cat /etc/hostname')"
ok "/var stays" equal kept "$(vm_ssh 'cat /var/lib/kept')"
ok "/root stays" equal kept "$(vm_ssh 'cat /root/kept')"
ok "/etc/rancher/node stays" equal kept "$(vm_ssh 'cat /etc/rancher/node/password')"
ok "the machine id stays" equal "$id" "$(vm_ssh 'cat /etc/machine-id')"
ok "the SSH host key stays" equal "$key" "$(vm_ssh 'cat /etc/ssh/ssh_host_ed25519_key.pub')"
ok "a file of /etc that persists stays" vm_ssh '
    file=$(grep "^/etc/.*[^/]$" /run/imgbuild/persist | grep -v -e /machine-id -e ssh_host_ |
        head -n 1)
    [ -z "$file" ] || grep -q "^# kept$" "$file"'
ok "the journal holds both boots" equal 2 "$(vm_ssh 'journalctl --list-boots -q | grep -Ec "^ *-?[0-9]+ [0-9a-f]{32} "')"
ok "and the initrd's part of this one" vm_ssh 'journalctl -b -q -o cat | grep -q "the root is on /dev/"'
ok "nothing was partitioned again" equal "$table" \
    "$(vm_ssh 'lsblk -rno NAME,SIZE,FSTYPE,PARTLABEL --bytes /dev/nvme0n1')"
ok "no unit failed" silent 'systemctl --failed --no-legend --plain'
vm_kill

# --- one byte, inside the first block of the root's inode table, which nothing can do without
start=$(PATH=$PATH:/sbin:/usr/sbin sfdisk -J "$dir/disk.raw" |
    tr -d ' \n' | grep -o '"start":[0-9]*' | sed -n '2s/.*://p')
offset=$((start * 512))
inodes=$(od -An -tu8 -j $((offset + 64)) -N 8 "$dir/disk.raw" | tr -d ' ') # squashfs superblock
at=$((offset + inodes + 100))
byte=$(od -An -tu1 -j $at -N 1 "$dir/disk.raw" | tr -d ' ')
printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$dir/disk.raw" bs=1 seek=$at conv=notrunc status=none
vm_start
ok "one flipped byte is seen" vm_wait "is corrupted" "$BOOT_S"
ok "and the machine refuses to run" vm_wait "dm-verity device corrupted" 60
sleep 5
ok "it never gets to log in" bash -c "! grep -aq 'login:' '$dir/console'"
vm_kill
vm_result
