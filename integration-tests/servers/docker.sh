#!/usr/bin/env bash
# Starts a Docker engine where none answers, and stops the one it started.
#   docker.sh start     does nothing if an engine answers already
#   docker.sh stop      does nothing if the engine is somebody else's
set -euo pipefail
# shellcheck source=integration-tests/servers/lib.sh
. "$(dirname "$0")/lib.sh"

PID_FILE=$CACHE/dockerd.pid
LOG=$CACHE/logs/dockerd.log

answers() {
    docker info >/dev/null 2>&1
}

# The id of the engine that this script started. After a crash the file may name a process that
# has nothing to do with it.
own_pid() {
    local pid
    pid=$(cat "$PID_FILE" 2>/dev/null) || return 1
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 1
    printf '%s' "$pid"
}

# try OPTION…: starts an engine with these options; fails if it does not answer.
try() {
    own_pid >/dev/null || as_root rm -f "$PID_FILE"
    # Ports that containers publish are this machine's alone; whoever runs the tests may use it.
    as_root setsid dockerd --pidfile "$PID_FILE" --ip 127.0.0.1 --group "$(id -gn)" "$@" \
        >"$LOG" 2>&1 </dev/null &
    local starter=$!
    for _ in $(seq 120); do
        if answers; then return; fi
        # An engine that can't work with the options ends by itself.
        kill -0 $starter 2>/dev/null || return 1
        sleep 0.25
    done
    stop
    return 1
}

start() {
    if answers; then return; fi
    command -v dockerd >/dev/null || die "no dockerd on PATH: install.sh docker gets it"
    can_be_root || die "start a Docker engine first, or run this as root"
    say "starting a Docker engine"
    local storage network
    # The first works almost everywhere. Inside a container there may be no overlay file system,
    # and without netfilter in the kernel a proxy alone still serves published ports.
    for storage in overlay2 vfs; do
        for network in true false; do
            if try --storage-driver "$storage" --iptables="$network"; then return; fi
        done
    done
    tail -n 20 "$LOG" >&2
    die "no Docker engine starts here (whole output in $LOG)"
}

stop() {
    local pid
    pid=$(own_pid) || return 0
    as_root kill "$pid"
    for _ in $(seq 120); do
        if [ ! -d "/proc/$pid" ]; then return; fi
        sleep 0.25
    done
    die "the Docker engine $pid does not stop"
}

case "${1:-}" in
start) start ;;
stop) stop ;;
*) die "usage: docker.sh start|stop" ;;
esac
