#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The namespace sandbox as root, as root without CAP_SYS_ADMIN, and as a plain user: the same tests
# pass and the same bytes come out; what the plain user's builds leave, the plain user can remove.
#   sandbox-users.sh TEST_SANDBOX IMGBUILD
# Users and id ranges exist only in a mount namespace of this script.
set -euo pipefail

test_program=$1 imgbuild=$2

skip() { echo "skipped: $*"; exit 77; }

[ "$(id -u)" = 0 ] || skip "needs root"
for program in unshare setpriv newuidmap; do
    command -v $program >/dev/null || skip "$program is not installed"
done

if [ -z "${IB_TEST_INSIDE:-}" ]; then
    work=$(mktemp -d /tmp/ib-users.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    chmod 0755 "$work"
    # a plain user may not be able to enter the build directory
    cp "$test_program" "$work/test_sandbox"
    cp "$imgbuild" "$work/imgbuild"
    IB_TEST_INSIDE=$work unshare --mount --propagation private "$0" "$work/test_sandbox" \
        "$work/imgbuild" || exit $?
    exit 0
fi

work=$IB_TEST_INSIDE
uid=61234 other=61235
for file in passwd group subuid subgid; do
    [ -e /etc/$file ] || : >/etc/$file
    cp -p /etc/$file "$work/$file"
done
for id in $uid $other; do
    echo "ib-test-$id:x:$id:$id::/:/bin/sh" >>"$work/passwd"
    echo "ib-test-$id:x:$id:" >>"$work/group"
done
# in two ranges, as usermod leaves them where there was one before
for file in subuid subgid; do
    printf 'ib-test-%s:3000000:1000\n%s:3100000:65000\n' $uid $uid >>"$work/$file"
done
for file in passwd group subuid subgid; do
    mount --bind "$work/$file" /etc/$file
done
mkdir -m 1777 "$work/results"

as_user() { setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all "${@:2}"; }
run() {
    local name=$1
    shift
    echo "== $name"
    IB_TEST_RESULT=$work/results/$name "$@" "$test_program" --jobs 2 --quiet
}

run root env
run container setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin
run user as_user $uid
for name in container user; do
    cmp "$work/results/root" "$work/results/$name"
done

# what fails, and what cures it
expect_cure() {
    local cure=$1
    shift
    echo "== expect the cure: $cure"
    IB_TEST_EXPECT_CURE=$cure "$@" "$test_program" --quiet --filter '*/what_is_missing_is_told'
}
expect_cure "usermod --add-subuids" as_user $other
expect_cure "must be setuid root" as_user $uid setpriv --no-new-privs
# what a killed build left: files of ids that the user has in a namespace only
echo "== clean"
leftover=$work/cache/tmp/sandbox.abcdef/root
install -d -o $uid -g $uid -m 700 "$work/cache" "$work/cache/tmp" "${leftover%/root}"
install -d -o 3000004 -g 3000004 -m 700 "$leftover" "$leftover/private"
echo secret >"$leftover/private/file"
! as_user $uid rm -rf "$leftover" 2>/dev/null
as_user $uid "$imgbuild" --cache "$work/cache" clean
[ -z "$(ls -A "$work/cache/tmp")" ]
echo "the same for every user"
