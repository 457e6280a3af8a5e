#!/usr/bin/env bash
# Builds the images that the tests run, from Debian's packages and MongoDB's own binary, so that
# no image registry is needed. Images that exist are left alone.
#   images.sh           builds them
#   images.sh names     prints the settings that name them
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=integration-tests/servers/lib.sh
. "$here/lib.sh"

REDIS=session-test/redis:7.0
MONGO=session-test/mongo:6.0
MYSQL=session-test/mysql:9
BASE=session-test/base:bookworm

names() {
    printf 'SESSION_TEST_REDIS_IMAGE=%s\nSESSION_TEST_MONGO_IMAGE=%s\nSESSION_TEST_MYSQL_IMAGE=%s\n' \
        "$REDIS" "$MONGO" "$MYSQL"
}

exists() {
    docker image inspect "$1" >/dev/null 2>&1
}

# The mirror that this machine's own package sources name.
mirror() {
    local uri
    uri=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    [ -n "$uri" ] ||
        uri=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^https?:/) { print $i; exit } }' \
            /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null)
    [ -n "$uri" ] || die "no package mirror in this machine's apt sources"
    printf '%s' "$uri"
}

# debian NAME SUITE PACKAGES: imports a minimal Debian with the packages as the image NAME.
debian() {
    exists "$1" && return
    say "building $1 (Debian $2 with $3)"
    local tar
    tar=$(mktemp "$CACHE/debian.XXXXXX.tar")
    quietly "debian-$2" thrice as_root mmdebstrap --variant=essential \
        --aptopt='Acquire::Check-Valid-Until "false"' --include="$3" "$2" "$tar" "$(mirror)"
    quietly "import-$2" docker import "$tar" "$1"
    as_root rm -f "$tar"
}

# image NAME FOLDER: builds the image NAME from the Dockerfile in FOLDER.
image() {
    exists "$1" && return
    say "building $1"
    DOCKER_BUILDKIT=0 quietly "image-${1##*/}" docker build -t "$1" "$2"
}

build() {
    local context
    context=$(mktemp -d "$CACHE/images.XXXXXX")
    cp -r "$here/images/." "$context"
    debian "$BASE" bookworm redis-server,libcurl4
    image "$REDIS" "$context/redis"
    if ! exists "$MONGO"; then
        cp "$(PATH="$CACHE/bin:$PATH" command -v mongod)" "$context/mongo/mongod"
        image "$MONGO" "$context/mongo"
    fi
    debian session-test/base:sid sid mysql-server-core
    image "$MYSQL" "$context/mysql"
    rm -rf "$context"
}

case "${1:-build}" in
build) build ;;
names) names ;;
*) die "usage: images.sh [names]" ;;
esac
