#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-programs.sh [NAME...] - real programs natively and under `vmakit run`: the same output and the same status, and no
# divergence. Programs that are not installed are left out by name. OPTIONS are run's own.
. "$(dirname "$0")/lib.sh"
tool=$(realpath "$BUILD/vmakit")
[ -x "$tool" ] || fail "$tool is not built"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
good=0
bad=0
absent=''
wanted=" $* "
# A version manager's shim is a shell script: the interpreters themselves are meant.
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || echo python3)
export LC_ALL=C HOME=$work/home
mkdir -p "$HOME"
git config --global user.name tester
git config --global user.email tester@example.org

# program NAME NEEDS SCRIPT: the script runs in an empty directory, natively and under run.
program()
{
    local name=$1 needs=$2 script=$3 way status
    [ "$wanted" = '  ' ] || [[ $wanted == *" $name "* ]] || return 0
    for need in $needs; do
        command -v "$need" >/dev/null || {
            absent="$absent $name"
            return 0
        }
    done
    for way in native run; do
        rm -rf "$work/at" && mkdir "$work/at"
        if [ $way = native ]; then
            (cd "$work/at" && timeout 300 bash -c "$script") >"$work/$way.out" 2>"$work/$way.err" </dev/null
        else
            (cd "$work/at" && timeout 600 "$tool" run ${OPTIONS:-} -- bash -c "$script") \
                >"$work/$way.out" 2>"$work/$way.err" </dev/null
        fi
        echo "status $?" >>"$work/$way.out"
    done
    status=$(tail -n 1 "$work/run.err")
    if cmp -s "$work/native.out" "$work/run.out" && [[ $status =~ ^[0-9]+\ calls\ decided,\ 0\ divergences$ ]]; then
        echo "ok $name: $status"
        good=$((good + 1))
        return
    fi
    echo "FAILED $name: $status"
    diff "$work/native.out" "$work/run.out" | head -n 5
    grep -A 1 'divergence in\|from here on' "$work/run.err" | head -n 6
    bad=$((bad + 1))
}

program ls ls 'ls -lR /etc/alternatives | sort | tail -n 20'
program pipeline bash 'seq 100000 | sort -rn | head -n 3; (cd /; ls) | wc -l'
program gcc gcc 'printf "#include <stdio.h>\nint main(void) { return puts(\"hi\") < 0; }\n" >a.c; gcc -O2 -flto -o a a.c && ./a'
program g++ g++ 'printf "#include <map>\n#include <iostream>\nint main() { std::map<int, int> m; m[3] = 4; std::cout << m[3]; }\n" >a.cc; g++ -O1 -o a a.cc && ./a'
program clang clang 'printf "int main(void) { return 3; }\n" >a.c; clang -O2 -o a a.c; ./a'
program make 'make gcc' 'for i in 1 2 3 4; do echo "int f$i(void) { return $i; }" >f$i.c; done
    printf "all: f1.o f2.o f3.o f4.o\n\t@echo made\n" >Makefile; make -s -j2'
program cmake 'cmake ninja gcc' 'printf "cmake_minimum_required(VERSION 3.20)\nproject(p C)\nadd_executable(p p.c)\n" >CMakeLists.txt
    echo "int main(void) { return 0; }" >p.c; cmake -G Ninja -B b . >/dev/null && ninja -C b >/dev/null && b/p && echo built'
