#!/bin/sh
# Starts a Redis server in the part that the sentinels have for it, and keeps its standing while it runs.
set -eu
# Nothing runs yet: ends at once.
trap 'exit 143' TERM INT
# shellcheck source=operator/src/plan/redis/ask.sh
. "${ROOT:-}/etc/redis/scripts/ask.sh"
umask 077
read_settings
# Asked of a server that waits: more replicas than can exist, so that it refuses writes.
waiting=1000

# tell COMMAND…: to the server of this pod.
tell() {
    say "$local_address" 6379 "$@"
}

# part: what to start as: `lead`, `wait`, or the host of the master. Returns late where the sentinels name
# this server though it lost its volume: not to listen makes them elect another.
part() {
    tries=0
    while :; do
        read_settings
        master=$(named_master)
        case "$master" in
        nobody)
            break
            ;;
        "")
            tries=$((tries + 1))
            [ "$tries" -lt 10 ] || break
            ;;
        "$HOST")
            if [ -e "$data/known" ] || [ "$REPLICAS" -eq 1 ]; then
                echo lead
                return
            fi
            touch "$run/hidden"
            ;;
        *)
            echo "$master"
            return
            ;;
        esac
        sleep 1
    done
    echo wait
}

# configuration PART
configuration() {
    enough=$MIN_REPLICAS
    [ "$1" != wait ] || enough=$waiting
    cat <<END
bind ${ADDRESS:-* -::*}
port 6379
protected-mode no
dir $data
appendonly yes
appendfsync everysec
save ""
maxmemory $((${MEMORY_LIMIT:-0} / 4 * 3))
maxmemory-policy noeviction
min-replicas-to-write $enough
min-replicas-max-lag 10
repl-backlog-size 16mb
replica-announce-ip $HOST
replica-announce-port 6379
replica-priority 0
user default on sanitize-payload ~* &* +@all $(digests)
masterauth "$(password password)"
END
    case "$1" in
    lead | wait) ;;
    *) echo "replicaof $1 6379" ;;
    esac
}

# field NAME: of `INFO replication` in $info.
field() {
    printf '%s\n' "$info" | sed -n "s/^$1://p"
}

# stop_waiting: the server may take writes again, as soon as it leads.
stop_waiting() {
    tell CONFIG SET min-replicas-to-write "$MIN_REPLICAS" >/dev/null
    rm -f "$run/waiting"
}

# in_step: the data are worth to be kept and to be led by.
in_step() {
    touch "$data/known"
    if [ ! -e "$run/in-step" ]; then
        tell CONFIG SET replica-priority 100 >/dev/null
        touch "$run/in-step"
    fi
}

# resolve_wait: leaves the wait when the operator told so or the sentinels name somebody.
resolve_wait() {
    if [ "$(tell CONFIG GET min-replicas-to-write | tail -n 1)" != "$waiting" ]; then
        rm -f "$run/waiting"
        return
    fi
    master=$(named_master)
    case "$master" in
    "" | nobody) ;;
    "$HOST")
        if [ -e "$data/known" ] || [ "$REPLICAS" -eq 1 ]; then
            stop_waiting
        else
            echo "the sentinels name this server, but its volume is empty: ends, so that they elect another"
            kill -TERM "$server"
        fi
        ;;
    *)
        tell REPLICAOF "$master" 6379 >/dev/null
        stop_waiting
        ;;
    esac
}

# keep: once a second, sees to it that the server's standing is known.
keep() {
    while sleep 1; do
        read_settings
        info=$(tell INFO replication)
        case "$(field role)" in
        slave)
            [ ! -e "$run/waiting" ] || stop_waiting
            [ "$(field master_link_status)" != up ] || in_step
            ;;
        master)
            if [ -e "$run/waiting" ]; then
                resolve_wait
            else
                in_step
                tell INCR parking:redis:beat >/dev/null
            fi
            ;;
        esac
    done
}

# shellcheck disable=SC2317 # called by the trap
# hand_over: lets the sentinels elect another master before this one ends.
hand_over() {
    info=$(tell INFO replication)
    if [ "$(field role)" != master ] || [ -e "$run/waiting" ]; then
        return
    fi
    read_settings
    for sentinel in $SENTINELS; do
        answer=$(say "${sentinel%:*}" "${sentinel##*:}" SENTINEL FAILOVER "$MASTER_NAME")
        [ "$answer" != OK ] || break
    done
    [ "${answer:-}" = OK ] || return 0
    tries=0
    while [ "$tries" -lt 10 ] && [ "$(field role)" = master ]; do
        sleep 1
        info=$(tell INFO replication)
        tries=$((tries + 1))
    done
}

# shellcheck disable=SC2317 # called by the trap
# end: hands over, then ends the server.
end() {
    trap '' TERM INT
    hand_over || true
    kill -TERM "$server" 2>/dev/null || true
}

rm -f "$run/waiting" "$run/in-step" "$run/hidden"
part >"$run/part" &
wait $!
chosen=$(cat "$run/part")
rm -f "$run/hidden"
echo "starts as: $chosen"
[ "$chosen" != wait ] || touch "$run/waiting"
configuration "$chosen" >"$run/redis.conf"
redis-server "$run/redis.conf" &
server=$!
keep &
keeper=$!
trap end TERM INT
code=0
wait "$server" || code=$?
# A signal ends the first wait: the trap has run, the server still writes what it has.
while kill -0 "$server" 2>/dev/null; do
    code=0
    wait "$server" || code=$?
done
kill "$keeper" 2>/dev/null || true
exit "$code"
