#!/bin/bash
# SPDX-License-Identifier: MIT
# --report: the page is written, complete in itself, and works in a browser (report_page.py).
. "$(dirname "$0")/lib.sh"

page=$work/page.html
if ! expect 0 'trace' trace --json "$work/maps.json" --report "$page" -- sh -c 'ls / | sort | wc -l; ls / >/dev/null'; then
    grep -q 'built without jansson' "$work/err" && { echo 'SKIPPED: built without jansson'; exit 77; }
    finish
fi
says err 'divergences'
[ "$(grep -c '</script>' "$page")" -eq 2 ] || fail 'two script elements'
# The only addresses in it may be those of the areas and the name of a specification.
grep -nE '(src|href)="?(https?:)?//|@import|url\(' "$page" && fail 'it refers to something else'

expect 0 'replay' replay --report "$work/replay.html" "$data/true.trace"
grep -q '"verb":"replay"' "$work/replay.html" || fail 'a page of replay'
grep -q '"what_if":false' "$work/replay.html" || fail 'no what-if'
expect 1 'a what-if' replay --max-map-count 20 --report "$work/what-if.html" "$data/true.trace"
grep -q '"what_if":true' "$work/what-if.html" || fail 'a what-if'
grep -q 'fails now with -ENOMEM' "$work/what-if.html" || fail 'what fails now is on the page'
sed 's/^100 munmap addr=r3 len=0 = .*/100 munmap addr=r3 len=0 = 0/' "$data/small.trace" >"$work/wrong"
expect 1 'a divergence' replay --report "$work/wrong.html" "$work/wrong"
grep -q 'the engine gives -EINVAL, recorded was 0' "$work/wrong.html" || fail 'the divergence is on the page'

expect 0 'run' run --report "$work/run.html" -- sh -c 'exit 0'
grep -q '"verb":"run"' "$work/run.html" || fail 'a page of run'
expect 7 'run passes the status on' run --report "$work/run.html" -- sh -c 'exit 7'

# What a page cannot be written to.
expect 4 'no such folder' trace --report "$work/none/page.html" -- true
says err 'No such file or directory'
expect 4 'replay, no such folder' replay --report "$work/none/page.html" "$data/true.trace"
if [ -e /dev/full ]; then
    expect 4 'a full disk' replay --report /dev/full "$data/true.trace"
    says err 'No space left on device'
    expect 4 'trace, a full disk' trace --report /dev/full -- true
fi

if ! command -v python3 >/dev/null || ! python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import browser
sys.exit(browser.find() is None)' "$here"; then
    echo 'SKIPPED: the page in a browser (needs python3 and chromium)'
    [ "$failures" -eq 0 ] && exit 77
    finish
fi
${CC:-cc} -O1 -fno-inline -w -o "$work/pages4k" "$here/programs/pages4k.c" || fail 'pages4k.c'
expect 0 'findings' trace --page-size 16K --report "$work/pages.html" -- "$work/pages4k" small
export VMAKIT_REPORT_ROOM=30
expect 0 'a long run' trace --json "$work/thin.json" --report "$work/thin.html" -- sh -c 'ls / | sort; ls -l / >/dev/null'
python3 "$here/report_page.py" "$page" "$work/maps.json" --thinned "$work/thin.html" "$work/thin.json" \
    --divergent "$work/wrong.html" --findings "$work/pages.html" || fail 'the page in a browser'
finish
