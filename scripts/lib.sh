# SPDX-License-Identifier: MIT
# lib.sh - what the scripts of this folder share; sourced. Leaves the working directory at the top of the source tree.
# shellcheck shell=bash
set -u
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
BUILD=${BUILD:-build}
JOBS=${JOBS:-$(nproc)}

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# The tracked files that match (git's patterns), or, where this is no checkout, those found.
source_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -- "$@"
        git ls-files --others --exclude-standard -- "$@"
    else
        local pattern
        for pattern in "$@"; do
            find . -path ./build -prune -o -type f -name "${pattern##*/}" -print | sed 's|^\./||'
        done
    fi | sort -u | while read -r file; do
        [ -f "$file" ] && printf '%s\n' "$file" # not one that is deleted but still in the index
    done
}

# The sources of the core.
core_sources() {
    find src -name '*.c' | sort
}
