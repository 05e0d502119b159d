#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Settings of the whole host, compared as the oracle compares: overcommit modes and reserves, a pool of huge pages,
# max_map_count. What is changed is put back at the end, whatever that is, and nobody else is harmed meanwhile: limits
# bind only a process without CAP_SYS_ADMIN, the pool has six pages, and only processes of 65,000 areas feel the count.
set -u

skip()
{
    echo "skipped: $*"
    exit 77
}

[ "$(uname -m)" = x86_64 ] || skip "x86-64 only"
[ "$(id -u)" = 0 ] || skip "needs root"
vm=/proc/sys/vm
settings="overcommit_memory overcommit_ratio overcommit_kbytes admin_reserve_kbytes user_reserve_kbytes max_map_count nr_hugepages"
for name in $settings; do
    [ -w $vm/$name ] || skip "$vm/$name cannot be written"
done
# Nobody else asks this kernel meanwhile: tool/fuzz.c has the other side of these locks.
exec 8>>/tmp/vmakit-host-settings.turn 9>>/tmp/vmakit-host-settings.lock
flock -w 100 8 && flock -w 60 9 || skip "another one runs"
export VMAKIT_HOST_LOCKED=1
echo "$(<$vm/max_map_count)" 2>/dev/null >$vm/max_map_count || skip "$vm cannot be written"

# ---- Putting back: by a process of its own, which waits for the end of this one, however it comes ----
work=$(mktemp -d)
before=$(for name in $settings; do echo "$name $(<$vm/$name)"; done)
restore='
    read -r ignored
    while read -r name value; do
        # Ratio and kbytes exclude each other: writing one sets the other to 0.
        case $name in
        overcommit_kbytes) [ "$value" = 0 ] && continue ;;
        esac
        [ "$(cat /proc/sys/vm/$name)" = "$value" ] || echo "$value" >/proc/sys/vm/$name
    done <<<"$before"
    rm -rf "$work"
    echo done >"$told"'
