#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit show: saved maps and smaps, live processes, JSON, and what cannot be shown.
. "$(dirname "$0")/lib.sh"

cat >"$work/maps" <<'EOF'
00400000-00401000 r--p 00000000 fe:00 10                         /bin/x
00401000-00403000 r-xp 00001000 fe:00 10                         /bin/x
00403000-00404000 rw-p 00003000 fe:00 10                         /bin/x
00404000-00425000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000100000 rw-p 00000000 00:00 0 
7f0000200000-7f0000201000 r--s 00000000 00:01 7                  /memfd:a b (deleted)
7f0000202000-7f0000204000 r-xp 00000000 00:00 0                  [vdso]
7fff00000000-7fff00021000 rw-p 00000000 00:00 0                  [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]
EOF

cat >"$work/expected" <<'EOF'
000000400000-000000401000      4K r--p #            file      /bin/x
000000401000-000000403000      8K r-xp #            text      /bin/x
000000403000-000000404000      4K rw-p #            data      /bin/x
000000404000-000000425000    132K rw-p ##           heap      [heap]
                             127T free
7f0000000000-7f0000100000      1M rw-p ###          anonymous 
                               1M free
7f0000200000-7f0000201000      4K r--s #            shared    /memfd:a b (deleted)
                               4K free
7f0000202000-7f0000204000      8K r-xp #            special   [vdso]
                            1020G free
7fff00000000-7fff00021000    132K rw-p ##           stack     [stack]

text           1 areas       8K
data           1 areas       4K
heap           1 areas     132K
stack          1 areas     132K
anonymous      1 areas       1M
file           1 areas       4K
shared         1 areas       4K
special        1 areas       8K
all            8 areas     1.3M
gaps           4, the largest 127T at 425000; 128T of 128T between first and last area are free
EOF
expect 0 'a saved map' show "$work/maps"
if ! diff "$work/expected" "$work/out" >"$work/diff"; then
    fail 'the drawing differs'
    cat "$work/diff"
fi
expect 0 'the sums only' show --summary "$work/maps"
says_not out '/bin/x'
says out 'all            8 areas'
expect 0 'a narrow terminal' show --width 80 "$work/maps"
awk 'length($0) > 80 && !/^gaps|^limit/ {exit 1}' "$work/out" || fail 'lines longer than 80 columns'
expect 0 'colours' show --color=always "$work/maps"
says out $'\033[32m'
expect 0 'no colours' show "$work/maps"
says_not out $'\033['

# smaps: flags and private pages.
cat >"$work/smaps" <<'EOF'
7f0000000000-7f0000100000 rw-p 00000000 00:00 0 
Size:               1024 kB
Anonymous:            64 kB
VmFlags: rd wr mr mw me gd lo ac 
7f0000200000-7f0000201000 r--p 00000000 00:00 0 
Anonymous:             0 kB
VmFlags: rd mr mw me sl 
EOF
expect 0 'a saved smaps' show "$work/smaps"
says out 'all            2 areas     1.0M, 64K of it private pages'
says out 'stack          1 areas' # by its flag
if has_json && expect 0 'json' show --json "$work/smaps" && command -v python3 >/dev/null; then
    python3 - "$work/out" <<'EOF' || fail 'the JSON'
import json, sys
j = json.load(open(sys.argv[1]))
assert j["nr_areas"] == 2 and j["gaps"]["count"] == 1, j
assert j["gaps"]["largest_bytes"] == 0x100000 and j["gaps"]["largest_at"] == "0x7f0000100000", j
assert j["areas"][1]["flags"] == "rd mr mw me sl" and j["areas"][0]["anonymous_kb"] == 64, j
assert j["kinds"]["stack"]["bytes"] == 0x100000, j
EOF
fi
printf '00400000-00401000 r--p 00000000 fe:00 10   /bin/\xff\x1bx\n' >"$work/odd"
if has_json; then
    expect 0 'a name that is no UTF-8, as JSON' show --json "$work/odd"
fi
expect 0 'a name that a terminal would obey' show "$work/odd"
says_not out $'\033'

