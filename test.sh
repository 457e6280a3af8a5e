#!/usr/bin/env bash
# Runs every test against real servers, getting and starting what is missing (Debian, as root).
#   ./test.sh               unit tests, then the suite on Docker containers and, beside it, on server binaries
#   ./test.sh --no-docker   unit tests, then the suite on server binaries; --quick is the same
#   ./test.sh --prepare     only gets what is missing, the images included
# See integration-tests/servers/README.md for the environment variables it heeds.
set -euo pipefail
cd "$(dirname "$0")"

# Nobody debugs what is built here, and programs link sooner without.
export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}

usage() {
    sed -n '2,6s/^# \{0,1\}//p' test.sh
}

with_docker=yes only_prepare=
for flag in "$@"; do
    case $flag in
    --no-docker | --quick) with_docker= ;;
    --prepare) only_prepare=yes ;;
    --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
    esac
done

servers=integration-tests/servers
# shellcheck source=integration-tests/servers/lib.sh
. $servers/lib.sh

reports=$(mktemp -d "$CACHE/reports.XXXXXX")
engine_is_ours=
# The process of each pass that runs, and the passes that failed.
declare -A running=()
failed=()

clean_up() {
    # Their servers and containers end with them.
    if [ ${#running[@]} -gt 0 ]; then kill "${running[@]}" 2>/dev/null || true; fi
    wait
    rm -rf "$reports"
    if [ -n "$engine_is_ours" ]; then
        # What an engine still has when it stops it has when it starts again.
        for _ in $(seq 40); do
            [ -n "$(docker ps --all --quiet --filter label=session-test)" ] || break
            sleep 0.25
        done
        $servers/docker.sh stop
    fi
}
trap clean_up EXIT
# In the background an interrupt is ignored, so it is passed on by the above.
trap 'exit 130' INT
trap 'exit 143' TERM

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

# unit_tests: every test but the program of all integration tests. All that is built here is built with the same
# packages selected, and so but once: which features a dependency has hangs on that.
unit_tests() {
    local path name others=()
    for path in */tests/*.rs */tests/*/main.rs; do
        name=${path#*/tests/} name=${name%/main.rs} name=${name%.rs}
        [ "$name" = integration ] || others+=(--test "$name")
    done
    # All of them, so that one run names each that fails.
    cargo test --workspace --no-fail-fast --lib --bins --examples "${others[@]}"
    cargo test --workspace --no-fail-fast --doc
}

# build: the program of all integration tests, whose path is then in `program`.
build() {
    local command=(cargo test --workspace --test integration --no-run)
    # Once for what the compiler says to people, once for what it says to programs.
    "${command[@]}"
    program=$("${command[@]}" --quiet --message-format=json |
        sed -n 's/.*"name":"integration".*"executable":"\([^"]*\)".*/\1/p')
    [ -x "$program" ] || die "cargo names no program of the integration tests: [$program]"
}

# fault_tests: a few seconds of each kind of fault, on server binaries, and the judgement of what was promised. The long
# runs are those of faults.sh.
fault_tests() {
    PATH=$CACHE/bin:$PATH SESSION_TEST_SERVERS=binaries cargo test --workspace --test short_runs
}

# docker_tests: the tests whose result depends on the product and version in a container. The others run
# once, on binaries; those of Redis' backend, Valkey and the clusters start binaries of their own wherever
# the shared servers come from. Of the SQL databases, whose versions differ most, each pass has Express' layout.
docker_tests() {
    local modules="redis::(conformance|redis_8)|(mongo|mysql|postgres)(_backend)?|storm"
    "$program" --list --format terse | sed -n 's/: test$//p' |
        grep -E "^($modules)::${with_express:+|^express::.*(mysql|postgres)}"
}

# start PASS ARGUMENT…: begins the suite on the servers of one kind, or a part of it.
start() {
    local pass=$1
    shift
    (
        cd integration-tests
        export SESSION_TEST_SERVERS=$pass SESSION_TEST_REPORT=$reports/$pass PATH=$CACHE/bin:$PATH
        exec "$program" --test-threads "$threads" "$@"
    ) >"$reports/$pass.log" 2>&1 &
    running[$pass]=$!
}

# finish PASS: waits until it has ended, and shows what it said.
finish() {
    local pass=$1 status=0
    wait "${running[$pass]}" || status=$?
    unset "running[$pass]"
    say "the suite on $pass"
    cat "$reports/$pass.log"
    if [ $status != 0 ]; then failed+=("$pass"); fi
}

# suites: both passes at the same time, since much of each is waiting for deadlines.
suites() {
    local pass passes=(binaries) names
    if [ -n "$with_docker" ]; then
        passes=(docker binaries)
        names=$(docker_tests)
        # shellcheck disable=SC2086 # one word a name
        start docker --exact $names
    fi
    start binaries
    say "${passes[*]}: $threads tests at a time each, shown when they have ended"
    for pass in "${passes[@]}"; do finish "$pass"; done
}

# reached PASS HOW: a pass that did not reach a backend proves nothing about it; HOW is what its report
# says of each.
reached() {
    local backend
    for backend in redis redis8 mongo mysql postgres; do
        # What is skipped as redis is every version of it.
        case ",${SESSION_TEST_SKIP:-}," in *",$backend,"* | *",${backend%8},"*) continue ;; esac
        grep -q "^$backend: .*$2" "$reports/$1" || die "no test reached $backend by a $2"
    done
    if [ -n "$with_express" ]; then
        grep -q '^express: ' "$reports/$1" || die "no test ran an Express program"
    fi
}

