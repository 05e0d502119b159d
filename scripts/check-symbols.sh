#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-symbols.sh - global symbols of libvmakit.a begin with vmk_ or vmki_, and libvmakit.so shows vmk_ only.
. "$(dirname "$0")/lib.sh"
[ -e "$BUILD/libvmakit.a" ] && [ -e "$BUILD/libvmakit.so" ] || fail "no libraries in $BUILD; run make first"

bad=$(nm -g --defined-only "$BUILD/libvmakit.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^vmki?_/ { print "    " $3 }')
[ -z "$bad" ] || fail "global symbols of libvmakit.a without vmk_ or vmki_:"$'\n'"$bad"
bad=$(nm -D --defined-only "$BUILD/libvmakit.so" | awk 'NF == 3 && $3 !~ /^vmk_/ { print "    " $3 }')
[ -z "$bad" ] || fail "libvmakit.so exports other names than vmk_:"$'\n'"$bad"

# Every function that a public header declares is exported: one that is not was forgotten or lacks VMK_API.
exported=$(nm -D --defined-only "$BUILD/libvmakit.so" | awk 'NF == 3 { print $3 }' | sort -u)
declared=$(gcc -E -P -std=c11 -Iinclude include/vmakit/vmakit.h | tr '\n' ' ' | perl -0ne '
    print "$1\n" while /__attribute__\(\(visibility\("default"\)\)\)[^;()]*?\b(vmk_\w+)\s*\(/g;' | sort -u)
bad=$(comm -13 <(echo "$exported") <(echo "$declared"))
[ -z "$bad" ] || fail "declared VMK_API in a public header, but not in libvmakit.so:"$'\n'"$bad"
echo "$(echo "$exported" | grep -c .) symbols exported, all with the prefix"
