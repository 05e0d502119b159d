#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-build.sh - this project configured, built and unit-tested by programs that live on the engine: cmake, ninja, the compiler, the
# linker, ctest and the tests, all below one `vmakit run`. No compiler cache helps. LABEL (unit) says which tests, OPTIONS are
# run's own. JOBS as elsewhere.
. "$(dirname "$0")/lib.sh"
tool=$(realpath "$BUILD/vmakit")
[ -x "$tool" ] || fail "$tool is not built"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER
export JOBS LABEL=${LABEL:-unit} work

begin=$SECONDS
# shellcheck disable=SC2016
"$tool" run ${OPTIONS:-} -- bash -c '
    set -e
    cmake -G Ninja -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release >"$work/log"
    ninja -C "$work/build" -j "$JOBS" >>"$work/log"
    echo "built: $(grep -c "Building" "$work/log") objects"
    ctest --test-dir "$work/build" -j "$JOBS" -L "$LABEL" --output-on-failure >>"$work/log"
' 2>"$work/err"
status=$?
[ $status = 0 ] || grep -E -A 15 'error:|\*\*\*|FAILED' "$work/log" | head -n 60
grep 'tests passed' "$work/log"
grep -A 2 'divergence in\|from here on' "$work/err" | head -n 20
tail -n 3 "$work/err"
echo "$((SECONDS - begin)) seconds"
[ $status = 0 ] && grep -q '^100% tests passed' "$work/log" && tail -n 1 "$work/err" | grep -q ', 0 divergences$'
