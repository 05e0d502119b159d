#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# trace-programs.sh [NAME...] - the programs of programs.sh under `vmakit trace`, each with the fixed and with the randomised
# layout: a line for each (calls mirrored; addresses predicted of those that the kernel chose; divergences) and a verdict.
# The exit status is 0 when each ran as it does natively, was mirrored whole, and had no divergence and no address that was
# not predicted; 120 when one diverged or an address was missed; 1 when one could not be traced, answered otherwise, or none
# was there. OPTIONS are trace's own.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
tool=$(realpath "$BUILD/vmakit")
[ -x "$tool" ] || fail "$tool is not built"
traced=0
diverged=0
failed=0
all_calls=0
all_chosen=0

# The sum of a number in the summary that trace wrote as JSON.
sum_of()
{
    awk -v key="\"$1\":" '$1 == key { sum += $2 } END { print sum + 0 }' "$work/json"
}

# trace_way NAME SCRIPT WAY [OPTION]: one traced run; says what is to be said of it in `said`, and counts.
trace_way()
{
    local name=$1 script=$2 way=$3 last calls chosen predicted divergences
    shift 3
    run_in_empty "$way" 900 "$tool" trace ${OPTIONS:-} "$@" --json "$work/json" -- bash -c "$script"
    last=$(grep -aE '^[0-9]+ calls mirrored, [0-9]+ divergences$' "$work/$way.err" | tail -n 1)
    read -r calls _ _ divergences _ <<<"${last:-0 calls mirrored, none divergences}"
    chosen=$(sum_of addresses_chosen)
    predicted=$(sum_of addresses_predicted)
    said="$said $calls $predicted/$chosen $divergences"
    all_calls=$((all_calls + calls))
    all_chosen=$((all_chosen + chosen))
    if [ "$divergences" = none ]; then
        because="$because; $way: not mirrored whole: $(grep -a '^vmakit' "$work/$way.err" | tail -n 1)"
        failed=1
    elif [ "$divergences" != 0 ] || [ "$predicted" != "$chosen" ]; then
        because="$because; $way: DIVERGED"
        cp "$work/$way.err" "$BUILD/trace-$name-$way.log"
        diverged=1
    elif ! cmp -s "$work/native.out" "$work/$way.out"; then
        because="$because; $way: answered otherwise: $(diff "$work/native.out" "$work/$way.out" | head -n 3 | tr '\n' ' ')"
        failed=1
    elif [ "$chosen" = 0 ] || grep -aq 'no longer mirrored' "$work/$way.err"; then
        because="$because; $way: not mirrored whole"
        failed=1
    fi
}

judge()
{
    local said='' because=''
    trace_way "$1" "$2" fixed
    trace_way "$1" "$2" random --random
    # shellcheck disable=SC2086
    printf '%-17s %7s %11s %3s %9s %11s %3s%s\n' "$1" $said "$because"
    traced=$((traced + 1))
}

printf '%-17s %7s %11s %3s %9s %11s %3s\n' '' fixed: addresses '' random: addresses '' \
    program calls predicted div calls predicted div
all_programs "$@"

echo
[ -z "$absent" ] || echo "not installed:$absent"
[ $traced != 0 ] || fail 'none of these programs is known and installed'
if [ $diverged = 0 ] && [ $failed = 0 ]; then
    echo "VERDICT: $traced programs, each with fixed and with randomised layout: $all_calls calls mirrored, all $all_chosen" \
        "addresses predicted, 0 divergences."
    exit 0
fi
echo "VERDICT: not all of $traced programs were mirrored without a divergence; see above."
[ $diverged = 0 ] || exit 120
exit 1
