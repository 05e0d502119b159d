#!/bin/bash
# SPDX-License-Identifier: MIT
# --page-size: what would fail on a kernel with larger pages is named, with its place; what would not is not.
. "$(dirname "$0")/lib.sh"
VMAKIT=$(realpath "$VMAKIT")

if ! "$VMAKIT" trace -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi
${CC:-cc} -O1 -fno-inline -w -o "$work/pages4k" "$here/programs/pages4k.c" || exit 1
cd "$work" || exit 1

# places: how many findings name the program as their place
places() { grep -c ', from pages4k+0x' err; }

for verb in trace run; do
    for size in 16 64; do
        expect 0 "$verb, ${size}K, clean" $verb --page-size ${size}K -- ./pages4k
        says err "With pages of $size KiB: "
        [ "$(places)" -eq 0 ] || fail "findings in a program without any: $(grep pages4k+ err)"
        expect 0 "$verb, ${size}K, small" $verb --page-size ${size}K -- ./pages4k small
        says out worked
        says err "mmap: EINVAL: the offset is not a multiple of $size KiB, from pages4k+0x"
        says err "mprotect: EINVAL: the address is not a multiple of $size KiB, from pages4k+0x"
        says err "mmap: EINVAL: the address is not a multiple of $size KiB, from pages4k+0x"
        says err "mremap: EINVAL: the address is not a multiple of $size KiB, from pages4k+0x"
        for call in munmap madvise; do
            says err "$call: its end is rounded up to $size KiB and reaches memory in use behind it, from pages4k+0x"
        done
        [ "$(places)" -eq 6 ] || fail "$(places) places, not 6: $(grep pages4k+ err)"
        tail -1 err | grep -q ' 0 divergences$' || fail "the last line is: $(tail -1 err)"
    done
done

expect 0 'quiet' trace -q --page-size 16K -- ./pages4k small
[ "$(wc -l <err)" -eq 2 ] || fail 'quiet prints one line of it'
expect 0 'children' trace --page-size 16K -- sh -c './pages4k small & wait; (exit 0); ./pages4k'
[ "$(places)" -eq 6 ] || fail "children: $(places) places, not 6"
expect 2 'another size' trace --page-size 8K -- true
says err '--page-size=8K: it is 16K or 64K'
expect 2 'another size, run' run --page-size 4K -- true
if expect 0 'the page' run --page-size 16K --report page.html -- ./pages4k small; then
    grep -q '"page_check":16384' page.html || fail 'the page knows the size'
    grep -q 'EINVAL: the offset is not a multiple of 16 KiB' page.html || fail 'the findings are on the page'
fi
finish