told=$(mktemp -u)
mkfifo "$told"
export before work told
exec 7> >(trap '' INT TERM HUP; exec 8>&- 9>&-; exec setsid bash -c "$restore")
finish()
{
    local status=$?
    trap - EXIT
    exec 7>&-
    read -r _ <"$told" # settings are as before
    rm -f "$told"
    exit $status
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

set_to() # NAME VALUE
{
    echo "$2" >$vm/"$1" || {
        echo "$1 cannot be $2"
        exit 1
    }
}

committed()
{
    sed -nE 's/^Committed_AS: +([0-9]+) kB$/\1/p' /proc/meminfo
}

sequence() # reads operations; the configuration comes before them
{
    echo "config seed 0x1 drop_ipc_lock 0 as 0xffffffffffffffff data 0xffffffffffffffff stack 0x800000 memlock 0x10000"
    cat
}

hex()
{
    printf '0x%x' "$1"
}

# agree NAME FAILURES COMMAND...: runs $work/seq; the kernel and the engine agree, and so many operations fail.
agree()
{
    local name=$1 failures=$2 status=0
    shift 2
    "$@" "$VMAKIT" fuzz --replay-seq "$work/seq" >"$work/out" 2>&1 7>&- || status=$?
    if [ $status = 4 ] && grep -q "cannot start a process" "$work/out"; then
        skip "$(cat "$work/out")"
    fi
    [ $status = 0 ] && [ "$(grep -cE ' = (E[A-Z]+|SIG.*)$' "$work/out")" = "$failures" ] && echo "ok $name" && return 0
    cut -c -160 "$work/out" | tail -n 60
    echo "FAILED $name: status $status, not $failures failures"
    return 1
}

# Overcommit mode 2: what others charge meanwhile must not matter; when it was much, once more.
agree_charged() # SET NAME FAILURES COMMAND...
{
    local set=$1 try then now
    shift
    for try in 1 2 3 4 5; do
        then=$(committed)
        $set "$then"
        agree "$@" && return 0
        now=$(committed)
        [ $((now > then ? now - then : then - now)) -gt 2000000 ] || return 1
        echo "(others charged much: try $try)"
    done
    return 1
}

G=$((1 << 30))
anon() # PROT FLAGS BYTES: anywhere
{
    echo "mmap 0x0 $(hex "$3") $1 $(hex $((0x22 | $2))) none 0x0"
}

failed=0

# ---- Overcommit: guess and always ----
ram=$(sed -nE 's/^MemTotal: +([0-9]+) kB$/\1/p' /proc/meminfo)
swap=$(sed -nE 's/^SwapTotal: +([0-9]+) kB$/\1/p' /proc/meminfo)
{
    anon 0x3 0 $(((ram + swap) << 10))
    anon 0x3 0 $((((ram + swap) << 10) + 4096))
    anon 0x3 0x4000 $((((ram + swap) << 10) + 4096)) # MAP_NORESERVE
    anon 0x1 0 $((1024 * G))
    echo "mmap 0x100000000000 $(hex $((1024 * G))) 0x1 0x32 none 0x0"
    echo "mprotect 0x100000000000 $(hex $((1024 * G))) 0x3"
    echo "mprotect 0x100000000000 $(hex $G) 0x3"
    echo "mremap 0x100000000000 $(hex $G) $(hex $((1024 * G))) 0x1 0x0"
    echo "mmap 0x0 $(hex $((1024 * G))) 0x3 0x21 none 0x0"
    echo "fork_parent"
} | sequence >"$work/seq"
set_to overcommit_memory 0
agree 'overcommit 0: one mapping larger than memory' 4 || failed=1
set_to overcommit_memory 1
agree 'overcommit 1: anything goes' 0 || failed=1
"$VMAKIT" fuzz --ops 1500 --seed 1 --output "$work" >"$work/out" 7>&- || { cat "$work/out"; failed=1; }

# ---- Overcommit: never. 64 GiB are left to who has no CAP_SYS_ADMIN ----
P=$((1 << 40)) # kB
unprivileged="setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin"
never_kbytes() # COMMITTED
{
    set_to overcommit_kbytes $P
    set_to admin_reserve_kbytes $((P - $1 - (64 << 20)))
    set_to overcommit_memory 2
}
never_ratio()
{
    local ratio=10000000 huge
    set_to nr_hugepages 2 # what pools hold does not count
    huge=$(sed -nE 's/^Hugetlb: +([0-9]+) kB$/\1/p' /proc/meminfo)
    set_to overcommit_ratio $ratio
    set_to admin_reserve_kbytes $(((ram - huge) / 4 * ratio / 100 * 4 + swap - $1 - (64 << 20)))
    set_to overcommit_memory 2
}
if ! command -v setpriv >/dev/null; then
    echo "left out: overcommit 2 (no setpriv here)"
else
    set_to user_reserve_kbytes 0
    {
        echo "mmap 0x100000000000 $(hex $((56 * G))) 0x3 0x32 none 0x0"
        anon 0x3 0 $((16 * G))
        anon 0x3 0x4000 $((16 * G)) # MAP_NORESERVE does not help
        echo "mmap 0x0 $(hex $((16 * G))) 0x3 0x21 none 0x0"
        echo "mmap 0x180000000000 $(hex $((16 * G))) 0x1 0x32 none 0x0"
        echo "mprotect 0x180000000000 $(hex $((16 * G))) 0x3"
        echo "mprotect 0x180000000000 $(hex $((G / 2))) 0x3"
        echo "mremap 0x100000000000 $(hex $((56 * G))) $(hex $((72 * G))) 0x1 0x0"
        echo "fork_parent"
        echo "munmap $(hex $((0x100000000000 + 4 * G))) $(hex $((48 * G)))"
        anon 0x3 0x4000 $((16 * G))
        echo "fork_parent"
        echo "mmap 0x100000000000 $(hex $((20 * G))) 0x3 0x32 none 0x0"
        anon 0x3 0 $((16 * G))
        anon 0x3 0 $((16 * G))
    } | sequence >"$work/seq"
    agree_charged never_kbytes 'overcommit 2: kbytes' 7 $unprivileged || failed=1
    agree_charged never_ratio 'overcommit 2: a ratio' 7 $unprivileged || failed=1
    agree_charged never_kbytes 'overcommit 2: the reserve is for who has CAP_SYS_ADMIN' 0 || failed=1
    # A 32nd of all that is mapped, but no more than the setting, is kept for the user.
    {
        echo "mmap 0x100000000000 $(hex $((40 * G))) 0x3 0x32 none 0x0"
        echo "munmap 0x100000000000 $(hex $((40 * G)))"
        anon 0x1 0 $((3200 * G))
        anon 0x3 0 $((40 * G))
        anon 0x3 0 $((16 * G))
        anon 0x3 0 $((16 * G))
    } | sequence >"$work/seq"
    set_to user_reserve_kbytes $((40 << 20))
    agree_charged never_kbytes 'overcommit 2: the reserve of the user' 2 $unprivileged || failed=1
    "$VMAKIT" fuzz --ops 1500 --seed 2 --output "$work" >"$work/out" 7>&- || { cat "$work/out"; failed=1; }
fi
set_to overcommit_memory 0

# ---- A pool of six huge pages ----
huge_pages() # Total, Free, Rsvd, Surp
{
    sed -nE "s/^HugePages_$1: +//p" /proc/meminfo
}
# What others have reserved, or a kernel has lost, is not there for us.
set_to nr_hugepages $((6 + $(huge_pages Rsvd)))
if [ $(($(huge_pages Free) - $(huge_pages Rsvd))) != 6 ]; then
    echo "left out: huge pages (there is no room for six)"
else
    sequence >"$work/seq" <<'END'
mmap 0x240000000 0x400000 0x3 0x40032 none 0x0
write 0x240000000
read 0x240200000
mmap 0x250000000 0x200000 0x3 0x40031 none 0x0
mmap 0x0 0x200000 0x3 0x40022 none 0x0
mmap 0x260000000 0x400000 0x3 0x40032 none 0x0
mmap 0x0 0x200000 0x3 0x40022 none 0x0
mmap 0x260000000 0x600000 0x3 0x40032 none 0x0
munmap 0x240000000 0x1000
mmap 0x0 0x200000 0x3 0x40022 none 0x0
mprotect 0x240200000 0x200000 0x1
mprotect 0x240200000 0x1000 0x1
mremap 0x240200000 0x200000 0x400000 0x1 0x0
mremap 0x240200000 0x200000 0x200000 0x3 0x280000000
madvise 0x280000000 0x200000 4
madvise 0x280000000 0x1000 4
mlock 0x250000000 0x200000
munlock 0x250000000 0x200000
mmap 0x0 0x1000 0x3 0x40022 none 0x0
mmap 0x0 0x200000 0x3 0x40022 none 0x0
mmap 0x0 0x200000 0x3 0x78040022 none 0x0
mmap 0x0 0x200000 0x3 0x54040022 none 0x0
mmap 0x1000 0x200000 0x3 0x40032 none 0x0
fork_parent
munmap 0x250000000 0x200000
mmap 0x0 0x200000 0x3 0x40021 none 0x0
mmap 0x0 0x200000 0x3 0x40021 none 0x0
mmap 0x290000000 0x200000 0x3 0x44032 none 0x0
write 0x290000000
END
    agree 'a pool of huge pages' 10 || failed=1

    # Private ones go back part by part, touched or not, and a new mapping is charged net of what it replaces. A move goes
    # whole: of a part of a mapping Linux 6.18 would lose the rest's reservation for ever.
    sequence >"$work/seq" <<'END'
mmap 0x240000000 0x800000 0x3 0x40032 none 0x0
write 0x240000000
munmap 0x240000000 0x200000
munmap 0x240600000 0x200000
mmap 0x260000000 0x800000 0x3 0x40032 none 0x0
mmap 0x270000000 0x200000 0x3 0x40032 none 0x0
mmap 0x260400000 0x400000 0x3 0x32 none 0x0
mmap 0x270000000 0x400000 0x3 0x40032 none 0x0
mmap 0x280000000 0x200000 0x3 0x40032 none 0x0
write 0x270200000
madvise 0x270200000 0x200000 4
mmap 0x280000000 0x200000 0x3 0x40032 none 0x0
mmap 0x270000000 0x400000 0x1 0x40032 none 0x0
mmap 0x270000000 0x600000 0x1 0x40032 none 0x0
mmap 0x280000000 0x400000 0x3 0x40032 none 0x0
mprotect 0x280200000 0x200000 0x1
mremap 0x280000000 0x400000 0x200000 0x0 0x0
mmap 0x290000000 0x200000 0x3 0x40032 none 0x0
mmap 0x2a0000000 0x200000 0x3 0x40032 none 0x0
mremap 0x290000000 0x200000 0x200000 0x3 0x2a0000000
mmap 0x290000000 0x200000 0x3 0x40032 none 0x0
munmap 0x2a0000000 0x200000
mmap 0x290000000 0x200000 0x3 0x40032 none 0x0
fork_parent
munmap 0x290000000 0x200000
mmap 0x290000000 0x200000 0x3 0x40032 none 0x0
END
    agree 'private huge pages' 6 || failed=1
fi
set_to nr_hugepages 0

# ---- max_map_count ----
echo "brk 0x0" | sequence >"$work/seq"
base=$("$VMAKIT" fuzz --kernel-only --replay-seq "$work/seq" 7>&- | grep -c ' | ')
[ "$base" -gt 3 ] || failed=1

page() # I: one of many pages that no other one touches
{
    echo "mmap $(hex $((0x400000000 + $1 * 0x2000))) 0x1000 0x0 0x32 none 0x0"
}
neighbours() # ADDRESS: a page that cannot grow where it is; two areas
{
    echo "mmap $1 0x1000 0x3 0x32 none 0x0"
    echo "mmap $(hex $(($1 + 0x1000))) 0x1000 0x1 0x32 none 0x0"
}
BIG=0x200000000 # one area, and two more for each split
MOVED=0x500000000
middle() # I: a page of it that was not split off
{
    hex $((BIG + 0x100f0000 - $1 * 0x2000))
}
count=65530
set_to max_map_count $count
splits=$(((count - 13 - base) / 2))
areas=$((base + 6 + 2 * splits))
{
    echo "mmap $BIG 0x10100000 0x3 0x32 none 0x0"
    echo "mmap $MOVED 0x1000 0x3 0x32 none 0x0"
    neighbours 0x600000000
    neighbours 0x610000000
    echo "split_areas $BIG $splits"
    for ((n = 0; areas < count - 7; n++, areas++)); do
        page $n
    done
    # Fixed moves up to 65,524 areas, others up to 65,526.
    page 10
    echo "mremap $MOVED 0x1000 0x1000 0x3 $(hex $((MOVED + 0x10000)))"
    page 11
    echo "mremap $(hex $((MOVED + 0x10000))) 0x1000 0x1000 0x3 $MOVED"
    page 12
    echo "mremap 0x600000000 0x1000 0x2000 0x1 0x0"
    page 13
    echo "mremap 0x610000000 0x1000 0x2000 0x1 0x0"
    page 14
    # 65,528: two splits lead to 65,530, where there is no third; a mapping may come, and no other.
    echo "mprotect $(middle 0) 0x1000 0x1"
    echo "madvise $(middle 1) 0x1000 10"
    echo "munmap $(middle 1) 0x1000"
    page 15
    page 16
    # Two areas less: the first of two splits stays when the second fails. Growth in place needs none.
    echo "munmap $BIG 0x2000"
    echo "mprotect $(middle 1) 0x1000 0x1"
    echo "mremap $(hex $((MOVED + 0x10000))) 0x1000 0x2000 0x1 0x0"
} | sequence >"$work/seq"
agree 'max_map_count: 65,530 areas' 6 || failed=1

for count in 65000 65600; do
    set_to max_map_count $count
    sequence >"$work/seq" <<END
mmap 0x200000000 0x10100000 0x3 0x32 none 0x0
split_areas 0x200000000 33000
mmap 0x400000000 0x1000 0x0 0x32 none 0x0
mmap 0x400002000 0x1000 0x0 0x32 none 0x0
munmap 0x200000000 0x1000
mmap 0x400002000 0x1000 0x0 0x32 none 0x0
END
    agree "max_map_count: $count" 1 || failed=1
done
exit $failed
