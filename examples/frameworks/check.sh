#!/usr/bin/env bash
# Builds the programs, and signs in and out of each.
set -euo pipefail
cd "$(dirname "$0")"

server='' jar=$(mktemp)
clean_up() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -f "$jar"
}
trap clean_up EXIT

# expect TEXT ARGUMENT…: curl with these arguments answers this.
expect() {
    local expected=$1 answer
    shift
    answer=$(curl --silent --show-error --max-time 10 -b "$jar" -c "$jar" "$@")
    [ "$answer" = "$expected" ] || { printf 'error: %s answers %s\n' "$*" "$answer" >&2 && exit 1; }
}

cargo fmt --check
cargo clippy --locked --all-targets -- -D warnings
cargo build --locked
target=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
address=127.0.0.1:${PORT:-3123} own="Sec-Fetch-Site: same-origin"
site=http://$address
for program in axum actix hyper; do
    : >"$jar"
    "$target/debug/$program" "$address" &
    server=$!
    curl --silent --retry 50 --retry-connrefused --retry-delay 0 --output /dev/null "$site/"
    kill -0 $server || { echo "error: $program has not started: is $address in use?" >&2 && exit 1; }
    expect 'not signed in' "$site/"
    expect 'welcome, ann' -d name=ann -H "$own" "$site/sign-in"
    expect 'signed in as ann' "$site/"
    expect 'goodbye' -d '' -H "$own" "$site/sign-out"
    expect 'not signed in' "$site/"
    expect '' -d name=eve -H 'Sec-Fetch-Site: cross-site' "$site/sign-in"
    kill $server
    wait $server 2>/dev/null || true
    server=''
    echo "$program: ok"
done
