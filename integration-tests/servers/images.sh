#!/usr/bin/env bash
# Builds the images that the tests run, from Debian's packages and MongoDB's own binary, so that
# no image registry is needed. Images that exist already, built in this same way, are left alone.
#   images.sh           builds them
#   images.sh names     prints the settings that name them
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=integration-tests/servers/lib.sh
. "$here/lib.sh"

REDIS=session-test/redis:7.0
REDIS8=session-test/redis:8
MONGO=session-test/mongo:6.0
MYSQL=session-test/mysql:9
POSTGRES=session-test/postgres:18
BASE=session-test/base:bookworm
SID_BASE=session-test/base:sid

# What images are built from, in one word: they carry it as a label, so that a change is noticed.
LABEL=session-test.recipe
RECIPE=$(cat "$here/images.sh" "$here/mongod.txt" "$here"/images/*/* | sha256sum | cut -c 1-16)

scratch=
clean_up() {
    # The system tree in it belongs to root.
    if [ -n "$scratch" ]; then as_root rm -rf "$scratch"; fi
}
trap clean_up EXIT

names() {
    printf 'SESSION_TEST_%s_IMAGE=%s\n' REDIS "$REDIS" REDIS8 "$REDIS8" MONGO "$MONGO" MYSQL "$MYSQL" \
        POSTGRES "$POSTGRES"
}

exists() {
    local recipe
    recipe=$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$1" 2>/dev/null) &&
        [ "$recipe" = "$RECIPE" ]
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
    if exists "$1"; then return; fi
    say "building $1 (Debian $2 with $3)"
    local tar=$scratch/$2.tar mirror
    mirror=$(mirror)
    # A mirror may lag behind sid for longer than its lists are said to be valid.
    quietly "debian-$2" thrice as_root mmdebstrap --variant=essential \
        --aptopt='Acquire::Check-Valid-Until "false"' --include="$3" "$2" "$tar" "$mirror"
    quietly "import-$2" docker import --change "LABEL $LABEL=$RECIPE" "$tar" "$1"
    as_root rm -f "$tar"
}

# image NAME FOLDER: builds the image NAME from the Dockerfile in FOLDER.
image() {
    if exists "$1"; then return; fi
    say "building $1"
    # The engine's own builder: the newer one is a plugin that Debian's package lacks.
    DOCKER_BUILDKIT=0 quietly "image-${1##*/}" \
        docker build --label "$LABEL=$RECIPE" --tag "$1" "$2"
}

build() {
    if exists "$REDIS" && exists "$REDIS8" && exists "$MONGO" && exists "$MYSQL" && exists "$POSTGRES"; then
        return
    fi
    scratch=$(mktemp -d "$CACHE/images.XXXXXX")
    cp -r "$here/images/." "$scratch"
    cp "$CACHE/bin/mongod" "$scratch/mongo/mongod"
    # MongoDB links to libcurl4, and nothing else in that base brings it.
    debian "$BASE" bookworm redis-server,libcurl4
    image "$REDIS" "$scratch/redis"
    image "$MONGO" "$scratch/mongo"
    debian "$SID_BASE" sid redis-server,mysql-server-core,postgresql-18
    image "$REDIS8" "$scratch/redis8"
    image "$MYSQL" "$scratch/mysql"
    image "$POSTGRES" "$scratch/postgres"
    # What these have replaced, unless a container runs it still.
    docker image prune --force --filter "label=$LABEL" >/dev/null
}

case "${1:-build}" in
build) build ;;
names) names ;;
*) die "usage: images.sh [names]" ;;
esac
