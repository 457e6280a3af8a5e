#!/usr/bin/env bash
# Runs every test against real servers, getting and starting what is missing (Debian, as root).
#   ./test.sh               unit tests, then the suite on Docker containers, then on server binaries
#   ./test.sh --no-docker   unit tests, then the suite on server binaries
# See integration-tests/servers/README.md for the environment variables it heeds.
set -euo pipefail
cd "$(dirname "$0")"
servers=integration-tests/servers
# shellcheck source=integration-tests/servers/lib.sh
. $servers/lib.sh

with_docker=yes
case "${1:-}" in
'') ;;
--no-docker) with_docker= ;;
*)
    sed -n '2,5s/^# \{0,1\}//p' "$0"
    [ "$1" = --help ] && exit
    exit 2
    ;;
esac

reports=$(mktemp -d "$CACHE/reports.XXXXXX")
engine_was_up=

clean_up() {
    if [ -n "$with_docker" ] && [ -z "$engine_was_up" ]; then $servers/docker.sh stop; fi
    rm -rf "$reports"
}
trap clean_up EXIT

# suite PASS: the conformance suite and the backends' own tests, on the servers of one kind.
suite() {
    say "the suite on $1"
    SESSION_TEST_SERVERS=$1 SESSION_TEST_REPORT=$reports/$1 PATH=$CACHE/bin:$PATH \
        cargo test -p integration-tests
    local backend
    for backend in redis mongo mysql; do
        case ",${SESSION_TEST_SKIP:-}," in *",$backend,"*) continue ;; esac
        # A pass that did not reach a backend proves nothing about it.
        grep -q "^$backend: " "$reports/$1" || die "no test reached $backend among $1"
    done
}

$servers/install.sh binaries
if [ -n "$with_docker" ]; then
    $servers/install.sh docker
    if docker info >/dev/null 2>&1; then engine_was_up=yes; fi
    $servers/docker.sh start
    $servers/images.sh
    while IFS= read -r setting; do
        # What the caller has chosen stays.
        [ -n "$(printenv "${setting%%=*}")" ] || export "${setting?}"
    done < <($servers/images.sh names)
fi

say "unit tests and doc tests"
cargo test --workspace --exclude integration-tests
if [ -n "$with_docker" ]; then suite docker; fi
suite binaries

say "what the suite ran against"
sort -u "$reports"/*
