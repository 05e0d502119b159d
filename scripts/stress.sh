#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# stress.sh - what `make stress` runs: interleavings under the mock port, histories of threads (also under TSan), and the
# model of the tree, N times as long as in make test.
. "$(dirname "$0")/lib.sh"
export VMAKIT_STRESS=${N:-20}
cmake --preset release >/dev/null && cmake --build build -j "$JOBS" || fail "does not build"
cmake --preset tsan >/dev/null && cmake --build --preset tsan -j "$JOBS" || fail "does not build for TSan"
build/tests/test_mm_mock && build/tests/test_lanes_mock && build/tests/test_area_mock || fail "interleavings"
build/tests/test_linear_threads || fail "histories"
run=()
setarch -R true 2>/dev/null && run=(setarch -R)
TSAN_OPTIONS=suppressions=$PWD/scripts/tsan.supp "${run[@]}" build/tsan/tests/test_linear_threads || fail "histories under TSan"
make model || fail "the model"
