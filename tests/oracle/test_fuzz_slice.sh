#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A short slice of the oracle: the same operations in each run. `make fuzz` and docs/testing.md have the long ones.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ "$(uname -m)" != x86_64 ]; then
    echo "the oracle's slice is for x86-64"
    exit 77
fi
for seed in 1 2; do
    status=0
    timeout 100 "$VMAKIT" fuzz --ops 10000 --seed "$seed" --output "$dir" >"$dir/out" 2>"$dir/err" || status=$?
    if [ "$status" = 4 ] && grep -q "cannot start a process" "$dir/err"; then
        cat "$dir/err"
        exit 77 # this machine does not let a process be experimented with
    fi
    if [ "$status" != 0 ] || [ "$(tail -n 1 "$dir/out")" != "10000 operations, 0 divergences" ]; then
        cat "$dir/err" "$dir/out" "$dir"/*.seq 2>/dev/null || true
        echo "seed $seed: exit status $status"
        exit 1
    fi
done
# The same seed does the same.
for run in a b; do
    "$VMAKIT" fuzz --ops 2000 --seed 3 --verbose --output "$dir" | grep -v -e seconds -e '^merges' >"$dir/$run" || true
done
cmp "$dir/a" "$dir/b"
# A sequence can be run again, and a line that is no operation is named.
printf 'config seed 0x1 drop_ipc_lock 0 as 0x20000000 data 0xffffffffffffffff stack 0x800000 memlock 0x10000\n%s\n' \
    'mmap 0x200000000 0x4000 0x3 0x32 none 0x0' >"$dir/good"
"$VMAKIT" fuzz --replay-seq "$dir/good" | grep -q '= 0x200000000$'
# What chance seldom reaches: a sealed ring that outlives its context, offsets that no file can have, a guard page in the last
# page of all, a vector of nothing.
{
    head -n 1 "$dir/good"
    cat <<'EOF'
io_setup 200
mseal 0x7ffff7ffb000 0x1000 0x0
io_destroy 0x7ffff7ffb000
read 0x7ffff7ffb000
mlock 0x7ffff7ffc000 0x1000
mmap 0x20002c000 0x2000 0x3 0x11 zero 0x7fffffffffffe000
madvise 0x20002c000 0x2000 9
mmap 0x20002c000 0x1000 0x3 0x11 zero 0xffffffffffffd000
process_madvise 9 0x20002c000 0x2000 0x0 0x0 0x0
mmap 0x7fffffffe000 0x1000 0x3 0x32 none 0x0
madvise 0x7fffffffe000 0x1000 102
write 0x7fffffffe000
process_madvise 5 0x20004b000 0x0 0x0 0x0 0x0
EOF
} >"$dir/seldom"
if ! "$VMAKIT" fuzz --replay-seq "$dir/seldom" --verbose --output "$dir" >"$dir/out"; then
    cat "$dir/out"
    exit 1
fi
echo 'mmap what' >>"$dir/good"
status=0
"$VMAKIT" fuzz --replay-seq "$dir/good" 2>"$dir/err" || status=$?
[ "$status" = 3 ] && grep -q ':3: not an operation' "$dir/err"
status=0
"$VMAKIT" fuzz --replay-seq /dev/null 2>"$dir/err" || status=$?
[ "$status" = 3 ] && grep -q 'there is no operation in it' "$dir/err"
