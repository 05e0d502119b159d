#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-breaks.sh - breaks each rule of the engine in turn and lets the oracle look for it: a divergence must be found
# within OPS operations for each of SEEDS. Prints a row a rule: the operation that showed it, by seed. RULES=... takes
# some rules alone. Needs build/testing/vmakit (cmake --preset testing).
. "$(dirname "$0")/lib.sh"
tool=${VMAKIT_TESTING:-build/testing/vmakit}
OPS=${OPS:-200000}
SEEDS=${SEEDS:-1 2 3}
[ -x "$tool" ] || fail "$tool is not built"
mapfile -t rules < <("$tool" fuzz --break help | cut -d ' ' -f 1)
[ -z "${RULES:-}" ] || read -r -a rules <<<"$RULES"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

survivors=0
printf '| %-18s |' rule
for seed in $SEEDS; do printf ' %7s |' "seed $seed"; done
printf '\n| --- |'
for seed in $SEEDS; do printf ' ---: |'; done
printf '\n'
for rule in "${rules[@]}"; do
    printf '| %-18s |' "$rule"
    for seed in $SEEDS; do
        status=0
        "$tool" fuzz --ops "$OPS" --seed "$seed" --break "$rule" --max-divergences 1 --no-shrink --output "$dir" \
            >"$dir/out" 2>"$dir/err" || status=$?
        found=$(sed -nE 's/^([0-9]+) operations, 1 divergences$/\1/p' "$dir/out")
        [ $status = 1 ] && [ -z "$found" ] && grep -q 'the engine hangs' "$dir/err" && found=hang
        if [ $status -gt 1 ]; then
            printf '\n'
            cat "$dir/err"
            exit $status
        fi
        [ -n "$found" ] || survivors=$((survivors + 1))
        printf ' %7s |' "${found:-none}"
    done
    printf '\n'
done
set -- $SEEDS
echo "${#rules[@]} rules, $# seeds, $survivors survived $OPS operations"
[ $survivors = 0 ]