program tar 'tar xz' 'tar cf - -C /usr/share/doc gcc 2>/dev/null | xz -T2 | xz -d | tar t | sort | head -n 5'
program zstd zstd 'seq 300000 | zstd -T2 -q | zstd -dq | tail -n 1'
program gawk gawk 'seq 50000 | gawk "{ a[\$1 % 1000] += \$1 } END { print length(a), a[7] }"'
program perl perl 'perl -e "my %h = map { \$_ => 1 } 1 .. 50000; print scalar(keys %h); system(q(echo sub)); exit(4)"'
program perl-threads perl 'perl -Mthreads -e "my @t = map { threads->create(sub { \$_[0] * 2 }, \$_) } 1 .. 8; my \$s = 0; \$s += \$_->join for @t; print qq(\$s\n)"'
program python "$python" "$python -c 'import json, re, subprocess; print(json.dumps(subprocess.run([\"echo\", \"x\"], capture_output=True).stdout.decode()))'"
program python-threads "$python" "$python -c '
import threading
total = []
def work(n):
    total.append(sum(len(str(i)) for i in range(n * 2000)))
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sum(total))'"
program python-processes "$python" "$python -c '
import multiprocessing
if __name__ == \"__main__\":
    with multiprocessing.Pool(4) as pool: print(sum(pool.map(abs, range(-1000, 0))))'"
program node node 'node -e "let a = []; for (let i = 0; i < 1e6; i++) a.push({i}); console.log(a.length)"'
program node-workers node 'node -e "
const { Worker } = require(\"worker_threads\");
let left = 4;
for (let i = 0; i < 4; i++) new Worker(\"require(\\\"worker_threads\\\").parentPort.postMessage(1)\", { eval: true }).on(\"exit\", () => { if (--left == 0) console.log(\"done\"); });"'
program java 'java javac' 'printf "public class A { public static void main(String[] a) throws Exception { Thread[] t = new Thread[8]; int[] s = new int[8]; for (int i = 0; i < 8; i++) { int n = i; t[i] = new Thread(() -> { for (int j = 0; j < 100000; j++) s[n] += new int[10].length; }); t[i].start(); } int sum = 0; for (int i = 0; i < 8; i++) { t[i].join(); sum += s[i]; } System.out.println(sum); } }" >A.java; javac A.java && java A'
program git git 'git init -q . && echo a >a && git add a && git commit -qm one && echo b >>a && git commit -qam two && git gc -q && git log --format=%s'
program sqlite3 sqlite3 'sqlite3 db "create table t(a); with recursive c(x) as (select 1 union all select x + 1 from c where x < 50000) insert into t select x from c; select sum(a) from t"'
program ruby ruby 'ruby -e "puts (1..4).map { |i| Thread.new { i * i } }.sum(&:value); fork { puts 7 }; Process.wait"'
program lua lua5.4 'lua5.4 -e "local t = {} for i = 1, 1e5 do t[i] = {} end print(#t)"'
program php php 'php -r "echo array_sum(range(1, 100000));"'
program tclsh tclsh 'echo "puts [expr {6 * 7}]" | tclsh'
program sbcl sbcl 'sbcl --noinform --non-interactive --eval "(print (length (loop for i below 100000 collect i)))"'
program erl erl 'erl -noshell -eval "io:format(\"~p~n\", [lists:sum(lists:seq(1, 1000))]), halt()."'
program openssl openssl 'seq 10000 | openssl dgst -sha256; openssl genrsa 1024 2>/dev/null | wc -l'
program vim vim 'seq 10 >f; vim -es -u NONE -c "%s/1/x/" -c wq f; cat f'
program busybox busybox 'busybox sh -c "busybox ls / | busybox wc -l"'
program redis 'redis-server redis-cli redis-benchmark' '
    redis-server --port 0 --unixsocket $PWD/s --daemonize no --save "" >/dev/null 2>&1 & server=$!
    for i in $(seq 100); do redis-cli -s $PWD/s ping >/dev/null 2>&1 && break; sleep 0.1; done
    redis-benchmark -s $PWD/s -q -n ${SERVER_REQUESTS:-2000} -t set,get,lpush >/dev/null && echo benched
    redis-cli -s $PWD/s set k v; redis-cli -s $PWD/s bgsave >/dev/null; redis-cli -s $PWD/s get k; sleep 0.5; kill $server; wait $server; echo $?'
program ps ps 'ps -o comm= -p $$'
program setarch setarch 'setarch -R ls / | wc -l'

echo
[ -z "$absent" ] || echo "not installed:$absent"
echo "$good programs ran under the engine as natively, $bad did not"
[ $bad = 0 ]
