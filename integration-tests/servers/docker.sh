#!/usr/bin/env bash
# Starts a Docker engine where none answers, and stops the one it started.
#   docker.sh start     prints nothing if an engine answers already
#   docker.sh stop
set -euo pipefail
# shellcheck source=integration-tests/servers/lib.sh
. "$(dirname "$0")/lib.sh"

PID_FILE=$CACHE/dockerd.pid

answers() {
    docker info >/dev/null 2>&1
}

start() {
    answers && return
    say "starting a Docker engine"
    local driver
    for driver in overlay2 vfs; do
        as_root setsid dockerd --storage-driver "$driver" --pidfile "$PID_FILE" \
            >"$CACHE/logs/dockerd.log" 2>&1 </dev/null &
        local starter=$! i
        for i in $(seq 60); do
            answers && return
            # The engine may refuse a storage driver and end at once.
            if [ "$i" -gt 4 ] && ! kill -0 $starter 2>/dev/null; then break; fi
            sleep 0.5
        done
        stop
    done
    tail -n 20 "$CACHE/logs/dockerd.log" >&2
    die "no Docker engine starts here"
}

stop() {
    [ -f "$PID_FILE" ] || return 0
    local pid
    pid=$(cat "$PID_FILE")
    as_root kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 60); do
        as_root kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.5
    done
    die "the Docker engine $pid does not stop"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*) die "usage: docker.sh start|stop" ;;
esac
