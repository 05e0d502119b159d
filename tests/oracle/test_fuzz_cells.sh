#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The list of results that the oracle reaches: docs/testing.md has the tool's, and a run that misses some says which.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$VMAKIT" fuzz --cells >"$dir/tool"
sed -n '/^| call | results |$/,/^$/p' docs/testing.md | sed '1,2d;/^$/d' >"$dir/docs"
[ -s "$dir/docs" ]
diff "$dir/docs" "$dir/tool"

[ "$(uname -m)" = x86_64 ] || exit 77
status=0
"$VMAKIT" fuzz --ops 3000 --seed 5 --check-cells=1000000 --output "$dir" >"$dir/out" 2>"$dir/err" || status=$?
if [ "$status" = 4 ]; then
    cat "$dir/err"
    exit 77 # this machine does not let a process be experimented with
fi
[ "$status" = 1 ]
grep -Eq '^cell mmap ok: [0-9]+ of 1000000$' "$dir/out"
grep -Eq '^0 of [0-9]+ cells hit 1000000 times or more$' "$dir/out"
[ "$(tail -n 1 "$dir/out")" = "3000 operations, 0 divergences" ]
# Few operations are not measured by what a million must reach, unless one asks.
"$VMAKIT" fuzz --ops 500 --seed 5 --output "$dir" >"$dir/out"
if grep -q '^cell ' "$dir/out"; then
    exit 1
fi
