#!/bin/bash
# SPDX-License-Identifier: MIT
# vmakit run: /proc/PID/maps, smaps and status are the engine's.
. "$(dirname "$0")/lib.sh"
VMAKIT=$(realpath "$VMAKIT")

if ! "$VMAKIT" run -q -- true 2>"$work/err" && [ $? -eq 121 ]; then
    cat "$work/err"
    echo "skipped: this machine does not allow tracing"
    exit 77
fi
${CC:-cc} -O1 -pthread -w -o "$work/proc" "$here/programs/proc.c" || exit 1
cd "$work" || exit 1

expect 0 'a program that reads its map' run --check=every -- "$work/proc"
says out read
says_not out FAILED
says err ', 0 divergences'
"$work/proc" >out && grep -q read out || fail 'natively'
expect 0 'with another layout' run --guard -- "$work/proc"
says out read

# The same lines as without the tool.
for file in maps status; do
    expect 0 "$file" run -q -- "$work/proc" /proc/self/$file
    setarch -R "$work/proc" /proc/self/$file >native
    if [ $file = maps ]; then
        diff out native || fail 'maps differ'
    else
        diff <(grep -E '^Vm(Peak|Size|Lck|Pin|Data|Stk|Exe|Lib):' out) <(grep -E '^Vm(Peak|Size|Lck|Pin|Data|Stk|Exe|Lib):' native) ||
            fail 'status differs'
        diff <(cut -d: -f1 out) <(cut -d: -f1 native) || fail 'status has other lines'
    fi
done
expect 0 smaps run -q -- "$work/proc" /proc/self/smaps
setarch -R "$work/proc" /proc/self/smaps >native
diff <(grep -vE '^(Rss|Pss|Pss_Dirty|Shared_|Private_|Referenced|Anonymous|KSM|LazyFree|Swap)' out) \
    <(grep -vE '^(Rss|Pss|Pss_Dirty|Shared_|Private_|Referenced|Anonymous|KSM|LazyFree|Swap)' native) || fail 'smaps differs'

expect 0 'another process' run -q -- sh -c 'sleep 5 & sleep 0.1; ./proc /proc/$!/maps; kill $!'
says out /sleep
says out '[stack]'
expect 0 'a process of nobody here' run -q -- "$work/proc" "/proc/$$/maps"
says out '[stack]'

if command -v python3 >/dev/null; then
    expect 0 'python' run -- python3 -c '
import re
status = open("/proc/self/status").read()
sizes = {name: int(kb) for name, kb in re.findall(r"(Vm\w+):\s+(\d+) kB", status)}
assert sizes["VmPeak"] >= sizes["VmSize"] > sizes["VmRSS"] > 0, sizes
areas = [line.split() for line in open("/proc/self/maps")]
total = sum(int(a[0].split("-")[1], 16) - int(a[0].split("-")[0], 16) for a in areas if a[-1] != "[vsyscall]")
now = int(re.search(r"VmSize:\s+(\d+)", open("/proc/self/status").read()).group(1))
assert abs(total // 1024 - now) < 4096, (total // 1024, now)
print("good")'
    says out good
    says err ', 0 divergences'
fi
# That it is the engine's view shows where it is not the kernel's: strict overcommit charges what the kernel does not.
cat >charge.c <<'C'
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
int main(void)
{
    char line[4096], head[64];
    int at = 0;
    FILE *smaps;
    void *area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    snprintf(head, sizeof(head), "%lx-", (unsigned long)area);
    for (smaps = fopen("/proc/self/smaps", "r"); fgets(line, sizeof(line), smaps) != NULL;) {
        at = strncmp(line, head, strlen(head)) == 0 ? 1 : strncmp(line, "VmFlags", 7) == 0 && at == 1 ? 2 : at;
        if (at == 2)
            return fputs(line, stdout) < 0;
    }
    return 1;
}
C
${CC:-cc} -w -o charge charge.c || exit 1
if [ "$(cat /proc/sys/vm/overcommit_memory)" != 2 ]; then
    expect 0 'not charged' run -q -- ./charge
    says out ' nr '
    expect 0 'left to the kernel' run -q --kernel-proc --overcommit 2 -- ./charge
    says out ' nr '
    expect 0 'charged in the engine alone' run -q --overcommit 2 -- ./charge
    says_not out ' nr '
fi
finish
