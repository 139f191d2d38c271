#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs inside the tree: installs and removes packages with the tree's own apt, from the repository
# that was copied beside this script. Everything apt needs for that lies in this directory too, so
# that removing it leaves no trace.
#
#   packages.install   lines NAME=VERSION
#   packages.remove    lines NAME
set -eu
umask 022
cd "$(dirname "$0")"
export APT_CONFIG="$PWD/apt.conf"

# Without this, scripts of packages with an old init script would start services (invoke-rc.d(8)).
if [ ! -e /usr/sbin/policy-rc.d ]; then
    cp policy-rc.d /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi

if [ -s packages.install ]; then
    apt-get -qq update
    xargs apt-get -q install <packages.install
fi
if [ -s packages.remove ]; then
    xargs apt-get -q purge <packages.remove
fi
bin/depmod --finish
