#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit run: the oracle's own calls, hostile ones among them, as a program: results, areas and sizes as it sees them are those
# that it sees natively. OPS and SEEDS make it longer.
. "$(dirname "$0")/lib.sh"
VMAKIT=$(realpath "$VMAKIT")
ops=${OPS:-3000}
seeds=${SEEDS:-1 2 3}

if ! "$VMAKIT" run -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi
if [ "$(uname -m)" != x86_64 ]; then
    echo "skipped: the oracle's sequences are for x86-64"
    exit 77
fi
if grep -q __asan_init "$VMAKIT"; then
    echo "skipped: the sequences' limits lie below a sanitizer's shadow memory"
    exit 77
fi
cd "$work" || exit 1
"$VMAKIT" fuzz --kernel-only --ops 1 --transcript native >out 2>err
if grep -q 'cannot start a process' err; then
    cat err
    exit 77
fi

# both NAME ARGUMENT...: the sequences natively and under run.
both()
{
    local name=$1
    shift
    "$VMAKIT" fuzz --kernel-only "$@" --transcript native >out 2>err || { cat err; fail "$name: natively"; }
    "$VMAKIT" run -- "$VMAKIT" fuzz --kernel-only "$@" --transcript decided >out 2>err ||
        { tail err; fail "$name: decided"; }
    tail -1 err | grep -qE '^[0-9]+ calls decided, 0 divergences$' || { cat err; fail "$name: $(tail -1 err)"; }
    cmp native decided || { diff -U3 native decided | head -40; fail "$name: not the same"; }
    [ "$(grep -c ' = ' native)" -gt 4 ] || fail "$name: nothing was done"
    echo "ok $name"
}

for seed in $seeds; do
    both "seed $seed" --ops "$ops" --seed "$seed"
done
# A transcript says what happened: one operation less is another transcript.
"$VMAKIT" fuzz --kernel-only --ops $((ops - 1)) --seed "$seed" --transcript shorter >out
cmp -s native shorter && fail 'another sequence, the same transcript'

config='config seed 0x1 drop_ipc_lock 0 as 0x20000000 data 0xffffffffffffffff stack 0x800000 memlock 0x10000'
# mlock that ends at a hole populates nothing: no anon_vma keeps what comes after a fork from joining.
cat >mlock.seq <<END
$config
mmap 0x200010000 0x2000 0x3 0x32 none 0x0
mlock 0x200010000 0x8000
munlock 0x200010000 0x2000
fork_child
mmap 0x200012000 0x1000 0x3 0x32 none 0x0
END
both 'mlock and a hole' --replay-seq mlock.seq
grep -q '200010000-000200013000' native || fail 'nothing joined'
# The second area of mseal, a special one, cannot be cut: the first stays sealed.
cat >mseal.seq <<END
$config
mseal 0x7ffff7fc6000 0x3000 0x0
munmap 0x7ffff7fc6000 0x1000
mmap 0x200010000 0x2000 0x3 0x32 none 0x0
mseal 0x200010000 0x4000 0x0
munmap 0x200010000 0x1000
END
both 'mseal of a part' --replay-seq mseal.seq
# Beside a userfaultfd, a mapping that only makes room: the file refuses it.
cat >room.seq <<END
$config
mmap 0x200010000 0x4000 0x3 0x32 none 0x0
uffd_open 0 0x0
uffd_register 0 0x200010000 0x4000 0x1
mmap 0x200012000 0x1000 0x3 0x12 secret 0x0
mmap 0x200010000 0x1000 0x3 0x2032 none 0x0
uffd_close 0
madvise 0x200011000 0x1000 14
END
both 'a mapping that fails late' --replay-seq room.seq
finish
