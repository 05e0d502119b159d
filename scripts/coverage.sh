#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# coverage.sh [PERCENT] - builds with gcov counters, runs the unit tests, the examples and a slice of the oracle, and
# reports line and branch coverage of src/. Exit status 1 under PERCENT lines (95). HTML in build/coverage/html/.
. "$(dirname "$0")/lib.sh"
goal=${1:-95}
dir=build/coverage
mkdir -p build/log
cmake --preset coverage >build/log/coverage.log && cmake --build $dir -j "$JOBS" >>build/log/coverage.log 2>&1 ||
    fail "the build failed: $(tail -n 20 build/log/coverage.log)"
find $dir -name '*.gcda' -delete
ctest --test-dir $dir -j "$JOBS" --output-on-failure -L 'unit|example|tool|oracle' >build/log/ctest-coverage.log 2>&1 ||
    { grep -E 'Failed|\*\*\*|tests passed' build/log/ctest-coverage.log; echo "(counted all the same)"; }
if [ -x $dir/vmakit ]; then
    $dir/vmakit fuzz --ops "${OPS:-50000}" --seed "${SEED:-1}" | tail -n 1
fi
mkdir -p $dir/html
# The library's own objects: the mock port compiles src/ once more. Lines that only a broken library reaches (assertions)
# are not counted.
objects=$dir/CMakeFiles/vmakit_objects.dir
gcovr -r . $objects --object-directory $dir -f 'src/' --exclude-unreachable-branches --exclude-throw-branches \
    --exclude-lines-by-pattern '.*VMKI_UNREACHABLE.*' \
    --html-details $dir/html/index.html --txt $dir/lines.txt --json-summary $dir/summary.json \
    --fail-under-line "$goal" -j "$JOBS"
status=$?
cat $dir/lines.txt
gcovr -r . $objects --object-directory $dir -f 'src/' --exclude-unreachable-branches -b -j "$JOBS" | tail -n 3 | sed 's/^TOTAL/BRANCHES/'
exit $status
