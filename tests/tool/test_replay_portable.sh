#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit replay: recorded traces, strace's output, what-ifs, and files that cannot be read.
. "$(dirname "$0")/lib.sh"

# ---- Recorded traces ----
expect 0 'a small record' replay "$data/small.trace"
last_line '7 calls mirrored, 0 divergences'
says out '100: 6 calls (mmap 1, munmap 1, mprotect 1, brk 2, fork 1), 7 areas, 7 at peak, 1 of 1 addresses predicted, 0 divergences'
says out '101: 1 calls (munmap 1), 5 areas'
expect 0 'a record of a program' replay "$data/true.trace"
last_line '13 calls mirrored, 0 divergences'
says out '4 of 4 addresses predicted'
expect 0 'quiet' replay -q "$data/true.trace"
[ "$(wc -l <"$work/out")" -eq 1 ] || fail 'quiet prints one line'
"$VMAKIT" replay - <"$data/small.trace" >"$work/out" || fail 'standard input'
last_line '7 calls mirrored, 0 divergences'
expect 3 'an empty standard input' replay -

# Stripped of results it replays to the same final map, which the last lines of small.trace check.
sed '/^[0-9]/s/ = .*/ = ?/' "$data/small.trace" >"$work/stripped"
expect 0 'without results' replay "$work/stripped"
sed '/^[0-9]/s/ = .*//' "$data/small.trace" >"$work/stripped"
expect 0 'with no results at all' replay "$work/stripped"

# ---- Divergences ----
sed 's/^100 munmap addr=r3 len=0 = .*/100 munmap addr=r3 len=0 = 0/' "$data/small.trace" >"$work/wrong"
expect 1 'a result that differs' replay "$work/wrong"
says out 'munmap(addr=0x7ffff7ff9000, len=0): the engine gives -EINVAL, recorded was 0'
last_line '7 calls mirrored, 1 divergences'
sed 's/^area 7ffff7ff9000-7ffff7ffa000.*/area 7ffff7ff9000-7ffff7ffa000 flags="rd mr mw me"/' "$data/small.trace" >"$work/wrong"
expect 1 'a map that differs' replay "$work/wrong"
says out 'expected area 7ffff7ff9000-7ffff7ffa000 0 rd mr mw me'
says out 'the engine has 7ffff7ff9000-7ffff7ffa000 0 rd wr mr mw me ac'
head -n -1 "$data/small.trace" >"$work/wrong"
expect 1 'a map with one area too few' replay "$work/wrong"
says out 'the engine has one more area'
{ cat "$data/small.trace"; echo 'area 7ffffffff000-800000000000 flags="rd"'; } >"$work/wrong"
expect 1 'a map with one area too many' replay "$work/wrong"
says out 'the engine has no more areas'

sed 's/^expect 100$/expect 100 size=304 lck=4/' "$data/small.trace" >"$work/wrong"
expect 1 'a status that differs' replay "$work/wrong"
says out 'process 100: expected VmLck of 4 kB, the engine has 0'
last_line '7 calls mirrored, 1 divergences'
says_not out 'VmSize'

# A fault may be recorded with its signal, with the code too, or as a copy that failed.
for result in SIGSEGV SEGV_MAPERR -EFAULT ?; do
    sed "s/^expect 100\$/100 fault addr=0x1000 access=read flags=0 = $result\n&/" "$data/small.trace" >"$work/faults"
    expect 0 "a fault that ends in $result" replay "$work/faults"
done
for result in SIGBUS SEGV_ACCERR -ENOMEM 0; do
    sed "s/^expect 100\$/100 fault addr=0x1000 access=read flags=0 = $result\n&/" "$data/small.trace" >"$work/faults"
    expect 1 "a fault that does not end in $result" replay "$work/faults"
    says out "the engine gives SEGV_MAPERR, recorded was $result"
done
sed 's/^expect 100$/100 fault addr=r3 access=read flags=user = -EFAULT\n&/' "$data/small.trace" >"$work/faults"
expect 1 'a copy that does not fail' replay "$work/faults"
says out 'the engine gives 0, recorded was -EFAULT'

