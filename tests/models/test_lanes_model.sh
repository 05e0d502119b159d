#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# lanes.pml under Spin: no violation in any state; and one for each thing that is left out. CALLS makes the model larger.
set -u
command -v spin >/dev/null && command -v gcc >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

errors() { # -DNAME...: how many errors Spin finds, or nothing when it did not get to the end
    rm -f pan pan.*
    spin -a -DCALLS="${CALLS:-3}" "$@" "$SRC/tests/models/lanes.pml" >spin.log 2>&1 &&
        gcc -O1 -w -DSAFETY -DCOLLAPSE -o pan pan.c 2>>spin.log && ./pan -m1000000 >pan.log 2>&1
    grep -qE 'max search depth too small|out of memory' pan.log && return
    sed -nE 's/.*errors: ([0-9]+).*/\1/p' pan.log
}

found=$(errors)
if [ "$found" = 0 ]; then
    echo "ok: whose a part is: $(sed -nE 's/^ *([0-9]+) states, stored.*/\1/p' pan.log) states, no violation"
else
    echo "FAIL: errors in the protocol: ${found:-the search did not end}"
    cat spin.log pan.log
    failed=1
fi
for missing in NO_LOOK NO_LOOK_HOME NO_OLD_LOCK WRONG_ORDER NO_STOP; do
    found=$(errors -D"$missing")
    if [ "${found:-0}" -gt 0 ]; then
        echo "ok: $missing is noticed"
    else
        echo "FAIL: $missing is not noticed"
        failed=1
    fi
done
exit $failed
