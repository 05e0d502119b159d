#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-speed.sh [COMMAND...] - what `vmakit run` costs: the start-up of gcc, python3, node and java, and with BUILD_TOO=1 a build of
# this project, natively and under run by turns; the ratio of the medians, and of the minima, which a busy machine disturbs
# least. REPEAT (11) says how often.
. "$(dirname "$0")/../scripts/lib.sh"
tool=$BUILD/vmakit
[ -x "$tool" ] || fail "$tool is not built"
repeat=${REPEAT:-11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'int main(void) { return 0; }\n' >"$work/a.c"

# A version manager's shim is a shell script: the program itself is meant.
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || true)

seconds() # COMMAND...: microseconds that it takes
{
    local begin=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>&1 </dev/null
    echo $((${EPOCHREALTIME/./} - begin))
}

median()
{
    sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

compare() # NAME COMMAND...
{
    local name=$1 i
    shift
    command -v "$1" >/dev/null || return 0
    : >"$work/native"
    : >"$work/run"
    seconds "$@" >/dev/null
    for ((i = 0; i < repeat; i++)); do
        seconds "$@" >>"$work/native"
        seconds "$tool" run ${OPTIONS:--q} -- "$@" >>"$work/run"
    done
    awk -v name="$name" -v native="$(median <"$work/native")" -v run="$(median <"$work/run")" \
        -v least_native="$(sort -n "$work/native" | head -1)" -v least_run="$(sort -n "$work/run" | head -1)" \
        'BEGIN { printf "%-28s %8.1f ms native %8.1f ms run   %.2f times, minima %.2f\n", name, native / 1000, run / 1000,
                 run / native, least_run / least_native }'
}

if [ $# -gt 0 ]; then
    compare "$*" "$@"
    exit 0
fi
compare 'true' "$(type -P true)"
compare 'gcc -O2, a small file' gcc -O2 -o "$work/a" "$work/a.c"
compare 'gcc -O2 -c, from bench/' gcc -O2 -std=c11 -Iinclude -Isrc -c -o "$work/b.o" src/mm/mmap.c
[ -z "$python" ] || compare 'python3 -c pass' "$python" -c pass
compare 'node -e 0' node -e 0
compare 'java -version' java -version
if [ "${BUILD_TOO:-0}" = 1 ]; then
    repeat=3
    compare 'a build of libvmakit.a' sh -c "rm -rf '$work/build' && env -u CMAKE_C_COMPILER_LAUNCHER cmake -G Ninja -S . \
        -B '$work/build' >/dev/null && ninja -C '$work/build' -j2 libvmakit.a"
fi