# ---- Live processes ----
if [ -r /proc/self/smaps ]; then
    sleep 60 &
    child=$!
    sleep 0.2
    expect 0 'a live process' show "$child"
    says out '[stack]'
    says out 'vm.max_map_count'
    says out 'counters  peak '
    if has_json; then
        expect 0 'a live process as JSON' show --json "$child"
        says out '"max_map_count": '
    fi
    kill "$child"
    wait "$child" 2>/dev/null
    expect 3 'a process that has ended' show "$child"
    says err 'there is no such process'
    (sleep 0.1 & exec sleep 60) & # a zombie: the second sleep never waits for the first
    parent=$!
    sleep 0.5
    zombie=$(ps -o pid= --ppid "$parent" 2>/dev/null | tr -d ' ')
    if [ -n "$zombie" ]; then
        expect 3 'a zombie' show "$zombie"
        says err 'it has no address space'
    fi
    kill "$parent"
    wait "$parent" 2>/dev/null
    # Processes that come and go while they are watched: an answer or a message, never a crash.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sh -c 'sleep 0.01; ls / >/dev/null' &
        "$VMAKIT" show $! >"$work/out" 2>"$work/err"
        case $? in 0 | 3) ;; *) fail "a process that vanishes: status $?" ;; esac
    done
    wait
fi

# ---- The kernel ----
expect 0 'the settings' show --settings
grep -qE '^linux_version=[0-9]+	# ' "$work/out" || fail 'no version in the settings'
grep -qE '^max_map_count=[0-9]+$' "$work/out" || fail 'no max_map_count in the settings'
expect 2 'the settings of a process' show --settings 1

# ---- What cannot be shown ----
expect 3 'no such file' show /nonexistent
says err '/nonexistent: No such file or directory'
expect 3 'a directory' show /
says err 'is a directory'
expect 3 'a program' show /bin/sh
says err '/bin/sh:1: not a line of maps or smaps'
: >"$work/empty"
expect 3 'an empty file' show "$work/empty"
says err 'there is no area in it'
head -c 100 "$work/maps" >"$work/cut"
expect 3 'a truncated map' show "$work/cut"
says err 'cut:2: the line has no end: the file is cut off'
# Inside a path the line itself could be a line, of another file.
head -c -2 "$work/maps" >"$work/cut"
expect 3 'a map cut inside its last name' show "$work/cut"
says err "cut:$(wc -l <"$work/maps"): the line has no end: the file is cut off"
printf '1000-2000 r--p 0 0:0 0\nVmFlags: rd mr' >"$work/cut"
expect 3 'flags that are cut' show "$work/cut"
says err 'cut:2: the line has no end: the file is cut off'
printf 'nonsense\n1000-2000 r--p 0 0:0 0' >"$work/cut"
expect 3 'a wrong line before the last' show "$work/cut"
says err 'cut:1: not a line of maps or smaps'
printf '2000-3000 r--p 0 0:0 0\n1000-2000 r--p 0 0:0 0\n' >"$work/order"
expect 3 'areas out of order' show "$work/order"
says err 'order:2: '
for line in '1000-1000 r--p 0 0:0 0' '1000-2000 rwxq 0 0:0 0' '1000-2000 r--p 0 0 0' '1000-2000 r--p 0 0:0 0x' \
    '10000000000000000-20000000000000000 r--p 0 0:0 0' '1000-2000 r--p 0 0:0 99999999999999999999' '1000-2000' '-' \
    '1000-2000 r--p 0 100000000:0 0'; do
    printf '%s\n' "$line" >"$work/bad"
    expect 3 "a wrong line: $line" show "$work/bad"
done
printf '1000-2000 r--p 0 0:0 0\nVmFlags: rd zz\n' >"$work/bad"
expect 3 'an unknown flag' show "$work/bad"
says err 'bad:2: '
printf '1000-2000 r--p 0 0:0 0 a\0b\n' >"$work/bad"
expect 3 'a zero byte' show "$work/bad"
expect 2 'a width that is none' show --width 5 "$work/maps"
expect 2 'a colour that is none' show --color=red "$work/maps"
expect 2 'nothing to show' show
expect 2 'two things to show' show 1 2
finish
