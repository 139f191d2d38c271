#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A whole node by both sandbox engines, from separate caches: the same bytes. The node is the fixtures'
# tiny one with real packages (scriptlets, a dependency, a file capability): without KVM each stage
# takes the appliance a minute, and a real root many more.
#   engines.sh IMGBUILD TINY_NODE RPM_TREE
set -u
. "$(dirname "$0")/lib.sh"
imgbuild=$(realpath "$1") tiny=$(realpath "$2") rpm_tree=$(realpath "$3")
export SOURCE_DIR=$(cd "$(dirname "$0")/../.." && pwd) IB_TINY=$tiny
[ -d "$rpm_tree/repo" ] || vm_skip "there is no $rpm_tree/repo"
[ -f "$tiny/www/image.tar" ] || vm_skip "the fixture tiny-node is missing"
work=$(mktemp -d) && cd "$work" || exit 1
mkdir bin && ln -s "$imgbuild" bin/imgbuild && PATH=$work/bin:$PATH
. "$SOURCE_DIR/tests/fixtures/tiny-project"
trap 'kill $server; rm -rf "$work"' EXIT
set +o pipefail
tiny_project
cp -r "$rpm_tree/repo" www/
mkdir project/recipes/keys && cp "$rpm_tree/key.asc" project/recipes/keys/tiny.asc
cat >>project/recipes/bases/tar.yaml <<YAML
repositories:
  - {name: tiny, url: "$URL/tree/repo", key: recipes/keys/tiny.asc}
YAML
echo 'packages: [hello]' >>project/recipes/roles/control.yaml
imgbuild -q -C project lock tar >/dev/null || exit 1

for engine in namespace guestfs; do
    imgbuild -C project --cache $engine node odin --sandbox=$engine --output out-$engine
    status=$?
    [ $status -ne 10 ] || vm_skip "the engine $engine does not work here"
    ok "the engine $engine builds the node" equal 0 $status
done
ok "the package is in it" matches '"hello"' "$(cat out-guestfs/odin_*.json)"
ok "and was installed by its scriptlet" matches 'usr/share/hello/post' \
    "$(tar -tf guestfs/stages/packages/*/tree.tar)"
# Trees between stages carry the times of their making; what is made of them does not.
ok "the artifacts are the same" equal "$(sums out-namespace)" "$(sums out-guestfs)"
vm_result
