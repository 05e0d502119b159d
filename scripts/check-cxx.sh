#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-cxx.sh - each public header compiles alone, twice in a row, as C11 and as C++17.
. "$(dirname "$0")/lib.sh"
bad=0
count=0
try() { # HEADER COMMAND...
    local header=$1
    shift
    command -v "$1" >/dev/null || return 0
    printf '#include "%s"\n#include "%s"\ntypedef int vmk_check_unit;\n' "$header" "$header" |
        "$@" -Wall -Wextra -Wpedantic -Wundef -Werror -Iinclude -fsyntax-only - || {
        echo "include/$header: not with $1" >&2
        bad=1
    }
}
for header in include/vmakit/*.h include/vmakit/sync/*.h; do
    name=${header#include/}
    count=$((count + 1))
    system=()
    case $name in vmakit/sync/*) system=(-D_GNU_SOURCE) ;; esac
    try "$name" gcc -x c -std=c11 -Wstrict-prototypes "${system[@]}"
    try "$name" clang -x c -std=c11 -Wstrict-prototypes "${system[@]}"
    case $name in vmakit/sync/*) continue ;; esac # the core, which is C, includes these
    try "$name" g++ -x c++ -std=c++17
    try "$name" clang++ -x c++ -std=c++17
done
[ $bad = 0 ] || exit 1
echo "$count headers compile alone as C11 and C++17"
