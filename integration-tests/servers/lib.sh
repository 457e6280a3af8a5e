# Shared by the scripts beside it: where things are kept, and how steps are told.
# shellcheck shell=bash

CACHE=${SESSION_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/session-tests}
mkdir -p "$CACHE/bin" "$CACHE/logs"
# Programs run in other folders are told paths below it.
CACHE=$(cd "$CACHE" && pwd)

# Debian keeps servers where only root's PATH looks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() {
    printf '== %s\n' "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# quietly NAME COMMAND…: runs it with its output in a log, and shows the end of that if it fails.
quietly() {
    local log="$CACHE/logs/$1.log"
    shift
    if ! "$@" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        die "failed: $* (whole output in $log)"
    fi
}

# thrice COMMAND…: downloads fail now and then.
thrice() {
    "$@" || { sleep 2 && "$@"; } || { sleep 10 && "$@"; }
}

can_be_root() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

# as_root COMMAND…: as it is for root, through sudo where that asks nothing.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif can_be_root; then
        sudo -n "$@"
    else
        die "this needs root: $*"
    fi
}
