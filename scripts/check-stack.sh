#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-stack.sh [LIMIT] - from the compiler's own figures: no entry point of the core (a vmk_ function) uses more than
# LIMIT bytes of stack (2048), whatever it calls; no recursion; no variable-length array. Calls through pointers (hooks)
# are not followed, except those that scripts/stack-calls.txt names: lines "caller callee", for pointers that the
# library sets itself.
. "$(dirname "$0")/lib.sh"
limit=${1:-2048}
out=$BUILD/stack
mapfile -t sources < <(core_sources)
[ ${#sources[@]} -gt 0 ] || fail "no sources in src/"

check() { # NAME COMPILER FLAG...
    local name=$1 compiler=$2 dir=$out/$1
    shift 2
    rm -rf "$dir"
    mkdir -p "$dir"
    printf '%s\0' "${sources[@]}" | xargs -0 -P "$JOBS" -I{} sh -c '
        source=$1 dir=$2; shift 2
        exec "$@" -c "$source" -o "$dir/$(echo "$source" | tr / _ | sed "s/\.c$/.o/")"' sh {} "$dir" \
        "$compiler" -std=c11 -O2 -fno-delete-null-pointer-checks -DNDEBUG -ffreestanding -fcallgraph-info=su,da -Iinclude -Isrc \
        '-DVMK_SYNC_HEADER="vmakit/sync/none.h"' "$@" || fail "$name: does not compile"
    perl scripts/stack.pl "$name" "$limit" scripts/stack-calls.txt "$dir"/*.ci
}

case $(uname -m) in
aarch64) check arm64 gcc ;;
*)
    check x86_64 gcc -mno-red-zone || exit 1
    command -v aarch64-linux-gnu-gcc >/dev/null || exit 0
    check arm64 aarch64-linux-gnu-gcc -mno-outline-atomics
    ;;
esac
