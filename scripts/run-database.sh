#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-database.sh [postgres|redis...] - database servers that live on the engine, each driven by its own benchmark for DURATION (60)
# seconds; what the benchmark wrote must be there and add up afterwards. NATIVE=1 does the same without the engine. The
# clients are native in both. OPTIONS are run's own. Servers that are not installed are left out by name.
. "$(dirname "$0")/lib.sh"
tool=$(realpath "$BUILD/vmakit")
[ -x "$tool" ] || fail "$tool is not built"
duration=${DURATION:-60}
PATH="$PATH:/usr/sbin:$(printf '%s:' /usr/lib/postgresql/*/bin)"
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"
bad=0

# serve COMMAND...: in the background, decided by the engine unless NATIVE is 1.
serve()
{
    if [ "${NATIVE:-0}" = 1 ]; then
        "$@" >"$work/log" 2>&1 &
    else
        "$tool" run ${OPTIONS:-} -- "$@" >"$work/log" 2>"$work/err" &
    fi
    server=$!
}

wait_until() # COMMAND...
{
    local i
    for ((i = 0; i < 300; i++)); do
        "$@" >"$work/try" 2>&1 && return 0
        sleep 0.1
    done
    cat "$work/try"
    return 1
}

# The server has been told to end: how did it, and what does run say?
ended() # NAME
{
    local status
    wait "$server"
    status=$?
    server=
    [ $status = 0 ] || wrong "$1: the server's status is $status"
    [ "${NATIVE:-0}" = 1 ] && return
    grep -A 2 'divergence in\|from here on' "$work/err" | head -n 10
    tail -n 1 "$work/err" | sed "s/^/$1: /"
    tail -n 1 "$work/err" | grep -qE '^[0-9]+ calls decided, 0 divergences$' || wrong "$1: not without divergence"
}

wrong()
{
    echo "FAILED $*"
    bad=1
}

postgres_server()
{
    local data=$work/postgres as=()
    # The server refuses to be root.
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
    mkdir "$data"
    [ "$(id -u)" != 0 ] || chown nobody:nogroup "$data"
    "${as[@]}" "$(type -P initdb)" -A trust -U tester -D "$data" >/dev/null 2>&1 || return 1
    serve "${as[@]}" "$(type -P postgres)" -D "$data" -k "$data" -h ''
    export PGHOST=$data PGUSER=tester PGDATABASE=postgres
    wait_until psql -c 'select 1' || return 1
    pgbench -q -i -s 5 >/dev/null 2>&1 || return 1
    pgbench -T "$duration" -c 4 -j 2 >"$work/bench" 2>&1 || { cat "$work/bench"; return 1; }
    grep -E 'transactions actually|failed transactions|^tps' "$work/bench" | sed 's/^/postgres: /'
    # Each transaction adds one number to a branch, a teller, an account and the history.
    psql -At -c 'select (select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers)
        and (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)
        and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)' >"$work/sum"
    [ "$(cat "$work/sum")" = t ] || wrong "postgres: the balances do not add up"
    grep -q 'failed transactions: 0 ' "$work/bench" || wrong 'postgres: transactions failed'
    kill -INT "$(head -n 1 "$data/postmaster.pid")"
    ended postgres
}

redis_server()
{
    local socket=$work/redis.socket rounds=0 end
    serve redis-server --port 0 --unixsocket "$socket" --dir "$work" --daemonize no --save ''
    wait_until redis-cli -s "$socket" ping || return 1
    end=$((SECONDS + duration))
    while [ $SECONDS -lt $end ]; do
        redis-benchmark -s "$socket" -q -r 10000 -n 10000 -t set,get,incr,lpush,lpop,sadd,hset,zadd,mset >"$work/bench" 2>&1 ||
            { cat "$work/bench"; return 1; }
        redis-cli -s "$socket" incr rounds >/dev/null
        [ $((rounds % 4)) != 0 ] || redis-cli -s "$socket" bgsave >/dev/null
        rounds=$((rounds + 1))
    done
    tr '\r' '\n' <"$work/bench" | grep 'requests per second' | sed 's/^/redis: /' | head -n 3
    echo "redis: $rounds rounds of 90000 requests, $(redis-cli -s "$socket" dbsize) keys"
    [ "$(redis-cli -s "$socket" get rounds)" = $rounds ] || wrong 'redis: a number was lost'
    [ "$(redis-cli -s "$socket" save)" = OK ] || wrong 'redis: it cannot save'
    redis-cli -s "$socket" shutdown nosave
    ended redis
}

absent=''
for name in "${@:-postgres redis}"; do
    for name in $name; do
        case $name in
        postgres) needs='initdb postgres pgbench psql setpriv' ;;
        redis) needs='redis-server redis-benchmark redis-cli' ;;
        *) fail "$name: it is postgres or redis" ;;
        esac
        # shellcheck disable=SC2086
        if ! type -P $needs >/dev/null || [ "$(type -P $needs | wc -l)" != "$(wc -w <<<"$needs")" ]; then
            absent="$absent $name"
            continue
        fi
        "${name}_server" || { wrong "$name"; tail -n 5 "$work/log" "$work/err" 2>/dev/null; }
    done
done
[ -z "$absent" ] || echo "not installed:$absent"
exit $bad
