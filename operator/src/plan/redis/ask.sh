# shellcheck shell=sh
# What the start scripts and probes share: where things lie and how a server is asked. Sourced, never run.
# shellcheck disable=SC2034 # what is set here is used by those who source it
# Passwords go through pipes and files, so that neither arguments nor environments show them.

etc="${ROOT:-}/etc/redis"
run="${ROOT:-}/run/redis"
data="${ROOT:-}/data"
# The address to listen on; nothing means all of them.
local_address="${ADDRESS:-127.0.0.1}"

# SENTINELS, MAJORITY, QUORUM, REPLICAS, MIN_REPLICAS and the like: read again and again, for they change
# while a server runs.
read_settings() {
    # shellcheck source=/dev/null
    . "$etc/scripts/settings"
}

# password KEY: a password of the Secret, or nothing.
password() {
    cat "$etc/password/$1" 2>/dev/null || true
}

# digests: the passwords that are let in, as an access list holds them.
digests() {
    for key in password previous; do
        if [ -s "$etc/password/$key" ]; then
            printf '#%s ' "$(password "$key" | sha256sum | cut -d ' ' -f 1)"
        fi
    done
}

# login: the lines that log in; a server may know only one of two passwords yet.
login() {
    for key in previous password; do
        if [ -s "$etc/password/$key" ]; then
            printf 'AUTH "%s"\n' "$(password "$key")"
        fi
    done
}

# say HOST PORT COMMAND…: the reply; nothing when there is none.
say() {
    to=$1 at=$2
    shift 2
    { login; printf 'PING reply-follows\n%s\n' "$*"; } \
        | timeout 2 redis-cli -h "$to" -p "$at" 2>/dev/null \
        | tr -d '\r' | sed '1,/^reply-follows$/d'
}

# answers HOST PORT: whether anything answers at all, be it that data are still being loaded.
answers() {
    [ -n "$(printf 'PING\n' | timeout 2 redis-cli -h "$1" -p "$2" 2>/dev/null)" ]
}

# named_master: the host on which a majority of all planned sentinels agrees; `nobody` when a majority
# knows none; nothing when there is no majority.
named_master() {
    for sentinel in $SENTINELS; do
        say "${sentinel%:*}" "${sentinel##*:}" SENTINEL get-master-addr-by-name "$MASTER_NAME" \
            | sed -n '1{s/^$/nobody/;p;}'
    done | sort | uniq -c | sort -rn | {
        read -r count name || true
        if [ "${count:-0}" -ge "$MAJORITY" ]; then
            echo "$name"
        fi
    }
}
