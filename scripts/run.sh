#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh - what `make run` shows: programs that every Debian has, traced, every memory call mirrored in the engine and
# the maps compared; then the map of one of them, drawn; then a verdict. Exit status 0 only without a divergence.
. "$(dirname "$0")/lib.sh"
tool=$BUILD/vmakit
[ -x "$tool" ] || fail "$tool is not built"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

programs=0
calls=0
bad=0

trace() { # TITLE COMMAND...
    local title=$1 status last n m
    shift
    printf '\n== %s\n' "$title"
    "$tool" trace -- "$@" >"$work/out" 2>&1
    status=$?
    # The program's own output is not the point: its first lines, then the summary, which comes last.
    if [ "$(wc -l <"$work/out")" -gt 24 ]; then
        head -n 2 "$work/out"
        echo "   ..."
        tail -n 16 "$work/out"
    else
        cat "$work/out"
    fi
    last=$(grep -aoE '^[0-9]+ calls mirrored, [0-9]+ divergences$' "$work/out" | tail -n 1)
    read -r n _ _ m _ <<<"${last:-0 x x none}"
    programs=$((programs + 1))
    if [ "$m" = 0 ] && [ "$n" -gt 0 ] && [ $status = 0 ]; then
        calls=$((calls + n))
        return
    fi
    bad=$((bad + 1))
    echo "   (exit status $status, ${last:-no summary line})"
}

cat >"$work/hello.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    char *p = malloc(1 << 20);
    printf("hello from %s\n", p ? "a traced compiler's program" : "nowhere");
    free(p);
    return 0;
}
C

trace "a shell pipeline" sh -c 'echo "b a c" | tr " " "\n" | sort | head -n 2'
trace "ls -lR /usr/include | wc" sh -c 'ls -lR /usr/include | wc'
compiler=$(command -v cc || command -v gcc || true)
if [ -n "$compiler" ]; then
    trace "a C compile with its children, and what it made" \
        sh -c "'$compiler' -O1 -o '$work/hello' '$work/hello.c' && '$work/hello'"
fi
if command -v python3 >/dev/null && python3 -c '' 2>/dev/null; then
    # The interpreter itself: a version manager's shim would be traced as the shell script that it is.
    python=$(python3 -c 'import sys; print(sys.executable)')
    trace "python3 with threads" "$python" -c '
import threading
total = []
workers = [threading.Thread(target=lambda n=n: total.append(sum(range(n * 100000)))) for n in range(4)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(len(total), "threads,", sum(total))'
fi
if command -v perl >/dev/null; then
    trace "perl" perl -e 'my %h = map { $_ => "x" x $_ } 1 .. 2000; print scalar(keys %h), " keys\n"'
fi

printf '\n== the map of ls, drawn\n'
"$tool" trace --map -- ls / >"$work/out" 2>&1
status=$?
cat "$work/out"
if [ $status != 0 ] || ! grep -qE '^[0-9]+ calls mirrored, 0 divergences$' "$work/out"; then
    bad=$((bad + 1))
fi
programs=$((programs + 1))

printf '\n'
if [ $bad = 0 ]; then
    echo "VERDICT: $programs programs, $calls calls mirrored, 0 divergences: after every call the engine's map" \
        "equalled the kernel's."
    exit 0
fi
echo "VERDICT: $bad of $programs programs diverged or could not be traced; see above."
exit 1
