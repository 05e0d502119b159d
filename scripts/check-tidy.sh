#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-tidy.sh - clang-tidy over the core, with the checks of .clang-tidy.
. "$(dirname "$0")/lib.sh"
mapfile -t sources < <(core_sources)
[ ${#sources[@]} -gt 0 ] || fail "no sources in src/"
printf '%s\n' "${sources[@]}" | xargs -P "$JOBS" -n 8 sh -c 'clang-tidy --quiet "$@" -- -std=c11 -Iinclude -Isrc \
    "-DVMK_SYNC_HEADER=\"vmakit/sync/none.h\"" 2>/dev/null' sh || exit 1
echo "${#sources[@]} files, nothing found"