# ---- What if ----
expect 0 'a smaller address space' replay --va-bits 39 "$data/true.trace"
says out 'What if: 0 calls have another outcome than recorded, 9 give another address'
expect 1 'fewer areas' replay --max-map-count 20 "$data/true.trace"
says out 'fails now with -ENOMEM'
expect 1 'less data' replay --rlimit data=64K "$data/small.trace"
says out 'brk(addr=0x555555579000): fails now, the break stays at 0x555555558000'
expect 1 'larger pages' replay --page-size 16K "$data/true.trace"
says out 'its page is taken by the area before it, which larger pages reach into'
says out 'fails now with -EINVAL'
says out 'left out, since it builds upon event'
expect 1 'a smaller stack' replay --rlimit stack=132K "$data/small.trace"
says out 'fault(addr=0x7ffffffdd000, access=write, flags=user): ends now in SEGV_MAPERR, recorded was 0'
expect 1 'a what-if without results' replay --rlimit stack=132K "$work/stripped"
says out 'ends now in SEGV_MAPERR, recorded was 0'
expect 1 'fewer areas, without results' replay --max-map-count 5 "$work/stripped"
says out 'mprotect(addr=0x7ffff7ffa000, len=0x1000, prot=PROT_READ): fails now with -ENOMEM, recorded was 0'
expect 0 'no limits' replay --set enforce_limits=0 --max-map-count 20 "$data/true.trace"
expect 0 'limits that are wide enough' replay --rlimit as=1G --rlimit stack=unlimited --rlimit memlock=8M "$data/true.trace"

# ---- Drawing and JSON ----
expect 0 'the map' replay --map --color=never "$data/small.trace"
says out 'process 100:'
says out '+ 555555558000-555555579000    132K rw-p ##           heap      [heap]'
says out '~ 7ffffffdd000-7ffffffff000    136K rw-p'
says out 'changes        3 new, 0 gone, 1 changed'
says out '- 7ffff7ff9000-7ffff7ffa000      4K rw-p'
expect 0 'colours' replay --map --color=always "$data/small.trace"
says out $'\033[1;32m+ \033[0m'
if has_json && expect 0 'json' replay -q --json "$work/json" "$data/small.trace" && command -v python3 >/dev/null; then
    python3 - "$work/json" <<'EOF' || fail 'the JSON'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["calls"] == 7 and j["divergences"] == 0 and not j["what_if"], j
p = {p["pid"]: p for p in j["processes"]}
assert p[100]["calls"] == {"mmap": 1, "munmap": 1, "mprotect": 1, "brk": 2, "fork": 1}, p
assert [a["name"] for a in p[100]["map"]["areas"]][:3] == ["/bin/x", "/bin/x", "[heap]"], p
assert p[101]["areas"] == 5
EOF
fi
if has_json; then
    expect 4 'JSON that cannot be written' replay --json /nonexistent/x "$data/small.trace"
    says err '/nonexistent/x: No such file or directory'
fi

# ---- strace ----
expect 0 'strace to a file' replay "$data/strace-o.txt"
last_line '92 calls mirrored, 0 divergences'
says out '18 of 19 addresses predicted'
expect 0 'strace to a terminal' replay "$data/strace-terminal.txt"
last_line '12 calls mirrored, 0 divergences'
says out '1 calls that failed were not repeated'
says out '201: 2 calls (mmap 1, munmap 1)'
expect 1 'strace, with fewer areas' replay --max-map-count 30 "$data/strace-o.txt"
expect 0 'strace, with a smaller address space' replay --va-bits 39 "$data/strace-terminal.txt"

# What other options of strace's put on a line, or between two.
sed 's/^\([0-9]* \)\(.*\)/\1[00007f90ce301c47] [ 257] \2\n > \/lib\/ld.so(_dl_catch_error+0x77c7) [0x1fc47]/' \
    "$data/strace-o.txt" >"$work/decorated"
printf '%% time     seconds  usecs/call     calls    errors syscall\n------\nnonsense' >>"$work/decorated"
expect 0 'strace -i -n -k -C' replay "$work/decorated"
last_line '92 calls mirrored, 0 divergences'

# -z and -Z keep what a call printed until its status is known: the rest of one that was interrupted then stands alone.
cat >"$work/staged" <<'TEXT'
7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0 <unfinished ...>
)                                       = 0x7f26e6086000
8 mincore(0x7f26e6086000, 4096 <unfinished ...>
, [1])                                  = 0
8 +++ exited with 0 +++
7 munmap(0x7f26e6086000, 4096)          = 0
TEXT
expect 0 'strace -f -z' replay "$work/staged"
says out '7: 2 calls (mmap 1, munmap 1)'
says out '8: 1 calls (mincore 1)'
printf '7 munmap(0x1000, 4096 <unfinished ...>\n7 munmap(0x1000, 4096) = 0\n) = 0\n' >"$work/staged"
expect 3 'the rest of no call' replay "$work/staged"
says err 'staged:3: '
printf '7 --- SIGCHLD {si_signo=SIGCHLD} ---\n7 +++ exited with 0 +++\n' >"$work/staged"
expect 3 'strace -Z, and no call failed' replay "$work/staged"
says err 'staged:2: no call is in it (strace -Z writes those that failed, which are not repeated)'

