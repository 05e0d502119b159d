#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# amalgamate.sh [OUT] - writes OUT/vmakit.c and OUT/vmakit.h (build/amalgamation), and compiles them once.
. "$(dirname "$0")/lib.sh"
out=${1:-$BUILD/amalgamation}
mkdir -p "$out"
perl scripts/amalgamate.pl "$out" || fail "could not be written"
"${CC:-cc}" -std=c11 -O1 -Wall -Wextra -I"$out" -c "$out/vmakit.c" -o "$out/vmakit.o" ||
    fail "does not compile: most likely a name that two files of src/ use for themselves (see scripts/amalgamate.pl)"
echo "$out/vmakit.c ($(wc -l <"$out/vmakit.c") lines), $out/vmakit.h ($(wc -l <"$out/vmakit.h") lines)"
