#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the oracle writes about a failing sequence, with a build that can break rules: the recording shows the difference
# without the kernel, and agrees once the rule holds again; the sequence does the same on the kernel.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
if [ "$(uname -m)" != x86_64 ] || [ ! -x "${VMAKIT_TESTING:-}" ]; then
    echo "needs x86-64 and a build that can break rules (cmake --preset testing)"
    exit 77
fi

# run STATUS COMMAND...: its output is in $dir/out.
run()
{
    local want=$1 got=0
    shift
    timeout 100 "$@" >"$dir/out" 2>&1 || got=$?
    if [ "$got" = 4 ] && grep -q "cannot start a process" "$dir/out"; then
        cat "$dir/out"
        exit 77 # this machine does not let a process be experimented with
    fi
    [ "$got" = "$want" ] && return 0
    cat "$dir/out"
    echo "exit status $got, not $want: $*"
    exit 1
}

# A result, a map, a status and a signal that differ.
for rule in lock_hole merge_flags fork_peak stack_gap; do
    run 1 "$VMAKIT_TESTING" fuzz --ops 200000 --seed 1 --break "$rule" --max-divergences 1 --output "$dir"
    grep -q '^written: .*\.seq ' "$dir/out"
    grep -q '^written: .*\.trace (vmakit replay shows the same' "$dir/out"
    seq=$(echo "$dir"/*.seq) trace=$(echo "$dir"/*.trace)
    run 1 "$VMAKIT_TESTING" replay --break "$rule" "$trace"
    tail -n 1 "$dir/out" | grep -q ' [1-9][0-9]* divergences$'
    run 0 "$VMAKIT_TESTING" replay "$trace"
    run 0 "$VMAKIT" replay "$trace"
    tail -n 1 "$dir/out" | grep -q ' calls mirrored, 0 divergences$'
    run 1 "$VMAKIT_TESTING" fuzz --break "$rule" --replay-seq "$seq"
    run 0 "$VMAKIT" fuzz --replay-seq "$seq" --record "$dir/again"
    run 0 "$VMAKIT" replay "$dir/again"
    run 1 "$VMAKIT_TESTING" replay --break "$rule" "$dir/again"
    rm -f "$seq" "$trace"
done

# A part of `make breaks`: rules that this seed shows soon.
run 0 env SEEDS=1 OPS=2000 \
    RULES="merge_policy account_kept protect_same place_guard place_hint map_cut" \
    scripts/check-breaks.sh
tail -n 1 "$dir/out" | grep -q '^6 rules, 1 seeds, 0 survived 2000 operations$'
run 1 env SEEDS=1 OPS=10 RULES=merge_close scripts/check-breaks.sh
grep -q '^| merge_close  *|    none |$' "$dir/out"

# An ordinary build breaks nothing, and a rule must exist.
run 2 "$VMAKIT" replay --break lock_hole "$dir/again"
run 2 "$VMAKIT_TESTING" replay --break nothing "$dir/again"
run 0 "$VMAKIT_TESTING" replay --break help
grep -q '^lock_hole ' "$dir/out"

# Recordings of sequences that agree are replayed in the same way.
run 0 "$VMAKIT" fuzz --ops 4000 --seed 4 --check-recordings --output "$dir"
tail -n 1 "$dir/out" | grep -q '^4000 operations, 0 divergences$'
