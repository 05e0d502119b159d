#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-programs.sh [NAME...] - real programs natively and under `vmakit run`: the same output and the same status, and no
# divergence. Programs that are not installed are left out by name. OPTIONS are run's own (unless others are given, the one with
# which all flags are compared at the end of each process).
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs.sh"
tool=$(realpath "$BUILD/vmakit")
[ -x "$tool" ] || fail "$tool is not built"
good=0
bad=0

judge()
{
    local name=$1 script=$2 status
    run_in_empty run 600 "$tool" run ${OPTIONS:---check=10000} -- bash -c "$script"
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

all_programs "$@"

echo
[ -z "$absent" ] || echo "not installed:$absent"
echo "$good programs ran under the engine as natively, $bad did not"
[ $bad = 0 ]