reached_valkey() {
    case ",${SESSION_TEST_SKIP:-}," in
    *,redis,* | *,valkey,*) ;;
    *) grep -q '^valkey: Valkey' "$reports/binaries" || die "no test reached Valkey" ;;
    esac
}

# The last word: which products and versions the tests have met, and which they have not.
summary() {
    local pass
    say "what the suite ran against"
    for pass in docker binaries; do
        if [ -f "$reports/$pass" ]; then sort -u "$reports/$pass" | sed "s/^/$pass  /"; fi
        if [ -f "$reports/$pass.log" ]; then not_run "$pass"; fi
    done
    if [ -z "$with_docker" ]; then echo "docker  NOT RUN: left out by a flag"; fi
    if [ -z "$with_express" ]; then echo "express  NOT RUN: SESSION_TEST_SKIP names it"; fi
    if [ -z "$with_browser" ]; then echo "browser  NOT RUN: SESSION_TEST_SKIP names it"; fi
}

# not_run PASS: how many tests of each module return at once, which count as passed.
not_run() {
    sed -nE 's/^(conformance: )?NOT RUN (integration::)?([a-z_]+)::.*/\3/p' "$reports/$1.log" | sort | uniq -c |
        while read -r count module; do echo "$1  NOT RUN: $count tests of $module, for SESSION_TEST_SKIP"; done
}

with_browser=yes with_express=yes program=
case ",${SESSION_TEST_SKIP:-}," in *,browser,*) with_browser= ;; esac
case ",${SESSION_TEST_SKIP:-}," in *,express,*) with_express= ;; esac
threads=${SESSION_TEST_THREADS:-$(nproc)}
$servers/install.sh binaries ${with_docker:+docker} ${with_browser:+browser} ${with_express:+express}
if [ -n "$with_docker" ]; then prepare_docker; fi
if [ -n "$only_prepare" ]; then exit; fi

say "unit tests, doc tests, and the tests of the conformance suite itself"
unit_tests
say "short runs under faults"
fault_tests
say "the suite"
build
suites
summary
if [ ${#failed[@]} -gt 0 ]; then die "the suite failed on ${failed[*]}"; fi
if [ -n "$with_docker" ]; then reached docker 'docker image'; fi
reached binaries binary
reached_valkey
