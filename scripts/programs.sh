# SPDX-License-Identifier: MIT
# programs.sh - the list of real programs, for the scripts that run each of them in some way; sourced after lib.sh. Such a
# script defines `judge NAME SCRIPT`, which is called for each program that is wanted and installed, after it ran natively,
# and calls `all_programs [NAME...]`.
# shellcheck shell=bash
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
absent=''
# A version manager's shim is a shell script: the interpreters themselves are meant.
python=$(python3 -c 'import sys; print(sys.executable)' 2>/dev/null || echo python3)
rustc=$(rustup which rustc 2>/dev/null || echo rustc)
export PATH="$PATH:/usr/sbin:$(printf '%s:' /usr/lib/postgresql/*/bin)"
export HOME=$work/home
mkdir -p "$HOME"
git config --global user.name tester
git config --global user.email tester@example.org

# run_in_empty WAY SECONDS COMMAND...: runs it in an empty directory; $work/WAY.out (with its status as the last line) and
# $work/WAY.err.
run_in_empty()
{
    local way=$1 seconds=$2
    shift 2
    rm -rf "$work/at" && mkdir -m 777 "$work/at"
    (cd "$work/at" && timeout "$seconds" "$@") >"$work/$way.out" 2>"$work/$way.err" </dev/null
    echo "status $?" >>"$work/$way.out"
}

# program NAME NEEDS SCRIPT: what the script prints must not depend on time or process ids.
program()
{
    local name=$1 needs=$2 script=$3 need
    [ "$wanted" = '  ' ] || [[ $wanted == *" $name "* ]] || return 0
    for need in $needs; do
        command -v "$need" >/dev/null || {
            absent="$absent $name"
            return 0
        }
    done
    run_in_empty native 300 bash -c "$script"
    judge "$name" "$script"
}

all_programs()
{
    wanted=" $* "
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
    program true true true
    program bash bash 'for i in $(seq 20); do (echo $((i * i))); done | tail -n 2; wait'
    program xz xz 'seq 200000 | xz -T2 --block-size=200KiB | xz -dc | tail -n 1'
    program pigz pigz 'seq 200000 | pigz -p 3 | pigz -d | tail -n 1'
    program perl-forks perl 'perl -e "for (1 .. 3) { if (!fork) { my @a = (1) x 100000; exit(0) } } 1 while wait != -1; print qq(done\n)"'
    program node-script node 'node -e "
const text = JSON.stringify([...Array(100000).keys()]);
console.log(require(\"zlib\").gzipSync(text).length > 0, require(\"child_process\").execFileSync(\"echo\", [\"sub\"]).toString())"'
    program guile guile 'guile --no-auto-compile -c "(display (apply + (iota 100000)))"'
    program gpg gpg 'echo text | gpg --batch --quiet --no-tty --passphrase x --pinentry-mode loopback -c -o c; gpg --batch --quiet --no-tty --passphrase x --pinentry-mode loopback -d c; gpgconf --kill gpg-agent'
    program curl curl 'echo text >f; curl -s file://$PWD/f'
    program rust "$rustc" "echo 'fn main() { let t: Vec<_> = (0..4).map(|i| std::thread::spawn(move || i * i)).collect(); println!(\"{}\", t.into_iter().map(|t| t.join().unwrap()).sum::<i32>()); }' >a.rs; $rustc -O a.rs && ./a"
    program npm npm 'npm --version'
    program pip "$python" "$python -m pip --version | cut -d ' ' -f 1"
    program apt-cache apt-cache 'apt-cache show bash | head -n 1'
    program fio fio 'for engine in libaio mmap io_uring sync; do fio --name=x --size=4M --ioengine=$engine --rw=randrw --filename=f --minimal >/dev/null && echo $engine; done'
    program nginx 'nginx curl' '
    printf "worker_processes 2; daemon off; pid $PWD/pid; error_log $PWD/log; events { } http { access_log off; server { listen unix:$PWD/s; root $PWD; } }" >conf
    echo page >index.html; nginx -p $PWD -c $PWD/conf 2>/dev/null & server=$!
    for i in $(seq 100); do curl -s --unix-socket s http://x/ >/dev/null && break; sleep 0.1; done
    for i in $(seq 20); do curl -s --unix-socket s http://x/; done | uniq -c
    kill -HUP $server; sleep 0.5; curl -s --unix-socket s http://x/; kill -QUIT $server; wait $server; echo $?'
    program postgres 'initdb postgres pg_ctl psql setpriv' '
    database()
    {
        initdb -A trust -U tester -D d >/dev/null 2>&1; echo "initdb $?"
        pg_ctl -D d -w -l log -o "-k $PWD -h \"\"" start >/dev/null; echo "started $?"
        psql -h $PWD -U tester -At -c "create table t as select x from generate_series(1, 200000) x" -c "analyze t" \
            -c "set parallel_setup_cost = 0" -c "set parallel_tuple_cost = 0" -c "set min_parallel_table_scan_size = 0" \
            -c "explain (costs off) select sum(x) from t" -c "select sum(x) from t" -c "vacuum t" postgres
        pg_ctl -D d -m fast -w stop >/dev/null; echo "stopped $?"
    }
    [ $(id -u) = 0 ] || { database; exit; }
    # The server refuses to be root.
    export -f database; exec setpriv --reuid=nobody --regid=nogroup --clear-groups bash -c database'
}
