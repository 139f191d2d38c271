#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the tree: installs and removes packages with the tree's own rpm, from the files that
# were copied beside this script.
#
#   packages.install   lines PATH of an .rpm file: a manifest as rpm(8) knows it
#   packages.remove    lines NAME
#   exclude.sh         defines excluded(), true for a path (no leading slash) that no node reads
set -eu
umask 022
cd "$(dirname "$0")"
. ./exclude.sh

# All in one transaction. No signatures are asked for: the lock's SHA-256 was checked, and the
# tree need not know the key. Old packages may replace newer ones: the lock decides.
install() {
    rpm -U --nosignature --oldpackage packages.install
    xargs rpm -q --qf '[%{FILENAMES}\n]' -p --nosignature <packages.install | leave_out
}

# Removes the excluded ones of the paths on stdin; directories only when nothing is left in them.
leave_out() {
    LC_ALL=C sort -ru | while IFS= read -r path; do
        excluded "${path#/}" || continue
        if [ -d "$path" ] && [ ! -L "$path" ]; then
            rmdir "$path" 2>/dev/null || :
        else
            rm -f "$path"
        fi
    done
}

# Removes with what needs them, as `dnf remove` does; but what the tree protects
# (/etc/dnf/protected.d, dnf.conf(5)) only when it was named itself.
remove() {
    set -- $(cat packages.remove)
    while ! why=$(rpm -e --test --allmatches "$@" 2>&1); do
        needing=$(printf '%s\n' "$why" | sed -n 's/^.* is needed by (installed) //p' | sort -u)
        if [ -z "$needing" ]; then
            printf '%s\n' "$why" >&2
            return 1
        fi
        for package in $needing; do
            name=$(rpm -q --qf '%{NAME}\n' "$package" | head -n 1)
            if grep -qsx "$name" /etc/dnf/protected.d/*.conf; then
                echo "'$name' is protected, and needs what shall be removed ($*)" >&2
                return 1
            fi
        done
        set -- "$@" $needing
    done
    rpm -e --allmatches "$@"
}

# A kernel's scripts leave this to kernel-install, which does nothing here.
index_modules() {
    for dir in /usr/lib/modules/*/kernel; do
        version=${dir%/kernel}
        [ ! -d "$dir" ] || [ -e "$version/modules.dep" ] || depmod "${version##*/}"
    done
}

[ ! -s packages.install ] || install
[ ! -s packages.remove ] || remove
index_modules
