#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# bench-scale.sh - the library alone from 10 to 100,000,000 areas, the largest within 16 GiB of address space (ulimit -v).
#
# Prints a table, nanoseconds an operation (medians), and writes build/bench/scale.svg. Above RANDOM_MAX areas they are
# mapped in ascending order, and churn is left out: building at random would take many minutes.
#
# AREAS="N N ..." (default the powers of ten), RANDOM_MAX (1000000), SAMPLES (5), BENCH_CPU (the processor to run on),
# NOHUGE=1 (no huge pages).
. "$(dirname "$0")/lib.sh"
areas=${AREAS:-10 100 1000 10000 100000 1000000 10000000 100000000}
bench=${BENCH_PROGRAM:-build/bench/bench/vma}
results=build/bench/scale
cpu=${BENCH_CPU:-$(taskset -cp $$ | sed 's/.*[ ,-]//')}
tunables=glibc.malloc.hugetlb=1
[ -z "${NOHUGE:-}" ] || tunables=
[ -x "$bench" ] || fail "$bench was not built: make bench-scale"
rm -rf $results
mkdir -p $results
ulimit -v $((16 << 20))

for n in $areas; do
    echo "bench-scale.sh: $n areas" >&2
    options=
    operations='lookup|lookup-dependent|iterate|gap-random|churn'
    if [ "$n" -gt "${RANDOM_MAX:-1000000}" ]; then
        options=--in-order
        operations='lookup|lookup-dependent|iterate|gap-random'
    fi
    GLIBC_TUNABLES=$tunables taskset -c "$cpu" "$bench" --areas="$n" $options --samples="${SAMPLES:-5}" \
        --benchmark_filter="^($operations)/" --benchmark_out="$results/$n.json" --benchmark_out_format=json \
        >/dev/null 2>$results/log || { cat $results/log >&2; fail "$n areas could not be measured"; }
done
perl scripts/bench-scale.pl $results build/bench/scale.svg
