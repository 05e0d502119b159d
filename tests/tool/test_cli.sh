#!/bin/bash
# SPDX-License-Identifier: MIT
# The command line as a whole: help, version, unknown words, output that cannot be written, completion.
. "$(dirname "$0")/lib.sh"

expect 0 'help' --help
for command in trace run replay show fuzz; do
    says out "  $command "
done
says out 'Exit status: '
expect 0 'version' --version
grep -qE '^vmakit [0-9]+\.[0-9]+\.[0-9]+$' "$work/out" || fail 'the version'
expect 2 'no command' 
says err 'which command?'
expect 2 'an unknown command' fly
says err "there is no command 'fly'"
expect 2 'an unknown option' --fly
expect 2 'an option of a command before it' --map replay x

for command in trace run replay show fuzz; do
    expect 0 "$command --help" $command --help
    says out 'Usage: vmakit '$command
    expect 0 "$command --usage" $command --usage
    expect 2 "$command: an unknown option" $command --fly
    says err 'fly'
done
expect 2 'replay: no file' replay
expect 2 'replay: two files' replay a b
for bad in --max-map-count=0 --max-map-count=x --max-map-count=99999999999 --va-bits=5 --va-bits=64 --page-size=5000 \
    --page-size=8K --rlimit=as --rlimit=cpu=5 --rlimit=as=5Q --rlimit=as=99999999999999999999 --set=5 --set==5 --set=x=y \
    --color=blue; do
    expect 2 "replay $bad" replay "$bad" "$data/small.trace"
done
expect 2 'replay: a setting that is not there' replay --set fly=1 "$data/small.trace"
says err "there is no setting 'fly'"

if [ -w /dev/full ]; then
    "$VMAKIT" replay "$data/small.trace" >/dev/full 2>"$work/err"
    [ $? -eq 4 ] || fail 'a full disk goes unnoticed'
    says err 'cannot write the output'
    expect 4 'JSON on a full disk' replay --json /dev/full "$data/small.trace"
fi
"$VMAKIT" replay "$data/small.trace" >&- 2>/dev/null
[ $? -eq 4 ] || fail 'a closed output goes unnoticed'

# The completion names every option that the commands have.
completion=$here/../../tool/completion/vmakit.bash
bash -n "$completion" || fail 'the completion is no shell script'
for command in trace run replay show fuzz; do
    "$VMAKIT" $command --help | grep -oE '^ +(-., |    )--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u >"$work/options"
    while read -r option; do
        grep -qF -- "$option" "$completion" || fail "the completion lacks $command $option"
    done <"$work/options"
done
complete_words()
{
    bash -c '. "$1"; COMP_WORDS=("${@:2}"); COMP_CWORD=$(($# - 2)); _vmakit; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$completion" "$@" >"$work/out"
}
complete_words vmakit re
[ "$(cat "$work/out")" = replay ] || fail "completion of re: $(cat "$work/out")"
complete_words vmakit replay --va
[ "$(cat "$work/out")" = --va-bits ] || fail "completion of --va: $(cat "$work/out")"
complete_words vmakit replay --color ''
grep -qx always "$work/out" || fail 'completion of --color'
complete_words vmakit trace --page-size ''
[ "$(tr '\n' ' ' <"$work/out")" = '16K 64K ' ] || fail 'completion of trace --page-size'
complete_words vmakit replay --page-size 4
[ "$(cat "$work/out")" = 4K ] || fail 'completion of replay --page-size'

# The man page names every command, option and exit status.
man=$here/../../tool/vmakit.1
for command in trace run replay show fuzz; do
    "$VMAKIT" $command --help | grep -oE '^ +(-., |    )--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort -u >"$work/options"
    while read -r option; do
        grep -qF -- "${option//-/\\-}" "$man" || fail "the man page lacks $command $option"
    done <"$work/options"
done
finish
