# SPDX-License-Identifier: MIT
# lib.sh - what the scripts here share: run the tool, look at its status and output, count failures.
set -u
VMAKIT=${VMAKIT:-build/vmakit}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$here/data
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
export LC_ALL=C
unset NO_COLOR TERM

fail()
{
    echo "FAILED $*"
    failures=$((failures + 1))
}

# Was it built with jansson? The arm64 build may lack it.
has_json()
{
    ! "$VMAKIT" replay --report=/dev/null /dev/null 2>&1 | grep -q 'built without jansson'
}

# expect STATUS NAME ARGUMENT...: runs vmakit; its output is in $work/out and $work/err afterwards.
expect()
{
    local status=$1 name=$2 got
    shift 2
    "$VMAKIT" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" -ne "$status" ]; then
        fail "$name: status $got, not $status"
        tail -20 "$work/out"
        tail -20 "$work/err"
        return 1
    fi
    echo "ok $name"
}

# says out|err TEXT: a fixed text is in the output of the last run.
says()
{
    if ! grep -qF -- "$2" "$work/$1"; then
        fail "no '$2' in the standard $1:"
        tail -20 "$work/$1"
        return 1
    fi
}

# says_not out|err TEXT
says_not()
{
    if grep -qF -- "$2" "$work/$1"; then
        fail "'$2' in the standard $1"
        return 1
    fi
}

last_line()
{
    if [ "$(tail -1 "$work/out")" != "$1" ]; then
        fail "the last line is '$(tail -1 "$work/out")', not '$1'"
        return 1
    fi
}

finish()
{
    if [ "$failures" -ne 0 ]; then
        echo "$failures failures"
        exit 1
    fi
    exit 0
}
