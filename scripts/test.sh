#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# test.sh - what `make test` runs. Each check counts as one test, each test of ctest as one; the last line is the sum:
# `N passed, N failed`. Exit status 0 only when something ran and nothing failed. Logs lie in build/log/.
# QUICK=1 leaves out the sanitizers, arm64, clang-tidy and the count of instructions. What belongs where is in docs/testing.md.
. "$(dirname "$0")/lib.sh"
[ "$BUILD" = build ] || fail "BUILD must be build/ here"
log=build/log
mkdir -p $log
passed=0
failed=0
failures=()
start=$SECONDS

step() { # NAME COMMAND...: one check
    local name=$1 t=$SECONDS
    local status=0
    shift
    "$@" >"$log/$name.log" 2>&1 || status=$?
    if [ $status = 77 ]; then
        printf 'skip  %-24s %3d s  %s\n' "$name" $((SECONDS - t)) "$(tail -n 1 "$log/$name.log" | cut -c -90)"
        return 0
    fi
    if [ $status = 0 ]; then
        passed=$((passed + 1))
        printf 'ok    %-24s %3d s  %s\n' "$name" $((SECONDS - t)) "$(tail -n 1 "$log/$name.log" | cut -c -90)"
        return 0
    fi
    failed=$((failed + 1))
    failures+=("$name")
    printf 'FAIL  %-24s %3d s  (%s)\n' "$name" $((SECONDS - t)) "$log/$name.log"
    grep -v '^\[[0-9]*/[0-9]*\] ' "$log/$name.log" | tail -n 40 | sed 's/^/      /'
    return 1
}

build() { # PRESET [TARGET...]
    local preset=$1
    shift
    cmake --preset "$preset" >"$log/configure-$preset.log" 2>&1 || {
        cat "$log/configure-$preset.log"
        return 1
    }
    cmake --build --preset "$preset" -j "$JOBS" ${1:+--target "$@"}
}

suite() { # PRESET CTEST-ARGUMENT...: counts each test
    local preset=$1 dir=build/$1 t=$SECONDS file total bad skipped run=()
    shift
    [ "$preset" = release ] && dir=build
    file=$log/ctest-$preset.log
    # Old ThreadSanitizers cannot place their shadow under wide address randomisation.
    if [ "$preset" = tsan ]; then
        setarch -R true 2>/dev/null && run=(setarch -R)
        export TSAN_OPTIONS=suppressions=$PWD/scripts/tsan.supp
    fi
    # Half as many random steps of the tree where each takes several times as long.
    case $preset in
    asan | arm64) run=(env VMKIT_TREE_STEPS="${VMKIT_TREE_STEPS:-50000}") ;;
    esac
    "${run[@]}" ctest --test-dir "$dir" -j "$JOBS" --output-on-failure --no-tests=ignore "$@" >"$file" 2>&1
    cp -f "$dir/Testing/Temporary/LastTest.log" "$log/LastTest-$preset.log" 2>/dev/null
    read -r bad total < <(sed -nE 's/^[0-9]+% tests passed, ([0-9]+) tests? failed out of ([0-9]+)$/\1 \2/p' "$file" |
        tail -n 1)
    skipped=$(grep -cE '\*\*\*Skipped' "$file")
    if [ -z "${total:-}" ]; then
        # A label that no test has yet is no failure, but a release build without tests is.
        if [ "$preset" != release ] && ! grep -q 'Test  *#' "$file" && [ -f "$dir/CTestTestfile.cmake" ]; then
            printf 'note  ctest %-18s no tests of %s\n' "$preset" "$*"
            return 0
        fi
        total=1 bad=1
    fi
    passed=$((passed + total - bad - skipped))
    failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        failures+=("ctest $preset ($bad)")
        sed -E '/^Internal ctest|^Test project|^ +Start +[0-9]+:|   Passed  /d' "$file" | tail -n 150
        printf 'FAIL  ctest %-18s %3d s  (%s)\n' "$preset" $((SECONDS - t)) "$file"
    else
        printf 'ok    ctest %-18s %3d s\n' "$preset" $((SECONDS - t))
    fi
    sed -n '/% tests passed/,$p' "$file" | sed '/^$/d' | sed 's/^/      /'
    [ "$skipped" = 0 ] || grep -E '\*\*\*Skipped' "$file" | sed 's/^/      /'
    return 0
}

if step build-release build release; then
    step check-includes scripts/check-includes.sh
    step check-mutants perl scripts/mutate.pl --check
    step check-format scripts/check-format.sh
    step check-cxx scripts/check-cxx.sh
    step check-symbols scripts/check-symbols.sh
    step check-freestanding scripts/check-freestanding.sh
    step check-stack scripts/check-stack.sh
    step check-amalgamation scripts/check-amalgamation.sh
    step check-install scripts/check-install.sh
    step build-testing build testing vmakit_command # for --break in tests/oracle
    suite release
    step check-lesson env LOG=$log/LastTest-release.log scripts/check-lesson.sh
    step build-clang build clang vmakit_static vmakit_shared vmakit_command
    if [ -z "${QUICK:-}" ]; then
        step build-asan build asan && suite asan -L 'unit|example|tool' -LE slow
        step build-tsan build tsan && suite tsan -L threads
        if command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
            step build-arm64 build arm64 && suite arm64 -L 'portable|example'
        fi
        step check-tidy scripts/check-tidy.sh
        step check-callgrind scripts/check-callgrind.sh
    fi
fi

echo
[ ${#failures[@]} = 0 ] || printf 'failed: %s\n' "${failures[@]}"
echo "($((SECONDS - start)) s)"
echo "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
