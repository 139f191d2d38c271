#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds odin on the Debian base, from a copy of the project whose operator is the test's own key.
#   make_odin.sh IMGBUILD DIR      writes DIR/odin.img.zst and DIR/key
# The payloads come from hosts that a test must not depend on and are left out.
set -u
. "$(dirname "$0")/lib.sh"
imgbuild=$(realpath "$1") dir=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
vm_need qemu-system-x86_64 zstd ssh ssh-keygen
[ -f "$source/recipes/imgbuild.lock" ] || vm_skip "the project has no lock yet"
mkdir -p "$dir/out" && cd "$dir" || exit 1
rm -rf project out/*
mkdir project
cp -a "$source/recipes" "$source/overlays" "$source/firmware" project/ || exit 1
[ -f key ] || ssh-keygen -q -t ed25519 -N '' -C test -f key || exit 1
sed -i "s|^  authorized_keys: \[\]|  authorized_keys: [\"$(cat key.pub)\"]|" project/recipes/cluster.yaml
grep -q "$(cut -d' ' -f2 key.pub)" project/recipes/cluster.yaml ||
    { echo "cluster.yaml has no empty ssh.authorized_keys to put the key into"; exit 1; }
build() {
    "$imgbuild" -C project node odin --base debian-13 \
        --without k3s,k3s-airgap-images,argocd --output "$PWD/out"
}
build
status=$?
if [ $status -eq 9 ] && "$imgbuild" -C project lock debian-13; then
    echo "the mirror no longer has what the lock names: built from today's packages"
    build
    status=$?
fi
[ $status -ne 9 ] || vm_skip "no mirror could be reached"
[ $status -eq 0 ] || exit $status
mv out/odin_*.img.zst odin.img.zst
