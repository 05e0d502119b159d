#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit run: programs that live on the engine's decisions, limits and policies, what goes wrong by name.
. "$(dirname "$0")/lib.sh"
VMAKIT=$(realpath "$VMAKIT")

if ! "$VMAKIT" run -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi
for source in "$here"/programs/*.c; do
    ${CC:-cc} -O1 -pthread -w -o "$work/$(basename "${source%.c}")" "$source" || exit 1
done
cd "$work" || exit 1

# decided STATUS NAME [OPTION...] -- CMD...: the exit status, and a last line without divergences.
decided()
{
    expect "$1" "run: $2" run "${@:3}" || return
    tail -1 err | grep -qE '^[0-9]+ calls decided, 0 divergences$' || fail "$2: the last line is: $(tail -1 err)"
}

decided 0 true -- true
decided 0 ls -- ls -lR /etc/alternatives
decided 0 pipeline -- sh -c 'ls / | sort | wc -l'
decided 7 status -- sh -c 'exit 7'
decided 137 killed -- sh -c 'kill -9 $$'
for check in every 10 exit none; do
    decided 42 "calls, --check=$check" --check=$check -- ./calls
    says out called
done
decided 42 'calls, randomised' --random --check=every -- ./calls
decided 0 threads --check=every -- ./threads
decided 0 rings --check=every -- ./rings
says err 'placed by the kernel'
decided 3 forks --check=every -- ./forks
says out executed
decided 139 stack --check=every -- ./stack
decided 143 signal -- ./stack terminate
decided 0 'bottom-up layout' --check=every -- setarch -RL ls /
decided 0 'unlimited stack' --check=every -- sh -c 'ulimit -s unlimited; ls /'
decided 0 'stopped and continued' -- sh -c '(sleep 0.3; kill -CONT $$) & kill -STOP $$; wait'
decided 0 'a killed child' -- sh -c 'sleep 9 & kill -9 $!; wait $! || true'
decided 0 compiler -- sh -c "echo 'int main(void){return 0;}' > a.c && ${CC:-cc} -O2 -o a a.c && ./a"
decided 0 registers -- ./decided registers
says out kept
decided 0 '200 children' -- ./decided children 200
says out '200 good'
decided 0 'two threads at the same ranges' --check=20 -- ./decided race
./decided advise >advised
for check in every exit; do
    decided 0 "advice, --check=$check" --check=$check -- ./decided advise
    cmp -s out advised || fail "advice, --check=$check: another output than natively"
done
decided 0 'an area that is written while it is taken away' --check=every -- ./decided late 300

# A call without an action in the kernel is one stop.
stops()
{
    decided 0 "$1 rounds" -- ./decided idle "$1"
    says out idle
    stopped=$(sed -n 's/.* \([0-9]*\) stops$/\1/p' err)
}
stops 10
few=${stopped:-0}
stops 510
[ $((stopped - few)) = 3000 ] || fail "3000 calls with nothing to do: $((stopped - few)) stops"
# So is one whose end shows in the areas, also beside other threads.
decided 0 'ends that are looked at' --check=1000000 -- ./decided registers
looked=$(sed -n 's/.* \([0-9]*\) stops$/\1/p' err)
decided 0 'ends that show' -- ./decided registers
unseen=$(sed -n 's/.* \([0-9]*\) stops$/\1/p' err)
[ "$unseen" -lt "$looked" ] || fail "$unseen stops, and $looked with all ends"
for _ in 1 2 3; do
    decided 0 'ends that show, six threads' -- ./threads
    decided 0 'ends that show, two threads at the same ranges' -- ./decided race
done

# A second thread is tried on the same processor, and gets one of its own when it wants it.
if [ "$(nproc)" -gt 1 ]; then
    decided 0 'two busy threads' -- ./decided spread
    says out "one, then several; $(nproc) and $(nproc)"
fi

# Real programs, natively and here: a short slice of `make run-programs`.
(cd "$here/../.." && BUILD=$(dirname "$VMAKIT") scripts/run-programs.sh pipeline gcc perl python python-threads) >out 2>&1 ||
    { fail 'real programs'; cat out; }

# Limits live in the engine.
decided 0 'areas' --max-map-count 3000 -- ./decided areas 1000
says out all
decided 1 'too many areas' --max-map-count 1000 -- ./decided areas 1000
says out 'Cannot allocate memory'
# A tool built with AddressSanitizer cannot even execute CMD under RLIMIT_AS: its shadow is larger.
sanitized=$(grep -c __asan_init "$VMAKIT")
if [ "$sanitized" = 0 ]; then
    decided 0 'limits' --rlimit AS=2G -- ./decided limits
    says out 'as 2147483648'
    says out 'large Cannot allocate memory'
    says out 'crossed Invalid argument'
    says out 'now 268435456'
fi
decided 0 'ulimit' -- sh -c 'ulimit -v 300000; ./decided areas 10; ulimit -v'
says out 300000
decided 0 'pretended memory' --ram 64M --overcommit 2 --overcommit-ratio 100 --check=every -- ./decided areas 100
decided 42 'another overcommit mode' --overcommit 1 --check=every -- ./calls
"$VMAKIT" run -q --ram 16M --overcommit 2 -- ./leak >out 2>err </dev/null
decided 0 'a page behind every mapping' --guard --check=every -- ./threads

# Calls that fail on purpose: one of them leaks.
decided 0 'nothing fails' -- ./leak
found=''
for nth in $(seq 1 40); do
    "$VMAKIT" run -q --fail "$nth" -- ./leak >out 2>err </dev/null
    [ $? = 3 ] && found=$nth
done
[ -n "$found" ] || fail 'no failing call shows the leak'
expect 3 'the leak' run --fail "${found:-1}" -- ./leak
says err 'fails on purpose: Cannot allocate memory'
says err '1 of them on purpose'
says out 'failed, 1 buffers left'
"$VMAKIT" run --fail 30% --seed 5 -- ./leak >out1 2>err1
"$VMAKIT" run --fail 0.3 --seed 5 -- ./leak >out2 2>err2
[ "$(grep -c 'on purpose' err1)" = "$(grep -c 'on purpose' err2)" ] || fail 'one seed, two runs'

# From outside: a refused mapping is not there, an allowed one is where the program was told.
outside() # NAME OPTION...: starts ./decided pause (or $does); its process and address are in $child and $at
{
    local name=$1
    shift
    rm -f fifo
    mkfifo fifo
    "$VMAKIT" run -q "$@" -- ./decided "${does:-pause}" >out 2>err <fifo &
    tool=$!
    exec 9>fifo
    for _ in $(seq 100); do
        [ -s out ] && break
        sleep 0.05
    done
    read -r child at <out || fail "$name: the program says nothing"
}
areas_of_64m()
{
    perl -ne '/^(\w+)-(\w+)/ && hex($2) - hex($1) == 64 << 20 && $n++; END { print $n + 0 }' "/proc/$child/maps"
}
outside 'an allowed mapping'
[ "$(areas_of_64m)" = 1 ] || fail "$(areas_of_64m) areas of 64 MiB"
grep -q "^${at#0x}-" "/proc/$child/maps" || fail "no area at $at"
# One task: it and the tool share a processor.
if [ "$(nproc)" -gt 1 ]; then
    shared=$(grep Cpus_allowed_list "/proc/$child/status")
    [[ $shared =~ :[[:space:]]*[0-9]+$ ]] || fail "more than one processor: $shared"
    [ "$shared" = "$(grep Cpus_allowed_list "/proc/$tool/status")" ] || fail 'two processors'
fi
echo >&9
exec 9>&-
wait $tool || fail 'its status'
for nth in $(seq 1 40); do # which of its calls asks for the 64 MiB?
    "$VMAKIT" run --fail "$nth" -- ./decided pause </dev/null >out 2>err
    grep -q "call $nth, mmap(0x0, 0x4000000, .* fails on purpose" err && break
done
outside 'a mapping that fails on purpose' --fail "$nth"
[ "$at" = '(nil)' ] || fail "it is at $at"
[ "$(areas_of_64m)" = 0 ] || fail 'what failed on purpose is in maps'
[ "$(wc -l <"/proc/$child/maps")" -gt 10 ] || fail 'no map'
echo >&9
exec 9>&-
wait $tool || fail 'its status after a failure on purpose'
last=$("$VMAKIT" run --check=none --fail 1 -- true 2>&1 | grep -c 'call 1,')
[ "$last" = 1 ] || fail 'the first call fails'
if [ "$sanitized" = 0 ]; then
    outside 'a refused mapping' --rlimit AS=32M
    [ "$at" = '(nil)' ] || fail "a refused mapping is at $at"
    [ "$(areas_of_64m)" = 0 ] || fail 'a refused mapping is in maps'
    echo >&9
    exec 9>&-
    wait $tool
fi

# A limit that somebody else sets: the kernel refuses what the engine allows, whether the end of the call is looked at or not.
# Both are equal afterwards.
if type prlimit >/dev/null 2>&1; then
    for check in exit every; do
        does=fixed outside 'a limit from outside' --check=$check
        prlimit --data=4096 --pid "$child"
        echo >&9
        exec 9>&-
        wait $tool
        [ $? = 5 ] || fail "$check: its status after a limit from outside"
        says out 'over it Cannot allocate memory'
        grep -q '0x[0-9a-f]*, 0x100000, .*: the engine decided 0x[0-9a-f]*, the kernel' err || {
            fail "$check: no divergence by name"
            cat err
        }
        [ "$(grep -c 'divergence' err)" = 1 ] || fail "$check: more than one divergence"
    done
fi

# Killed: nobody stays behind, stopped.
outside 'a killed tracer'
kill -9 $tool
exec 9>&-
wait $tool 2>/dev/null
for _ in $(seq 50); do
    [ -d "/proc/$child" ] || break
    sleep 0.05
done
[ ! -d "/proc/$child" ] || fail "the program outlives its tracer: $(cat "/proc/$child/stat")"
outside 'a killed program'
kill -9 "$child"
exec 9>&-
wait $tool
[ $? = 137 ] || fail 'a killed program'

# Threads that are killed inside a call have not been refused anything.
for round in $(seq 24); do
    "$VMAKIT" run -q -- ./decided race </dev/null >out 2>err &
    tool=$!
    sleep "0.0$((round % 8 + 1))"
    child=$(cat "/proc/$tool/task/$tool/children" 2>/dev/null)
    # shellcheck disable=SC2086
    kill "-$((round % 2 == 0 ? 9 : 15))" $child 2>/dev/null
    wait $tool 2>/dev/null
    grep divergence err && fail "threads killed in round $round"
done

# Children that are not to be traced are decided all the same, and see nothing of it.
decided 0 'untraced children' --check=every -- ./untraced
says out 'traced all the same'
decided 3 'untraced, and the flags cannot be changed' -- ./untraced fixed
says err 'Operation not permitted'

# What cannot be.
decided 0 'a program that wants to be traced' -- ./decided traceme
says out 'Operation not permitted'
says err 'one tracer only'
cp "$(type -P true)" privileged
if [ "$(id -u)" = 0 ] && chown nobody privileged 2>/dev/null && chmod u+s privileged; then
    decided 126 'a setuid program' -- sh -c ./privileged
    says err 'it gains privileges'
    decided 0 'a setuid program, untouched' --untouched -- sh -c ./privileged
fi
printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0' >small
chmod +x small
decided 126 'a 32-bit program' -- sh -c 'exec ./small'
says err 'it is a 32-bit program'
expect 127 'no such program' run -- /no/such/program
says err 'No such file or directory'
expect 126 'not a program' run -- /etc/passwd
expect 2 'no command' run --
for bad in --check=0 --fail=0 --fail=x --fail=2.0 --rlimit=AS --rlimit=CPU=5 --rlimit=AS=5Q --overcommit=3 --ram=0 \
    --max-map-count=0 --seed=x; do
    expect 2 "$bad" run "$bad" -- true
done
expect 0 'quiet' run -q -- true
[ ! -s err ] || fail '--quiet prints something'
finish
