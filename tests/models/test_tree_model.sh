#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# tree.pml under Spin: no violation in any state; and one for each thing that is left out of the protocol.
# EDITS and LOOKUPS make the models larger (make model).
set -u
command -v spin >/dev/null && command -v gcc >/dev/null || {
    echo "needs spin and gcc"
    exit 77
}
model=$SRC/tests/models/tree.pml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

errors() { # EDITS LOOKUPS -O -DNAME...: how many errors Spin finds, or nothing when it did not get to the end
    local edits=$1 lookups=$2 optimised=$3
    shift 3
    rm -f pan pan.*
    spin -a -DEDITS="$edits" -DLOOKUPS="$lookups" "$@" "$model" >spin.log 2>&1 &&
        gcc "$optimised" -w -DSAFETY -DCOLLAPSE -o pan pan.c 2>>spin.log && ./pan -m1000000 >pan.log 2>&1
    grep -qE 'max search depth too small|out of memory' pan.log && return
    sed -nE 's/.*errors: ([0-9]+).*/\1/p' pan.log
}

holds() { # NAME EDITS -D...
    local name=$1 edits=${EDITS:-$2} found
    shift 2
    found=$(errors "$edits" "${LOOKUPS:-1}" -O1 "$@")
    if [ "$found" = 0 ]; then
        echo "ok: $name: $(sed -nE 's/^ *([0-9]+) states, stored.*/\1/p' pan.log) states, no violation"
    else
        echo "FAIL: $name: errors in the protocol: ${found:-the search did not end}"
        cat spin.log pan.log
        failed=1
    fi
}

noticed() { # EDITS "-D..." WHAT...
    local edits=$1 reader=$2 missing found
    shift 2
    for missing in "$@"; do
        found=$(errors "$edits" 1 -O0 $reader -D"$missing")
        if [ "${found:-0}" -gt 0 ]; then
            echo "ok: $missing is noticed"
        else
            echo "FAIL: $missing is not noticed"
            failed=1
        fi
    done
}

holds "a lookup" 2
holds "a look into an area" 2 -DAREAS
holds "a search" 2 -DSEARCH
noticed 2 "" NO_VERSION_FENCE NO_ORDER_RELEASE NO_ROOT_RELEASE NO_ACQUIRE NO_RECHECK NOT_ODD SHORT_WHEN_ODD EVEN_EARLY NO_GRACE
noticed 3 "" VERSION_FIRST
noticed 2 -DAREAS NO_HOLDS NO_AREA_FENCE NO_DEAD
noticed 2 -DSEARCH NO_COUNT_FENCE NO_COUNT_RELEASE NO_COUNT_ACQUIRE NO_COUNT_RECHECK COUNT_WHEN_ODD \
    OPEN_LATE NO_OPEN_COUNT NO_CLOSE_RELEASE
exit $failed
