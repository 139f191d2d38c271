# SPDX-License-Identifier: Apache-2.0
# What the tests that boot a node share: a machine in QEMU with OVMF, on a network like the
# cluster's, its console in a file, and root's shell over SSH. To be sourced.
#
#   vm_need PROGRAM…          exits with 77 where one is missing
#   vm_open DIR               work there: DIR/disk.raw, DIR/console, DIR/vars.fd, DIR/key (SSH)
#   vm_unpack FILE SIZE       DIR/disk.raw from an artifact or a raw image, at least SIZE large
#   vm_flash IMGBUILD FILE SIZE   the same by imgbuild flash, onto a disk that is not empty
#   vm_start [ARGUMENTS]      switch on, with kernel arguments added
#   vm_wait TEXT SECONDS      until the console shows TEXT
#   vm_wait_ssh SECONDS       until root can log in
#   vm_ssh SCRIPT             run it in the machine
#   vm_power_off SECONDS      orderly; vm_kill: as if the plug was pulled
#   vm_type TEXT              a line typed on the console
#   vm_monitor COMMAND        a line for QEMU's monitor, as "set_link net off"
#   VM_EXTRA=(…)              more of QEMU's arguments for the next start
#   ok NAME COMMAND…          a check: prints, counts; vm_result at the end

VM_MAC=${VM_MAC:-02:00:00:00:00:10}
VM_ADDRESS=${VM_ADDRESS:-10.10.10.10}
VM_PORT=${VM_PORT:-$((20000 + $$ % 20000))}
# QEMU 7.2's emulation of two processors sometimes breaks Linux' patching of itself ("Oops: int3")
VM_CPUS=${VM_CPUS:-1}
VM_MEMORY=${VM_MEMORY:-2048}
# /dev/kvm may exist, make a machine, and then fail to run it: emulation unless asked for KVM
vm_pid= vm_failed=0 vm_passed=0

vm_skip() {
    echo "skipped: $*"
    exit 77
}

vm_need() {
    local program
    for program; do
        PATH=$PATH:/sbin:/usr/sbin command -v "$program" >/dev/null ||
            vm_skip "$program is not installed"
    done
    [ -r /usr/share/OVMF/OVMF_CODE_4M.fd ] || vm_skip "ovmf is not installed"
}

vm_open() {
    vm_dir=$1
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$vm_dir/vars.fd"
}

vm_unpack() {
    case $1 in
    *.zst) zstd -dqf --sparse "$1" -o "$vm_dir/disk.raw" ;;
    *) cp --sparse=always "$1" "$vm_dir/disk.raw" ;;
    esac
    truncate -s ">$2" "$vm_dir/disk.raw"
}

# As root onto a block device that is full of noise, else to a file
vm_flash() { # IMGBUILD FILE SIZE
    local device r
    rm -f "$vm_dir/disk.raw"
    truncate -s "$3" "$vm_dir/disk.raw"
    device=$(losetup -f --show "$vm_dir/disk.raw" 2>/dev/null) || {
        "$1" -q flash --to-file "$2" "$vm_dir/disk.raw"
        return
    }
    head -c 256M /dev/urandom | dd of="$device" bs=1M iflag=fullblock status=none
    "$1" -q flash --all --yes --read-back=always "$2" "$device"
    r=$?
    losetup -d "$device"
    return $r
}

vm_start() {
    [ -z "$vm_pid" ] || vm_kill
    : >"$vm_dir/console"
    qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
        -machine "q35,accel=${VM_ACCEL:-tcg}" -cpu max -smp "$VM_CPUS" -m "$VM_MEMORY" \
        -drive if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
        -drive if=pflash,format=raw,unit=1,file="$vm_dir/vars.fd" \
        -drive if=none,id=disk,format=raw,discard=unmap,file="$vm_dir/disk.raw" \
        -device nvme,drive=disk,serial=imgbuild,bootindex=1 \
        -netdev "user,id=net,net=10.10.10.0/24,host=10.10.10.1,dns=10.10.10.3,hostfwd=tcp:127.0.0.1:$VM_PORT-$VM_ADDRESS:22" \
        -device "e1000e,netdev=net,mac=$VM_MAC,romfile=" -device virtio-rng-pci ${VM_EXTRA[@]+"${VM_EXTRA[@]}"} \
        -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n \
        -fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n \
        -smbios "type=11,value=io.systemd.stub.kernel-cmdline-extra=console=ttyS0 systemd.show_status=1 rd.systemd.show_status=1 systemd.default_timeout_start_sec=900 rd.systemd.default_timeout_start_sec=900${1:+ $1}" \
        -chardev "socket,id=console,path=$vm_dir/serial,server=on,wait=off,logfile=$vm_dir/console" \
        -serial chardev:console -monitor "unix:$vm_dir/monitor,server=on,wait=off" </dev/null >"$vm_dir/qemu.log" 2>&1 &
    vm_pid=$!
}