# ---- Files that cannot be read ----
# Cut off anywhere: at the end of a line it is a shorter trace, elsewhere the line is named.
for file in small.trace strace-o.txt; do
    for size in 40 400 1000; do
        head -c $size "$data/$file" >"$work/cut"
        [ "$(tail -c 1 "$work/cut")" != '' ] || continue
        expect 3 "$file cut off after $size bytes" replay "$work/cut"
        says err "cut:$(($(wc -l <"$work/cut") + 1)): the line has no end: the file is cut off"
    done
done
expect 3 'no such file' replay /nonexistent
says err '/nonexistent: No such file or directory'
expect 3 'a directory' replay /
says err 'Is a directory'
: >"$work/empty"
expect 3 'an empty file' replay "$work/empty"
says err 'empty:1: this is neither'
expect 3 'a program' replay /bin/sh
says err '/bin/sh:1: '
printf 'vmakit-trace 2\n' >"$work/new"
expect 3 'a later version' replay "$work/new"
says err 'new:1: this version of the format is not known; 1 is'
printf 'vmakit-trace 1\n1 exit\n' >"$work/none"
expect 3 'a process that is not there' replay "$work/none"
says err 'none:2: process 1 has no address space here'
printf 'vmakit-trace 1\nsetting nothing=1\n' >"$work/none"
expect 3 'a setting that is not there' replay "$work/none"
says err "none:2: there is no setting 'nothing'"
printf 'vmakit-trace 1\nsetting page_shift=13\nprocess 1\n' >"$work/none"
expect 3 'a setting that cannot be' replay "$work/none"
says err 'none:3: the setting page_shift has a value that cannot be'
printf 'vmakit-trace 1\nprocess 1\nsetting page_shift=12\n' >"$work/none"
expect 3 'a setting too late' replay "$work/none"
printf 'vmakit-trace 1\narea 1000-2000\n' >"$work/none"
expect 3 'an area of nobody' replay "$work/none"
printf 'vmakit-trace 1\nprocess 1\narea 10000-20000\narea 10000-20000\n' >"$work/none"
expect 3 'two areas in one place' replay "$work/none"
says err 'none:4: the area cannot be there: EEXIST'
printf 'vmakit-trace 1\nprocess 1\narea 10000-20000 file=3\n' >"$work/none"
expect 3 'a file that is not there' replay "$work/none"
says err 'none:3: there is no file 3'
printf 'vmakit-trace 1\nprocess 1\n1 fork child=1\n' >"$work/none"
expect 3 'a process that is its own child' replay "$work/none"
printf 'vmakit-trace 1\nprocess 1\n1 shmat file=none size=0 addr=0 flags=0\n' >"$work/none"
expect 3 'shmat of nothing' replay "$work/none"
printf 'vmakit-trace 1\nprocess 1\n1 fault addr=0 access=0 flags=0\n' >"$work/none"
expect 3 'a fault without an access' replay "$work/none"
printf 'mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)\n' >"$work/none"
expect 3 'a call without a result' replay "$work/none"
says err 'none:1: the call has no result'
printf 'mmap(NULL, 4096, PROT_READ\n' >"$work/none"
expect 3 'a call without an end' replay "$work/none"
printf '7 <... mmap resumed>) = 0\n' >"$work/none"
expect 3 'a resumed call that never began' replay "$work/none"
printf 'mmap(NULL, fish, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x1000\n' >"$work/none"
expect 3 'an argument that is no number' replay "$work/none"
says err "none:1: argument 2, 'fish', is not a number"

# A record cut anywhere is read or refused by name, and never more.
size=$(wc -c <"$data/small.trace")
for ((cut = 0; cut < size; cut += 37)); do
    head -c "$cut" "$data/small.trace" >"$work/cut"
    "$VMAKIT" replay -q "$work/cut" >"$work/out" 2>"$work/err"
    status=$?
    case $status in
    0 | 1) ;;
    3) grep -q "^$work/cut:[0-9]*: " "$work/err" || fail "cut at $cut: $(cat "$work/err")" ;;
    *) fail "cut at $cut: status $status" ;;
    esac
done
echo 'ok a record cut anywhere'
finish
