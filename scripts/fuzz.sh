#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# fuzz.sh - a million operations of the oracle (OPS, SEED), then each libFuzzer target of tests/fuzz for MINUTES.
# Corpora live in build/fuzz/corpus/NAME; tests/fuzz/corpus/NAME holds what to begin with.
. "$(dirname "$0")/lib.sh"
status=0
OPS=${OPS:-1000000}
check=()
[ "$OPS" -lt 1000000 ] || check=(--check-cells) # what so many must reach: docs/testing.md
"$BUILD/vmakit" fuzz --ops "$OPS" --seed "${SEED:-1}" "${check[@]}" || status=1
for source in tests/fuzz/*.c; do
    [ -e "$source" ] || continue
    name=$(basename "$source" .c)
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus"
    seeds=()
    [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
    [ "${MINUTES:-10}" = 0 ] && continue
    echo "== $name, ${MINUTES:-10} minutes"
    build/fuzz/fuzz/"$name" -max_total_time=$((${MINUTES:-10} * 60)) -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/$name-" "$corpus" "${seeds[@]}" >"build/fuzz/$name.log" 2>&1
    code=$?
    tail -n 8 "build/fuzz/$name.log"
    if [ $code != 0 ]; then
        echo "$name: FAILED (status $code, build/fuzz/$name.log)"
        status=1
    fi
done
exit $status
