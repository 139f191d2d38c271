#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Pulls the plug of a node at several instants of its first boot. Each time the next boot must put its
# file systems together; after the last one the machine must be whole.
#   interrupted.sh ARTIFACT KEY IMGBUILD [INSTANT…]   as node.sh; seconds after the agent found its disk
set -u
. "$(dirname "$0")/lib.sh"
artifact=$1
DISK_SIZE=${DISK_SIZE:-200G} BOOT_S=${BOOT_S:-600}
vm_need qemu-system-x86_64 zstd ssh
[ -r "$artifact" ] || vm_skip "there is no '$artifact'"
dir=$(mktemp -d)
trap 'vm_kill; rm -rf "$dir"' EXIT
vm_open "$dir"
install -m 600 "$2" "$dir/key"
imgbuild=$3
shift 3
[ $# -gt 0 ] || set -- 0 1 3 6 10

done_text="what persists are in place"
ok "flashed to a disk that was not empty" vm_flash "$imgbuild" "$artifact" "$DISK_SIZE" || exit 1
mv "$dir/disk.raw" "$dir/fresh.raw"
for instant; do
    cp --sparse=always "$dir/fresh.raw" "$dir/disk.raw"
    vm_start
    if ! vm_wait "the root is on /dev/" "$BOOT_S"; then
        vm_console
        exit 1
    fi
    sleep "$instant"
    seen=$(grep -a "imgbuild: " "$dir/console" | tail -n 1 | sed 's/.*imgbuild: //' | tr -d '\r')
    vm_kill
    vm_start
    ok "cut off ${instant} s later (\"$seen\"): the next boot completes" vm_wait "$done_text" "$BOOT_S"
    ok "… without a complaint" bash -c "! grep -a -A3 'cannot start' '$dir/console'"
done
if ! vm_wait_ssh "$BOOT_S"; then
    echo "NOT OK  the last machine lets its operator in"
    vm_console
    exit 1
fi
ok "it has an id" matches '^[0-9a-f]{32}$' "$(vm_ssh 'cat /etc/machine-id')"
ok "its key belongs together" vm_ssh '
    cd /etc/ssh && [ "$(ssh-keygen -y -f ssh_host_ed25519_key)" = "$(cut -d" " -f1-2 ssh_host_ed25519_key.pub)" ]'
ok "no leftovers" silent 'ls -d /var/.new-* /var/lib/imgbuild/persist/etc/ssh/.new 2>/dev/null'
ok "nothing failed" silent 'systemctl --failed --no-legend --plain'
vm_kill
vm_result
