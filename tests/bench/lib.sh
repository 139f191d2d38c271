# SPDX-License-Identifier: Apache-2.0
# What the benchmarks share; sourced.

# COMMAND…: wall seconds of it
seconds() {
    local start end
    start=$(date +%s.%N)
    "$@"
    end=$(date +%s.%N)
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.2f", b - a }'
}

# The middle one of numbers, one a line.
median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# COMMAND…: the largest resident size of its own process in KiB, not of the programs that it runs.
own_peak() {
    local pid kib peak=0
    "$@" >/dev/null 2>&1 &
    pid=$!
    while kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$kib" ]; do
        peak=$kib
        sleep 0.02
    done
    wait "$pid" || return 1
    echo "$peak"
}

# What a project is made of, copied to where its inputs may be changed.
copy_project() { # DIR
    mkdir -p "$1"
    cp -a "$source/recipes" "$source/overlays" "$source/firmware" "$1/"
}

machine() {
    echo "$(nproc) × $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
        "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)," \
        "$(stat -f -c %T .), Linux $(uname -r)"
}
