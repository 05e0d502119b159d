#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# bench.sh [quick] - runs every program of build/bench/bench; results as JSON in build/bench/results/.
. "$(dirname "$0")/lib.sh"
mkdir -p build/bench/results
flags=()
[ "${1:-}" = quick ] && flags=(--benchmark_min_time=0.01)
[ -n "${FILTER:-}" ] && flags+=("--benchmark_filter=$FILTER")
status=0
any=
for program in build/bench/bench/*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    any=yes
    "$program" "${flags[@]}" --benchmark_out="build/bench/results/${program##*/}.json" --benchmark_out_format=json || status=1
done
[ -n "$any" ] || fail "no benchmark was built (bench/*.cc)"
exit $status
