#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Stands before the real depmod while apt works. depmod needs one processor for seconds (it unpacks
# every module), and so does dpkg: so it starts in the background as soon as a kernel is unpacked,
# and the kernel package's own call waits for that.
#
#   depmod --start      dpkg's post-invoke: begin for every kernel that has no modules.dep yet
#   depmod --finish     wait for all that were begun
#   depmod …            what a package's script calls
set -u
state=${0%/bin/depmod}/depmod

# What the background run saw; other modules may have come since.
modules() {
    find "/usr/lib/modules/$1" -name '*.ko*' 2>/dev/null | LC_ALL=C sort | cksum
}

start() {
    mkdir -p "$state"
    for dir in /usr/lib/modules/*/kernel; do
        version=${dir%/kernel}
        version=${version##*/}
        [ -d "$dir" ] || continue
        [ ! -e "/usr/lib/modules/$version/modules.dep" ] || continue
        [ ! -e "$state/$version.modules" ] || continue
        exec 9>"$state/$version.lock"
        flock 9
        modules "$version" >"$state/$version.modules"
        # apt's pipes must not stay open in the background
        (
            exec </dev/null >/dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-
            /usr/sbin/depmod "$version" && : >"$state/$version.good"
        ) &
        exec 9>&-
    done
}

# Waits for the background run of a version; true when it did all that a run now would do.
wait_for() {
    [ -e "$state/$1.lock" ] || return 1
    flock "$state/$1.lock" true
    [ -e "$state/$1.good" ] && [ "$(modules "$1")" = "$(cat "$state/$1.modules")" ]
}

case ${1-} in
--start)
    start
    ;;
--finish)
    for lock in "$state"/*.lock; do
        [ -e "$lock" ] || continue
        version=${lock##*/}
        version=${version%.lock}
        wait_for "$version" || /usr/sbin/depmod "$version" || exit
    done
    ;;
*)
    for version; do :; done # the last argument, if it is a version
    if [ $# -gt 0 ] && wait_for "$version"; then
        exit 0
    fi
    exec /usr/sbin/depmod "$@"
    ;;
esac
