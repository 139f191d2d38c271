#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All six images, built twice under different circumstances, the second time killed again and again:
# the same bytes; and what a change makes anew.
#   build.sh IMGBUILD DIR      works in DIR, which it empties
# The first build runs with another umask, locale, time zone and directory than the second. As root
# with CI=true a third one runs as an unprivileged user.
set -u
. "$(dirname "$0")/lib.sh"
imgbuild=$(realpath "$1") dir=$2
source=$(cd "$(dirname "$0")/../.." && pwd)
[ -f "$source/recipes/imgbuild.lock" ] || vm_skip "the project has no lock yet"
rm -rf "$dir" && mkdir -p "$dir/first/deep/er" "$dir/second" && cd "$dir" || exit 1
export SOURCE_DATE_EPOCH=1795305600
unset IMGBUILD_CACHE
args=(--base debian-13 --without "k3s,k3s-airgap-images,argocd")

copy_project() { # DIR
    mkdir -p "$1" && cp -a "$source/recipes" "$source/overlays" "$source/firmware" "$1/"
}
run() { # CACHE PROJECT ARGUMENTS…
    local cache=$1 project=$2
    shift 2
    "$imgbuild" --cache "$cache" -C "$project" "$@"
}
sums() { sort "$1/out/SHA256SUMS"; }

copy_project first/deep/er/project
copy_project second/project
if ! run first/cache first/deep/er/project fetch "${args[@]}" -q; then
    run first/cache first/deep/er/project lock debian-13 || vm_skip "no mirror could be reached"
    cp first/deep/er/project/recipes/imgbuild.lock second/project/recipes/
fi

# --- first
(umask 077 && LC_ALL=C TZ=Pacific/Auckland run first/cache first/deep/er/project node --all "${args[@]}")
ok "all six images are built" equal 6 "$(find first/deep/er/project/out -name '*.img.zst' | wc -l)"
ok "their checksums are right" bash -c "cd first/deep/er/project/out && sha256sum --quiet -c SHA256SUMS"

# --- second: killed at ten instants on its way
mirror=$PWD/first/cache/blobs
for seconds in 1 2 3 5 7 9 12 15 19 24; do
    (umask 000 && LC_ALL=C.UTF-8 TZ=Asia/Tokyo exec "$imgbuild" --cache second/cache \
        -C second/project node odin "${args[@]}" --offline --mirror "$mirror" -q) &
    sleep "$seconds"
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null
    [ ! -e second/project/out/odin_2026.11.22.img.zst ] || break
done
ok "nothing unfinished stands under a final name" \
    bash -c "! ls second/project/out/*.img.zst 2>/dev/null || zstd -tq second/project/out/*.img.zst"
(umask 000 && LC_ALL=C.UTF-8 TZ=Asia/Tokyo run second/cache second/project node --all "${args[@]}" \
    --offline --mirror "$mirror")
ok "the second build gives the same bytes" equal "$(sums first/deep/er/project)" "$(sums second/project)"

# --- what changes cost
out=second/project/out
ok "a build without changes makes nothing" equal 6 \
    "$(run second/cache second/project node --all "${args[@]}" --offline -q | grep -c '(unchanged)')"
difference=$("$imgbuild" diff "$out"/odin_*.img.zst "$out"/freyja_*.img.zst -q)
ok "freyja shares odin's root" matches 'root: the same bytes' "$difference"
ok "and differs in her identity" matches 'identity: [1-9][0-9]* differ' "$difference"
mkdir -p second/project/overlays/common/etc && echo changed >second/project/overlays/common/etc/motd
plan=$(run second/cache second/project explain odin "${args[@]}")
ok "an overlay file makes the root anew" matches 'root +control +[0-9a-f]+ +will be made' "$plan"
ok "but re-runs no package step" matches 'packages +control +[0-9a-f]+ +in the cache' "$plan"

# --- a user without privileges, on a machine that is ours to change
if [ "$(id -u)" -eq 0 ] && [ "${CI-}" = true ] && command -v useradd >/dev/null; then
    user=imgbuild-build
    trap 'userdel -r $user 2>/dev/null' EXIT
    useradd -m $user && grep -q "^$user:" /etc/subuid || vm_skip "no user with subordinate ids"
    copy_project third/project
    cp second/project/recipes/imgbuild.lock third/project/recipes/
    chown -R $user third && chmod a+x "$dir" "$(dirname "$dir")" first first/cache 2>/dev/null
    mkdir -p third/blobs/sha256 && cp -l first/cache/blobs/sha256/* third/blobs/sha256/ && chmod -R a+rX third/blobs
    runuser -u $user -- env HOME="$PWD/third" SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH "$imgbuild" \
        --cache third/cache -C third/project node odin "${args[@]}" --offline \
        --mirror "$PWD/third/blobs"
    ok "an unprivileged user builds the same bytes" equal \
        "$(grep odin_ first/deep/er/project/out/SHA256SUMS)" "$(grep odin_ third/project/out/SHA256SUMS)"
fi
vm_result
