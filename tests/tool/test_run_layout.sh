#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit run with another layout than the kernel's: what a program sees of itself, and what /proc shows from outside.
. "$(dirname "$0")/lib.sh"
VMAKIT=$(realpath "$VMAKIT")

if ! "$VMAKIT" run -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi
for name in calls forks threads; do
    ${CC:-cc} -O1 -pthread -pie -fPIE -w -o "$work/$name" "$here/programs/$name.c" || exit 1
done
cat >"$work/fixed.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
int main(void) { return malloc(100000) == NULL || malloc(10000000) == NULL; }
END
${CC:-cc} -O1 -no-pie -w -o "$work/fixed" "$work/fixed.c" || exit 1
cd "$work" || exit 1

# decided STATUS NAME OPTION... -- CMD...
decided()
{
    expect "$1" "$2" run "${@:3}" || return
    tail -1 err | grep -qE '^[0-9]+ calls decided, 0 divergences$' || fail "$2: the last line is: $(tail -1 err)"
}

# inside NAME LOW HIGH OPTION...: every mapping of a program lies there, seen from outside.
inside()
{
    local name=$1 low=$((16#$2)) high=$((16#$3)) start end rest count=0
    mkfifo go
    "$VMAKIT" run --check=every "${@:4}" -- sh -c 'echo $$ >pid; read -r line <go; ls / >/dev/null' 2>err &
    local runner=$!
    until [ -s pid ]; do sleep 0.05; done
    while IFS='- ' read -r start end rest; do
        [[ $rest == *vsyscall* ]] && continue
        count=$((count + 1))
        [ $((16#$start)) -ge $low ] && [ $((16#$end)) -le $high ] || fail "$name: $start-$end $rest"
    done <"/proc/$(cat pid)/maps"
    echo >go
    wait $runner || fail "$name: status $?"
    [ $count -gt 10 ] || fail "$name: only $count mappings"
    tail -1 err | grep -qE ', 0 divergences$' || fail "$name: $(tail -1 err)"
    rm -f go pid
    echo "ok $name"
}

inside 'window of 1 GiB' 100000000 140000000 --window=100000000-140000000
inside 'window of 256 MiB, seeded' 10000000 20000000 --window=0x10000000-0x20000000 --seed=3
inside '39 bits' 10000 8000000000 --va-bits=39

# Calls, threads, forks and execs under each layout.
for options in --bottom-up '--bottom-up --base=10000000000' --base=400000000000 --va-bits=39 --seed=77 \
    --window=100000000-180000000; do
    # shellcheck disable=SC2086
    {
        decided 42 "calls $options" --check=every $options -- ./calls
        decided 0 "threads $options" --check=every $options -- ./threads
        decided 3 "forks $options" --check=every $options -- ./forks
    }
done

# One seed, one layout; another seed, another.
for seed in 5 5 6; do
    decided 0 "seed $seed" --seed=$seed -- sh -c 'cat /proc/self/maps'
    grep -v vsyscall out >>"maps.$seed"
    grep -v vsyscall out >"last.$seed"
done
[ "$(sort maps.5 | uniq -c | awk '$1 != 2' | wc -l)" -eq 0 ] || fail "one seed gave two layouts"
[ "$(comm -12 <(sort last.5) <(sort last.6) | wc -l)" -eq 0 ] || fail "two seeds gave one mapping the same place"

# Where free placement begins and ends.
decided 0 'bottom-up base' --bottom-up --base=10000000000 -- cat /proc/self/maps
grep -q '^10000000000-' out || fail 'nothing lies at the base'
decided 0 'top-down base' --base=400000000000 -- cat /proc/self/maps
grep -q -- '-400000000000 ' out || fail 'nothing ends at the base'

decided 0 'fixed addresses' --window=100000000-140000000 -- ./fixed
says err 'is linked to fixed addresses: its image stays outside, at 400000'
decided 0 'command line' --seed=4 -- sh -c 'tr "\0" " " </proc/$$/cmdline' name and more
says out 'sh -c tr "\0" " " </proc/$$/cmdline name and more'

for bad in --window=1-2 --window=abc --window=10000000 --window=-5 --window=20000000-10000000 --va-bits=20 \
    --va-bits=64 --base=123 --base=hello --base=fffffffffffff000 '--window=10000000-10001000' --seed=x; do
    expect 2 "bad $bad" run "$bad" -- true && grep -qE '^vmakit' err || fail "$bad: no message"
done
[ "$failures" -eq 0 ]
