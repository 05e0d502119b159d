#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-callgrind.sh [--update | --table [AREAS]] - the instructions of ten fixed workloads (1,000 areas, the amalgamation with the locks of
# one thread, -O2), compared with bench/callgrind-baseline.txt. More than 3 % growth of one fails. Repeatable where
# times are not. Exit status 77, for skipped: no valgrind, no baseline, or another compiler than the baseline's.
# --table prints for each operation its instructions, branches, branches that a simple predictor gets wrong, and accesses
# that miss a first and a last cache of this processor's sizes, all simulated.
. "$(dirname "$0")/lib.sh"
baseline=bench/callgrind-baseline.txt
limit=3
out=${CALLGRIND_OUT:-$PWD/build/callgrind}
workloads='lookup lookup-next iterate gap-random gap-top gap-deep protect churn fork create-20'
skip() {
    echo "skipped: $*"
    exit 77
}
command -v valgrind >/dev/null || skip "no valgrind"
command -v "${CC:-gcc}" >/dev/null || skip "no ${CC:-gcc}"
compiler="${CC:-gcc} $("${CC:-gcc}" -dumpfullversion) $(uname -m)"
if [ -z "${1:-}" ]; then
    [ -f $baseline ] || skip "no $baseline"
    [ "$(sed -n 's/^# compiler: //p' $baseline)" = "$compiler" ] ||
        skip "the baseline is not of this compiler ($compiler)"
fi

mkdir -p "$out"
scripts/amalgamate.sh >"$out/build.log" 2>&1 || fail "no amalgamation; see $out/build.log"
"${CC:-gcc}" -std=gnu11 -O2 -g -Iinclude -Ibench -Ibuild/amalgamation -o "$out/count" bench/callgrind/count.c \
    bench/work.c ports/linux/port.c build/amalgamation/vmakit.c >>"$out/build.log" 2>&1 ||
    fail "the workloads do not compile; see $out/build.log"

count() { # WORKLOAD
    GLIBC_TUNABLES='' valgrind --tool=callgrind --callgrind-out-file="$out/$1.callgrind" --toggle-collect=counted_pass \
        "$out/count" "$1" 2>&1 | sed -n 's/^==[0-9]*== Collected : \([0-9]*\).*/\1/p'
}

if [ "${1:-}" = --table ]; then
    echo "operation (${2:-1000} areas)  instructions  branches  mispredicted  L1 misses  last-level misses"
    for name in $workloads; do
        nr=$("$out/count" "$name" "${2:-1000}")
        GLIBC_TUNABLES='' valgrind --tool=callgrind --callgrind-out-file="$out/$name.callgrind" --cache-sim=yes \
            --branch-sim=yes --toggle-collect=counted_pass "$out/count" "$name" "${2:-1000}" 2>&1 |
            sed -n 's/^==[0-9]*== Collected : //p' |
            awk -v name="$name" -v nr="$nr" '{ printf "%-23s %14.1f %9.1f %13.2f %10.2f %18.2f\n",
                name, $1 / nr, ($10 + $12) / nr, ($11 + $13) / nr, ($5 + $6) / nr, ($8 + $9) / nr }'
    done
    exit 0
fi

if [ "${1:-}" = --update ]; then
    {
        echo "# Instructions of one pass: scripts/check-callgrind.sh --update writes this file."
        echo "# compiler: $compiler"
        for name in $workloads; do
            echo "$name $(count "$name")"
        done
    } >$baseline
    cat $baseline
    exit 0
fi

grown=0
while read -r name before; do
    now=$(count "$name")
    [ -n "$now" ] || fail "$name was not counted"
    change=$(awk -v a="$before" -v b="$now" 'BEGIN { printf "%+.2f", (b - a) * 100 / a }')
    verdict=
    if awk -v c="$change" -v l=$limit 'BEGIN { exit !(c > l) }'; then
        verdict=' GROWN'
        grown=$((grown + 1))
    fi
    printf '%-14s %12s -> %12s  %s %%%s\n' "$name" "$before" "$now" "$change" "$verdict"
done < <(grep -v '^#' $baseline)
[ $grown = 0 ] || fail "$grown workloads need over $limit % more instructions; if that is right: $0 --update"
echo "no workload needs over $limit % more instructions"
