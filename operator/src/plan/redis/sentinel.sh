#!/bin/sh
# Starts a sentinel with what it learned before; everything else in its file is written anew.
set -eu
# shellcheck source=operator/src/plan/redis/ask.sh
. "${ROOT:-}/etc/redis/scripts/ask.sh"
umask 077
read_settings
file="$data/sentinel.conf"

# learned: the lines that only the sentinel itself knows; the quorum is ours.
learned() {
    if [ -e "$file" ]; then
        grep -E '^sentinel (myid|monitor|config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) ' "$file" \
            | sed "s/^\(sentinel monitor .*\) [0-9]*$/\1 $QUORUM/" || true
    fi
}

configuration() {
    cat <<END
bind ${ADDRESS:-* -::*}
port 26379
protected-mode no
dir $data
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $HOST
sentinel announce-port 26379
sentinel sentinel-pass "$(password password)"
user default on sanitize-payload ~* &* +@all $(digests)
END
    known=$(learned)
    if [ -n "$known" ]; then
        printf '%s\n' "$known"
    fi
    case "$known" in
    *"sentinel monitor "*)
        printf '%s\n' "$MONITOR_SETTINGS" | while read -r setting value; do
            echo "sentinel $setting $MASTER_NAME $value"
        done
        echo "sentinel auth-pass $MASTER_NAME \"$(password password)\""
        ;;
    esac
}

configuration >"$file.new"
mv "$file.new" "$file"
exec redis-server "$file" --sentinel
