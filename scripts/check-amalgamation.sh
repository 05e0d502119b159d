#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-amalgamation.sh - the two files compile without warnings with gcc and clang, with both lock choices; and the
# examples, compiled against vmakit.h and linked with vmakit.c and the hosted port only, run.
. "$(dirname "$0")/lib.sh"
out=$BUILD/amalgamation
scripts/amalgamate.sh "$out" || exit 1
flags=(-std=c11 -O1 -g -Wall -Wextra -Wpedantic -Wundef -Werror) # a local may shadow another file's static
for compiler in gcc clang; do
    command -v $compiler >/dev/null || continue
    $compiler "${flags[@]}" -I"$out" -c "$out/vmakit.c" -o "$out/vmakit-$compiler.o" || fail "not with $compiler"
    $compiler "${flags[@]}" -ffreestanding -I"$out" -c "$out/vmakit.c" -o "$out/free-$compiler.o" ||
        fail "not freestanding with $compiler"
done
gcc "${flags[@]}" -D_GNU_SOURCE= '-DVMK_SYNC_HEADER="vmakit/sync/pthread.h"' -I"$out" -Iinclude -c "$out/vmakit.c" \
    -o "$out/vmakit-pthread.o" || fail "not with sync/pthread.h"

# Every <vmakit/x.h> of an example becomes vmakit.h.
shim=$out/shim
rm -rf "$shim"
mkdir -p "$shim/vmakit"
for header in include/vmakit/*.h; do
    case $header in
    */linux_names.h) cp "$header" "$shim/vmakit/" ;;
    *) echo '#include "../../vmakit.h"' >"$shim/vmakit/${header##*/}" ;;
    esac
done
ran=0
mapfile -t port < <(find ports/linux -name '*.c')
for example in examples/*.c examples/*/; do
    [ -e "$example" ] || continue
    if [ -d "$example" ]; then
        mapfile -t sources < <(find "$example" -name '*.c')
        [ ${#sources[@]} -gt 0 ] || continue
    else
        sources=("$example")
    fi
    name=$(basename "$example" .c)
    gcc -std=c11 -O1 -g -D_GNU_SOURCE= -Wall -Wextra -Werror -I"$shim" '-DVMK_SYNC_HEADER="vmakit/sync/none.h"' -pthread \
        "${sources[@]}" "${port[@]}" "$out/vmakit-gcc.o" -o "$out/$name" || fail "$example: does not build"
    "$out/$name" >"$out/$name.out" 2>&1 || fail "$example: fails: $(tail -n 5 "$out/$name.out")"
    ran=$((ran + 1))
done
echo "compiles with gcc and clang; $ran examples run on it"