# A line for one of QEMU's sockets, which QEMU makes as it starts and which must stay open until the
# line was read.
vm_send() {
    perl -MIO::Socket::UNIX -e '
        my ($s, $tries);
        until ($s = IO::Socket::UNIX->new(Peer => $ARGV[0])) {
            die "$ARGV[0]: $!\n" if ++$tries > 100;
            select undef, undef, undef, 0.1;
        }
        $s->autoflush(1);
        print $s "$ARGV[1]\n";
        sleep 1;' "$vm_dir/$1" "$2"
}

vm_type() {
    vm_send serial "$1"
}

vm_monitor() {
    vm_send monitor "$1"
}

vm_running() {
    [ -n "$vm_pid" ] && kill -0 "$vm_pid" 2>/dev/null
}

# One login serves all calls: each costs seconds in an emulated machine.
vm_hang_up() {
    [ ! -S "$vm_dir/ssh" ] || ssh -q -O exit -o "ControlPath=$vm_dir/ssh" localhost 2>/dev/null
    rm -f "$vm_dir/ssh"
}

vm_kill() {
    [ -n "$vm_pid" ] || return 0
    vm_hang_up
    kill -KILL "$vm_pid" 2>/dev/null
    wait "$vm_pid" 2>/dev/null
    vm_pid=
}

vm_console() {
    echo "--- the console's last lines:"
    tail -n "${1:-25}" "$vm_dir/console" | tr -d '\r' | cut -c1-200
    cat "$vm_dir/qemu.log"
}

# The kernel's own words come between, so the text must be a part of one line.
vm_wait() {
    local end=$((SECONDS + $2))
    while [ $SECONDS -lt $end ]; do
        grep -aqF -- "$1" "$vm_dir/console" && return 0
        if ! vm_running; then
            grep -aqF -- "$1" "$vm_dir/console" && return 0
            echo "the machine went off without showing '$1'"
            return 1
        fi
        sleep 0.2
    done
    echo "'$1' did not appear in $2 s"
    return 1
}

vm_ssh() {
    ssh -q -p "$VM_PORT" -i "$vm_dir/key" -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o ConnectTimeout=20 -o BatchMode=yes \
        -o ControlMaster=auto -o "ControlPath=$vm_dir/ssh" -o ControlPersist=yes \
        root@127.0.0.1 "$1"
}

vm_wait_ssh() {
    local end=$((SECONDS + $1))
    while [ $SECONDS -lt $end ]; do
        vm_running || return 1
        vm_ssh true </dev/null 2>/dev/null && return 0
        sleep 2
    done
    return 1
}

vm_power_off() {
    local end=$((SECONDS + $1))
    vm_ssh "systemctl poweroff" </dev/null 2>/dev/null
    while vm_running; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.5
    done
    wait "$vm_pid" 2>/dev/null
    vm_pid=
    vm_hang_up
}

ok() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        echo "ok      $name"
        vm_passed=$((vm_passed + 1))
    else
        echo "NOT OK  $name"
        [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/        /'
        vm_failed=$((vm_failed + 1))
    fi
}

# ok NAME equal EXPECTED ACTUAL; ok NAME matches PATTERN TEXT; ok NAME silent SCRIPT: it runs in the
# machine, prints nothing, and is known to have come to its end
equal() {
    [ "$1" = "$2" ] || { echo "expected: $1"; echo "is:       $2"; return 1; }
}
matches() {
    grep -Eq -- "$1" <<<"$2" || { echo "expected: $1"; echo "in:       $2"; return 1; }
}

silent() {
    equal "end of output" "$(vm_ssh "$1
        echo end of output")"
}

vm_result() {
    echo "$vm_passed passed, $vm_failed failed"
    [ "$vm_failed" -eq 0 ]
}
