#!/bin/sh
# Says whether a server or sentinel of this pod is alive, or ready: probe.sh (live|ready) (redis|sentinel).
set -eu
# shellcheck source=operator/src/plan/redis/ask.sh
. "${ROOT:-}/etc/redis/scripts/ask.sh"

case "$1 $2" in
"live redis")
    # One that is kept from listening on purpose is alive.
    [ -e "$run/hidden" ] || [ ! -e "$run/redis.conf" ] || answers "$local_address" 6379
    ;;
"ready redis")
    [ ! -e "$run/waiting" ] && [ ! -e "$run/hidden" ]
    info=$(say "$local_address" 6379 INFO replication)
    printf '%s\n' "$info" | grep -q -e '^role:master$' -e '^master_link_status:up$'
    ;;
"live sentinel")
    answers "$local_address" 26379
    ;;
"ready sentinel")
    [ "$(say "$local_address" 26379 PING)" = PONG ]
    ;;
*)
    exit 2
    ;;
esac
