#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-freestanding.sh - src/ compiles without an operating system for x86-64 and arm64, needs nothing but memcpy,
# memset, memcmp and memmove, and has no writable global.
. "$(dirname "$0")/lib.sh"
out=$BUILD/freestanding
mapfile -t sources < <(core_sources)
[ ${#sources[@]} -gt 0 ] || fail "no sources in src/"

check() { # NAME COMPILER FLAG...
    local name=$1 compiler=$2 dir=$out/$1
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir"
    printf '%s\0' "${sources[@]}" | xargs -0 -P "$JOBS" -I{} sh -c '
        source=$1 dir=$2; shift 2
        object=$dir/$(echo "$source" | tr / _ | sed "s/\.c$/.o/")
        exec "$@" -c "$source" -o "$object"' sh {} "$dir" \
        "$compiler" -std=c11 -O2 -fno-delete-null-pointer-checks -fno-pic -fno-pie -ffreestanding -nostdlib -Wall -Wextra -Wpedantic -Werror -Iinclude -Isrc \
        '-DVMK_SYNC_HEADER="vmakit/sync/none.h"' "$@" || fail "$name: does not compile freestanding"
    "$compiler" -nostdlib -r -o "$dir/all.o" "$dir"/src_*.o || fail "$name: ld -r failed"

    local bad
    bad=$(nm -u "$dir/all.o" | awk '$2 !~ /^(memcpy|memset|memcmp|memmove)$/ { print "    " $2 }')
    [ -z "$bad" ] || fail "$name: undefined symbols beyond memcpy, memset, memcmp, memmove:"$'\n'"$bad"
    bad=$(for object in "$dir"/src_*.o; do
        nm "$object" | awk -v o="${object##*/}" '$2 ~ /^[dDbBC]$/ { print "    " $3 " in " o }'
    done)
    # A table of pointers that the linker relocates is `d` in .data.rel.ro, and constant.
    if [ -n "$bad" ]; then
        bad=$(for object in "$dir"/src_*.o; do
            objdump -t "$object" 2>/dev/null | awk -v o="${object##*/}" '
                $0 ~ /[ \t]\.(data|bss|tdata|tbss)(\.[A-Za-z_0-9.]+)?[ \t]/ && $0 !~ /\.data\.rel\.ro/ && $0 !~ / d / {
                    print "    " $NF " in " o }
                $0 ~ /\*COM\*/ { print "    " $NF " in " o }'
        done)
    fi
    [ -z "$bad" ] || fail "$name: writable globals:"$'\n'"$bad"
    echo "$name: ${#sources[@]} files, undefined: $(nm -u "$dir/all.o" | awk '{ printf "%s ", $2 }')"
}

case $(uname -m) in
aarch64) check arm64 gcc -mno-outline-atomics ;;
*)
    check x86_64 gcc
    command -v aarch64-linux-gnu-gcc >/dev/null || fail "aarch64-linux-gnu-gcc is missing (scripts/deps.sh test)"
    check arm64 aarch64-linux-gnu-gcc -mno-outline-atomics
    ;;
esac
