#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The oracle for an ordinary user, who has no capability: what root may do is refused, and must be in the engine.
set -euo pipefail

if [ "$(uname -m)" != x86_64 ]; then
    echo "the oracle's slice is for x86-64"
    exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
user=()
if [ "$(id -u)" = 0 ]; then
    if ! command -v setpriv >/dev/null; then
        echo "needs setpriv, or a user other than root"
        exit 77
    fi
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
fi
cp "$VMAKIT" "$dir/vmakit" # where this user can reach it
chmod 755 "$dir" "$dir/vmakit"
mkdir -m 777 "$dir/out"
cd "$dir/out"
if ! "${user[@]}" sh -c '"$0" --version' "$dir/vmakit" >"$dir/log" 2>&1; then
    cat "$dir/log"
    echo "needs another user who can run a program in $dir"
    exit 77
fi

fuzz() { # ARGUMENT...: must find nothing
    local status=0
    timeout 100 "${user[@]}" "$dir/vmakit" fuzz "$@" >"$dir/log" 2>&1 || status=$?
    if [ "$status" = 4 ] && grep -q "cannot start a process" "$dir/log"; then
        cat "$dir/log"
        exit 77 # this machine does not let a process be experimented with
    fi
    if [ "$status" != 0 ]; then
        cat "$dir/log"
        echo "fuzz $*: exit status $status"
        exit 1
    fi
}

# Below vm.mmap_min_addr, and between it and the lowest hint; a userfaultfd; a segment to execute; nodes to move from.
cat >"$dir/refused" <<'EOF'
config seed 0x1 drop_ipc_lock 0 as 0x20000000 data 0xffffffffffffffff stack 0x800000 memlock 0x10000
mmap 0x0 0x1000 0x3 0x32 none 0x0
mmap 0x1000 0x1000 0x3 0x32 none 0x0
mmap 0x5000 0x1000 0x3 0x22 none 0x0
mmap 0xf000 0x1000 0x1 0x100022 none 0x0
mmap 0x20000 0x1000 0x3 0x132 none 0x0
write 0x1f000
write 0xf000
mremap 0xf000 0x1000 0x1000 0x3 0x0
shmat 1 0x200000000 0x8000
uffd_open 0 0x80
uffd_register 0 0x200000000 0x1000 0x1
mmap 0x200010000 0x4000 0x3 0x32 none 0x0
uffd_register 0 0x200010000 0x2000 0x1
copy_to 0x200010000
copy_from 0x200010000
write 0x200011000
mbind 0x200010000 0x4000 0x2 0x1 0x40 0x4
EOF
fuzz --replay-seq "$dir/refused"
fuzz --ops 6000 --seed 11
[ "$(tail -n 1 "$dir/log")" = "6000 operations, 0 divergences" ]
