#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit trace: short programs with no divergence, options, statuses passed through, and what goes wrong by name.
set -u
VMAKIT=${VMAKIT:-build/vmakit}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# Tracing needs the right to do so; a container without it cannot run this test.
if ! "$VMAKIT" trace -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi

for source in "$here"/programs/*.c; do
    ${CC:-cc} -O1 -pthread -w -o "$work/$(basename "${source%.c}")" "$source" || exit 1
done

# run STATUS NAME [OPTION...] -- CMD...: the exit status, and that stderr ends in a summary without divergences.
run()
{
    local status=$1 name=$2
    shift 2
    (cd "$work" && "$VMAKIT" trace "$@") >"$work/out" 2>"$work/err" </dev/null
    local got=$?
    if [ $got -ne "$status" ]; then
        echo "FAILED $name: status $got, not $status"
        head -40 "$work/err"
        failures=$((failures + 1))
        return 1
    fi
    echo "ok $name: $(tail -1 "$work/err")"
}

# mirrored STATUS NAME ...: run, and the last line says so.
mirrored()
{
    run "$@" || return
    if ! tail -1 "$work/err" | grep -qE '^[0-9]+ calls mirrored, 0 divergences$'; then
        echo "FAILED $2: the last line is: $(tail -1 "$work/err")"
        failures=$((failures + 1))
    fi
    if grep -oE '[0-9]+ of [0-9]+ addresses' "$work/err" | awk '$1 != $3 { bad = 1 } END { exit !bad }'; then
        echo "FAILED $2: an address was not predicted"
        failures=$((failures + 1))
    fi
    return 0
}

# says TEXT: the last run's stderr or stdout has it.
says()
{
    grep -qE -- "$1" "$work/err" "$work/out" && return
    echo "FAILED: nothing says '$1' in:"
    cat "$work/err"
    failures=$((failures + 1))
}

VMAKIT=$(realpath "$VMAKIT")

mirrored 0 true -- true
mirrored 0 ls -- ls -lR /etc/alternatives
mirrored 0 pipeline -- sh -c 'ls / | sort | wc -l'
mirrored 7 status -- sh -c 'exit 7'
mirrored 137 killed -- sh -c 'kill -9 $$'
mirrored 42 calls -- ./calls
says '^called$'
mirrored 42 'calls, seldom' --check=10 -- ./calls
mirrored 42 'calls, at exit' --check=exit -- ./calls
mirrored 42 'calls, randomised' --random -- ./calls
mirrored 0 threads -- ./threads
mirrored 0 'threads, randomised' --random --check=exit -- ./threads
mirrored 0 faults -- ./faults
# What the kernel could not reach for the program is seen on demand; without, each of the two ways makes a difference.
mirrored 0 accesses --accesses -- ./accesses
mirrored 0 'accesses, randomised' --accesses --random -- ./accesses
mirrored 42 'calls, with accesses' --accesses -- ./calls
for i in 1 2 3 4 5; do # whether each thread stands still is a matter of luck where it is not asked for
    mirrored 0 "threads, with accesses, $i" --accesses -- ./threads
done
run 120 'accesses not looked at, a read' -- ./accesses write
run 120 'accesses not looked at, a write' -- ./accesses read
mirrored 0 rings -- ./rings
mirrored 0 'rings, randomised' --random -- ./rings
mirrored 3 forks -- ./forks
says '^executed$'
mirrored 3 'forks, not followed' --follow=no -- ./forks
mirrored 0 'untraced children' -- ./untraced
grep -q 'traced all the same' "$work/out" && [ "$(grep -c ' calls (' "$work/err")" = 3 ] ||
    { echo "FAILED untraced children: not three processes"; failures=$((failures + 1)); }
mirrored 0 'untraced children, not followed' --follow=no -- ./untraced
mirrored 3 'untraced, and the flags cannot be changed' -- ./untraced fixed
mirrored 139 stack -- ./stack
mirrored 143 signal -- ./stack terminate
mirrored 0 'unlimited stack' -- sh -c 'ulimit -s unlimited; ls /'
mirrored 0 'large stack' -- sh -c 'ulimit -s 100000; ls /'
mirrored 0 'bottom-up layout' -- setarch -L ls /
mirrored 0 'bottom-up layout, not randomised' -- setarch -RL ls /
mirrored 0 'readable implies executable' -- setarch -X ls /
mirrored 0 'stopped and continued' -- sh -c '(sleep 0.3; kill -CONT $$) & kill -STOP $$; wait'
mirrored 0 'a killed child' -- sh -c 'sleep 9 & kill -9 $!; wait $! || true'
mirrored 42 'address space limit' -- sh -c 'ulimit -v 60000; ./calls'
mirrored 0 compiler -- sh -c "echo 'int main(void){return 0;}' > '$work/a.c' && ${CC:-cc} -O2 -o '$work/a' '$work/a.c' && '$work/a'"

# Options that write.
mirrored 42 record --record "$work/calls.trace" --json "$work/calls.json" --map -- ./calls
says '\[heap\]'
grep -q 'mmap' "$work/calls.trace" || { echo "FAILED: no mmap in the record"; failures=$((failures + 1)); }
grep -q '"calls_mirrored"' "$work/calls.json" || { echo "FAILED: json"; failures=$((failures + 1)); }
# Stripped of results, and with addresses said by where they came from, a record leads to the same maps.
# Whole, its results are the engine's too.
for program in calls threads forks rings faults stack accesses; do
    for bare in --bare ''; do
        (cd "$work" && "$VMAKIT" trace -q --random --accesses $bare --record "$program.trace" -- ./$program) >/dev/null 2>"$work/err"
        if ! "$VMAKIT" replay "$work/$program.trace" >"$work/out" 2>&1; then
            echo "FAILED: the record $bare of $program does not replay:"
            tail -5 "$work/out"
            failures=$((failures + 1))
        fi
    done
done
mirrored 0 quiet -q -- true
[ "$(wc -l <"$work/err")" -eq 1 ] || { echo "FAILED: --quiet prints more"; failures=$((failures + 1)); }
run 4 'unwritable record' --record /nonexistent/file -- true
says 'No such file'

run 4 'unwritable JSON' --json /nonexistent/file -- touch "$work/was-run"
says '/nonexistent/file: No such file'
[ ! -e "$work/was-run" ] || { echo "FAILED: the program ran although its JSON cannot be written"; failures=$((failures + 1)); }
run 4 'JSON on a full disk' --json /dev/full -- true
says '/dev/full: No space left on device'

# What cannot be.
run 127 'no such program' -- /no/such/program
says 'No such file or directory'
run 126 'not a program' -- /etc/passwd
says 'Permission denied'
run 2 'no command' --
run 2 'unknown option' --nonsense -- true
run 2 'bad interval' --check=0 -- true
if command -v strace >/dev/null; then
    run 121 'another tracer' -- strace -o /dev/null true
    says 'one tracer only'
fi

# A short slice of `make trace-programs`, and how it ends when something is wrong.
programs()
{
    local status=$1 got
    shift
    BUILD=$(dirname "$VMAKIT") "$here/../../scripts/trace-programs.sh" "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got -eq "$status" ] && return
    echo "FAILED: trace-programs.sh $*: status $got, not $status"
    cat "$work/out" "$work/err"
    failures=$((failures + 1))
}
programs 0 pipeline bash perl
says '^VERDICT: 3 programs, .* addresses predicted, 0 divergences'
programs 1 no-such-program
says 'none of these'

# leads_there RULE: the record that the last divergence printed is the kernel's: only the broken engine differs from it.
leads_there()
{
    sed -n '/^vmakit-trace 1/,$p' "$work/err" | grep -vE '^[0-9]+ calls mirrored|^[0-9]+ [^ ]*: [0-9]+ calls' >"$work/short"
    "$VMAKIT" replay "$work/short" >"$work/out" 2>&1 || { echo "FAILED: the short record of $1:"; tail -n 5 "$work/out"; failures=$((failures + 1)); }
    "$VMAKIT" replay --break "$1" "$work/short" >"$work/out" 2>&1
    [ $? -eq 1 ] && return
    echo "FAILED: the short record of $1 does not lead there"
    tail -n 5 "$work/out"
    failures=$((failures + 1))
}

# A broken rule is noticed by a program that uses it (test builds).
if "$VMAKIT" trace --break help >/dev/null 2>&1; then
    for rule in merge_file merge_pgoff account_kept protect_partial place_guard place_huge place_again advise_refused; do
        run 120 "broken $rule" --break $rule -- ./calls
    done
    OPTIONS='--break brk_alone' programs 120 perl
    says '^VERDICT: not all'
    for rule in merge_anon_vma fork_identity; do
        run 120 "broken $rule" --break $rule -- ./forks
        says 'divergence in'
        says '^vmakit-trace 1'
    done
    run 120 'broken place_huge' --break place_huge -- ./calls
    leads_there place_huge
    run 120 "broken account_kept, with modes" --break account_kept -- ./modes
    leads_there account_kept
    run 120 "broken account_kept, in a child" --break account_kept -- ./modes child
    leads_there account_kept
fi

[ $failures -eq 0 ] && echo "all good"
exit $((failures != 0))
