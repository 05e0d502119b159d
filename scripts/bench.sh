#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# bench.sh [quick] - measures the library beside Linux's own VMA layer and prints the ratios.
#
#   1. bench/peers/linux-vma/build.sh builds the peers into build/bench/peers; without network or its packages the
#      library is measured alone.
#   2. Both sides must print the same checksums (workload.h): otherwise nothing is measured, and the exit status is 1.
#   3. Rounds: the peer, then the library, for each number of areas in turn; every sample of every round counts.
#      Up to 65,536 areas a branch-free binary search in a sorted array runs too: the floor of a lookup.
#   4. At 100 areas, the same in turns with the red-black tree of the peers, which has no limits and no commit charge: both
#      are off in the library too, for this comparison alone.
#   5. Threads: several in one space beside as many processes (bench/threads.cc), on all processors.
#   6. bench-report.pl prints the tables and writes ratios.json, ratios.svg, rbtree.json, threads.json and threads.svg in
#      build/bench.
#
# AREAS="N N ..." (default 100 1000 65536 1000000; quick: 1000 65536), ROUNDS (3; quick: 1), FILTER=regex of operations,
# BENCH_CPU (the processor to run on), NO_PEER=1, NOHUGE=1 (no huge pages, on either side),
# NO_THREADS=1, NO_RBTREE=1.
. "$(dirname "$0")/lib.sh"
quick=
[ "${1:-}" = quick ] && quick=--quick
areas=${AREAS:-${quick:+1000 65536}}
areas=${areas:-100 1000 65536 1000000}
rounds=${ROUNDS:-$([ -n "$quick" ] && echo 1 || echo 3)}
bench=${BENCH_PROGRAM:-build/bench/bench/vma}
results=build/bench/results
peers=${PEER_CACHE:-$PWD/build/bench/peers}
cpu=${BENCH_CPU:-$(taskset -cp $$ | sed 's/.*[ ,-]//')}
tunables=glibc.malloc.hugetlb=1
[ -z "${NOHUGE:-}" ] || tunables=
[ -x "$bench" ] || fail "$bench was not built"
rm -rf $results
mkdir -p $results

on_cpu() { GLIBC_TUNABLES=$tunables taskset -c "$cpu" "$@"; }

have_peer=
if [ -z "${NO_PEER:-}" ]; then
    echo "bench.sh: building the peers in $peers" >&2
    if PEER_CACHE=$peers bench/peers/linux-vma/build.sh >$results/build.log 2>&1; then
        have_peer=yes
    else
        tail -n 3 $results/build.log >&2
        echo "bench.sh: the peers cannot be built here ($results/build.log): the library alone" >&2
    fi
fi

if [ -n "$have_peer" ]; then
    for n in $areas; do
        on_cpu "$bench" --areas="$n" --check >$results/check-ours || fail "the library's checksums failed"
        on_cpu "$peers/peer-linux-vma" --check "$n" >$results/check-linux || fail "the peer's checksums failed"
        diff -u $results/check-linux $results/check-ours || fail "different answers for $n areas"
    done
    echo "bench.sh: same checksums for $areas areas" >&2
fi

few=100
have_rbtree=
if [ -n "$have_peer" ] && [ -z "${NO_RBTREE:-}" ]; then
    on_cpu "$bench" --areas=$few --no-limits --check >$results/check-ours || fail "the library's checksums failed"
    on_cpu "$peers/peer-rbtree" --check $few >$results/check-rbtree || fail "the checksums of rbtree failed"
    diff -u $results/check-rbtree $results/check-ours || fail "rbtree has different answers for $few areas"
    have_rbtree=yes
fi

# fork of a live process: the kernel has no other
live_areas() { # N: as many as the kernel allows
    local limit=$(($(cat /proc/sys/vm/max_map_count) - 5530))
    if [ "$1" -le "$limit" ]; then echo "$1"; else echo "$limit"; fi
}

samples=${quick:+5}
samples=${samples:-11}
measure_ours() { # OUT OPTION...
    local out=$1
    shift
    on_cpu "$bench" --samples="$samples" ${FILTER:+"--benchmark_filter=$FILTER"} \
        --benchmark_out="$results/$out.json" --benchmark_out_format=json "$@" >/dev/null 2>$results/vmakit.log ||
        { cat $results/vmakit.log >&2; fail "the library's benchmark failed"; }
}

for round in $(seq "$rounds"); do
    for n in $areas; do
        echo "bench.sh: round $round of $rounds, $n areas" >&2
        if [ -n "$have_peer" ]; then
            on_cpu "$peers/peer-linux-vma" $quick "$n" >>$results/linux.tsv || fail "the peer failed"
            if [ "$n" -ge 1000 ] && { [ "$(live_areas "$n")" = "$n" ] || [ "$n" = 65536 ]; }; then
                on_cpu "$peers/peer-live" --quick "$(live_areas "$n")" 2>/dev/null |
                    awk -v n="$n" -F '\t' '$2 ~ /^fork-vmas-call$/ {
                        printf "linux-live\tfork\t%s\t%s\t%s\t%s\n", n, $4 / $3, $5 / $3, $6 / $3 }' >>$results/linux.tsv
            fi
        fi
        if [ -n "$have_peer" ] && [ "$n" -le 65536 ]; then
            on_cpu "$peers/peer-sorted-array" $quick "$n" >>$results/array.tsv || fail "the peer sorted-array failed"
        fi
        measure_ours "vmakit-$n-$round" --areas="$n"
    done
done

# A pass of 100 areas is short: five turns, so that both sides have some when nobody else runs
if [ -n "$have_rbtree" ]; then
    echo "bench.sh: $few areas beside the red-black tree" >&2
    for turn in 1 2 3 4 5; do
        on_cpu "$peers/peer-rbtree" $quick $few >>$results/rbtree.tsv || fail "the peer rbtree failed"
        measure_ours "rbtree-$few-$turn" --areas=$few --no-limits
    done
fi

if [ -z "${NO_THREADS:-}${FILTER:-}" ]; then
    echo "bench.sh: threads" >&2
    GLIBC_TUNABLES=$tunables "${bench%/*}/threads" --tsv ${quick:+--rounds=5} >$results/threads.tsv ||
        fail "the benchmark of threads failed"
fi
perl scripts/bench-report.pl $results build/bench
