# SPDX-License-Identifier: MIT
# Completion of the vmakit command for bash.

_vmakit_options()
{
    case $1 in
    trace)
        echo --accesses --bare --check --follow --json --keep-going --map --page-size --quiet --random --record --report --help --usage --version
        ;;
    run)
        echo --base --bottom-up --check --fail --guard --kernel-proc --max-map-count --overcommit --overcommit-ratio --page-size --quiet \
            --ram --random --report --rlimit --seed --untouched --va-bits --window --help --usage --version
        ;;
    replay)
        echo --break --max-map-count --rlimit --va-bits --page-size --set --map --json --report --quiet --color --help --usage \
            --version
        ;;
    show)
        echo --json --summary --settings --width --color --help --usage --version
        ;;
    fuzz)
        echo --break --calls --cells --check-cells --check-recordings --kernel-only --length --max-divergences --minutes --no-shrink --ops \
            --output --record --replay-seq --seed --sequence --transcript --verbose --help --usage --version
        ;;
    *)
        echo --help --usage --version
        ;;
    esac
}

# What may follow an option of a command; nothing when it takes no value, or any.
_vmakit_values()
{
    case $1 in
    --color) echo auto always never ;;
    --check) [ "$2" = run ] && echo every exit none || echo every exit ;;
    --overcommit) echo 0 1 2 ;;
    --follow) echo yes no ;;
    --page-size) [ "$2" = replay ] && echo 4K 16K 64K || echo 16K 64K ;;
    --va-bits) echo 39 42 47 48 52 ;;
    --rlimit) echo as= data= stack= memlock= ;;
    --break | --calls) echo help ;;
    esac
}

_vmakit()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
        trace | run | replay | show | fuzz)
            command=${COMP_WORDS[i]}
            break
            ;;
        esac
    done
    # "--color=al" comes as three words.
    if [ "$word" = = ]; then
        word=''
    elif [ "$before" = = ] && ((COMP_CWORD > 1)); then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if [ -z "$command" ]; then
        mapfile -t COMPREPLY < <(compgen -W "trace run replay show fuzz $(_vmakit_options)" -- "$word")
        return
    fi
    if [ -n "$(_vmakit_values "$before" "$command")" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_vmakit_values "$before" "$command")" -- "$word")
        return
    fi
    case $before in
    --record | --report | --json | --output | --replay-seq | --transcript | -o)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    esac
    case $word in
    -*) mapfile -t COMPREPLY < <(compgen -W "$(_vmakit_options "$command")" -- "$word") ;;
    *)
        case $command in
        trace | run) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
        show)
            mapfile -t COMPREPLY < <(
                compgen -f -- "$word"
                compgen -W "$(cd /proc 2>/dev/null && echo [0-9]*)" -- "$word"
            )
            ;;
        replay) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        esac
        ;;
    esac
}

complete -o filenames -F _vmakit vmakit
