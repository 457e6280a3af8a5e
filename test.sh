#!/usr/bin/env bash
# Runs every test against real servers, getting and starting what is missing (Debian, as root).
#   ./test.sh               unit tests, then the suite on Docker containers, then on server binaries
#   ./test.sh --no-docker   unit tests, then the suite on server binaries; --quick is the same
# See integration-tests/servers/README.md for the environment variables it heeds.
set -euo pipefail
cd "$(dirname "$0")"

usage() {
    sed -n '2,5s/^# \{0,1\}//p' test.sh
}

with_docker=yes
for flag in "$@"; do
    case $flag in
    --no-docker | --quick) with_docker= ;;
    --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
done

servers=integration-tests/servers
# shellcheck source=integration-tests/servers/lib.sh
. $servers/lib.sh

reports=$(mktemp -d "$CACHE/reports.XXXXXX")
engine_is_ours=

clean_up() {
    rm -rf "$reports"
    if [ -n "$engine_is_ours" ]; then $servers/docker.sh stop; fi
}
trap clean_up EXIT

# prepare_docker: an engine that answers, the images, and the settings that name them.
prepare_docker() {
    if ! docker info >/dev/null 2>&1; then
        engine_is_ours=yes
        $servers/docker.sh start
    fi
    $servers/images.sh
    local setting
    while IFS= read -r setting; do
        # What the caller has chosen stays.
        [ -n "$(printenv "${setting%%=*}")" ] || export "${setting?}"
    done < <($servers/images.sh names)
}

# suite PASS ARGUMENT…: the suite on the servers of one kind, or a part of it.
suite() {
    local pass=$1
    shift
    SESSION_TEST_SERVERS=$pass SESSION_TEST_REPORT=$reports/$pass PATH=$CACHE/bin:$PATH \
        cargo test -p integration-tests "$@"
}

# reached PASS HOW: a pass that did not reach a backend proves nothing about it; HOW is what its report
# says of each.
reached() {
    local backend
    for backend in redis mongo mysql; do
        case ",${SESSION_TEST_SKIP:-}," in *",$backend,"*) continue ;; esac
        grep -q "^$backend: .*$2" "$reports/$1" || die "no test reached $backend by a $2"
    done
    case ",${SESSION_TEST_SKIP:-}," in
    *,redis,* | *,valkey,*) ;;
    *) grep -q '^valkey: Valkey' "$reports/$1" || die "no test reached Valkey" ;;
    esac
    if [ -n "$with_express" ]; then
        grep -q '^express: ' "$reports/$1" || die "no test ran an Express program"
    fi
}

# The last word: which products and versions the tests have met, and which they have not.
summary() {
    local pass
    say "what the suite ran against"
    for pass in docker binaries; do
        if [ -f "$reports/$pass" ]; then sort -u "$reports/$pass" | sed "s/^/$pass  /"; fi
    done
    if [ -z "$with_docker" ]; then echo "docker  NOT RUN: left out by a flag"; fi
    if [ -z "$with_express" ]; then echo "express  NOT RUN: SESSION_TEST_SKIP names it"; fi
}

with_browser=yes with_express=yes
case ",${SESSION_TEST_SKIP:-}," in *,browser,*) with_browser= ;; esac
case ",${SESSION_TEST_SKIP:-}," in *,express,*) with_express= ;; esac
$servers/install.sh binaries ${with_docker:+docker} ${with_browser:+browser} ${with_express:+express}
if [ -n "$with_docker" ]; then prepare_docker; fi

say "unit tests, doc tests, and the tests of the conformance suite itself"
cargo test --workspace --exclude integration-tests
if [ -n "$with_docker" ]; then
    say "the suite on docker"
    # What does not depend on the servers' versions runs once, on binaries.
    suite docker --test redis --test redis_backend --test mongo --test mongo_backend \
        --test mysql --test mysql_backend --test storm
    # Of MySQL and MariaDB, which differ most, each pass has one.
    if [ -n "$with_express" ]; then suite docker --test express mysql; fi
    reached docker 'docker image'
fi
say "the suite on binaries"
suite binaries
reached binaries binary
summary
