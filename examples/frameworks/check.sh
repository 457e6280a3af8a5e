#!/usr/bin/env bash
# Builds the programs, and signs in and out of each; or of those that are named:
#   ./check.sh [axum|actix|hyper|leptos-site|dioxus-site] …
set -euo pipefail
cd "$(dirname "$0")"

server='' jar=$(mktemp)
clean_up() {
    if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi
    rm -f "$jar"
}
trap clean_up EXIT

# ask ARGUMENT…: curl with these arguments, as the browser that has the jar.
ask() {
    curl --silent --show-error --max-time 10 -b "$jar" -c "$jar" "$@"
}

# shows TEXT ARGUMENT…: the page that curl is led to has this text.
shows() {
    local text=$1 answer
    shift
    answer=$(ask --location "$@")
    [[ $answer == *"$text"* ]] || { printf 'error: %s answers %s\n' "$*" "$answer" >&2 && exit 1; }
}

# refuses STATUS ARGUMENT…: the response has this status.
refuses() {
    local expected=$1 status
    shift
    status=$(ask --output /dev/null --write-out '%{http_code}' "$@")
    [ "$status" = "$expected" ] || { printf 'error: %s answers %s\n' "$*" "$status" >&2 && exit 1; }
}

# check_site PROGRAM GUEST [PREFIX]: a guest who asks for the account is answered with the status
# GUEST. The forms are sent below PREFIX.
check_site() {
    local program=$1 guest=$2 forms=$site${3:-}
    : >"$jar"
    "$target/debug/$program" "$address" &
    server=$!
    curl --silent --retry 50 --retry-connrefused --retry-delay 0 --output /dev/null "$site/"
    kill -0 $server || { echo "error: $program has not started: is $address in use?" >&2 && exit 1; }
    shows 'not signed in' "$site/"
    refuses "$guest" "$site/account"
    refuses 403 -d name=eve -H 'Sec-Fetch-Site: cross-site' "$forms/sign-in"
    ask -d name=ann "${own[@]}" --output /dev/null "$forms/sign-in"
    shows 'signed in as ann' "$site/"
    shows 'the account of ann' "$site/account"
    ask -d '' "${own[@]}" --output /dev/null "$forms/sign-out"
    shows 'not signed in' "$site/"
    refuses "$guest" "$site/account"
    kill $server
    wait $server 2>/dev/null || true
    server=''
    echo "$program: ok"
}

cargo fmt --all --check
target=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
address=127.0.0.1:${PORT:-3123} site=http://127.0.0.1:${PORT:-3123}
own=(-H 'Sec-Fetch-Site: same-origin' -H 'Accept: text/html')
[ $# -gt 0 ] || set -- axum actix hyper leptos-site dioxus-site
# One package at a time: each of the last two has some 300 dependencies of its own.
for program in "$@"; do
    case $program in
        leptos-site | dioxus-site) package=$program ;;
        *) package=frameworks ;;
    esac
    cargo clippy --locked --all-targets -p "$package" -p site -- -D warnings
    cargo build --locked -p "$package"
    case $program in
        leptos-site) check_site "$program" 303 /api ;;
        dioxus-site) check_site "$program" 401 /api ;;
        *) check_site "$program" 401 ;;
    esac
done
