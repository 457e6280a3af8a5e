#!/usr/bin/env bash
# A stranger's first day, on the packages that the registry would get: types what README.md says, the program
# included, and signs in with a real Redis; then tries each `cargo add` line of the documents in an empty crate.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

scratch=$(mktemp -d) redis='' site=''
clean_up() {
    if [ -n "$site" ]; then kill "$site" 2>/dev/null || true; fi
    if [ -n "$redis" ]; then kill "$redis" 2>/dev/null || true; fi
    wait
    rm -rf "$scratch"
}
trap clean_up EXIT

# curl, in the README's commands too, without its progress.
curl() {
    command curl --silent --show-error --max-time 10 "$@"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# block LANGUAGE NUMBER: the text of README.md's code block of that language, counted from 1.
block() {
    awk -v start="\`\`\`$1" -v number="$2" '
        /^```/ { if (inside) { inside = 0 } else { inside = ($0 == start && ++count == number) }; next }
        inside' "$root/README.md"
}

# free_port: one that nothing listens on now.
free_port() {
    local port
    for ((port = 20000 + RANDOM % 10000; ; port++)); do
        (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# registry FOLDER: makes it the registry of the crates below $scratch: our packages, and all that they and the README's
# program depend on. Paths or patches would not do, since `cargo add` asks the registry.
registry() {
    local package manifest name selection=()
    while IFS= read -r manifest; do
        selection+=(-p "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)")
    done < <(grep -L '^publish = false' ./*/Cargo.toml)
    cargo package --quiet --locked --no-verify --target-dir "$scratch/packed" "${selection[@]}"
    mkdir -p "$scratch/packages/seed/src"
    for package in "$scratch"/packed/package/*.crate; do tar -xzf "$package" -C "$scratch/packages"; done
    : >"$scratch/packages/seed/src/lib.rs"
    cat >"$scratch/packages/seed/Cargo.toml" <<'MANIFEST'
[package]
name = "seed"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = "0.8"
serde = { version = "1", features = ["derive"] }
tokio = { version = "1", features = ["full"] }
MANIFEST
    {
        printf '[workspace]\nresolver = "3"\nmembers = ["*"]\n\n[patch.crates-io]\n'
        for manifest in "$scratch"/packages/session-*/Cargo.toml; do
            name=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)
            printf '%s = { path = "%s" }\n' "$name" "$(basename "$(dirname "$manifest")")"
        done
    } >"$scratch/packages/Cargo.toml"
    cargo vendor --quiet --manifest-path "$scratch/packages/Cargo.toml" "$1" >/dev/null
    for package in "$scratch"/packages/session-*; do
        mv "$package" "$1"
        echo '{"files":{}}' >"$1/$(basename "$package")/.cargo-checksum.json"
    done
    mkdir "$scratch/.cargo"
    printf '[source.crates-io]\nreplace-with = "packages"\n\n[source.packages]\ndirectory = "%s"\n' "$1" \
        >"$scratch/.cargo/config.toml"
}

# sign_in: the README's first page, from its first command to its last answer. Only ports differ.
sign_in() {
    local redis_port site_port answer addresses
    redis_port=$(free_port)
    redis-server --port "$redis_port" --bind 127.0.0.1 --save '' --dir "$scratch" >/dev/null &
    redis=$!
    site_port=$(free_port)
    addresses="s|redis://127.0.0.1/|redis://127.0.0.1:$redis_port/|; s|127.0.0.1:3000|127.0.0.1:$site_port|"
    cd "$scratch"
    eval "$(block sh 1)"
    block rust,no_run 1 >src/main.rs
    [ "$(grep -c . src/main.rs)" -le 15 ] || fail "the program of README.md has more than fifteen lines"
    sed -i "$addresses" src/main.rs
    cargo build --quiet
    "$CARGO_TARGET_DIR/debug/site" &
    site=$!
    # Not --retry-delay 0: with it, curl doubles each wait.
    curl --retry 50 --retry-connrefused --retry-delay 1 --retry-max-time 30 \
        --output /dev/null "http://127.0.0.1:$site_port/" || fail "the program of README.md does not answer"
    kill -0 "$site" || fail "the program of README.md has not started"
    answer=$(eval "$(block sh 2 | sed "$addresses")")
    [ "$answer" = 'signed in as ann' ] || fail "the site of README.md answers [$answer]"
    echo "the site of README.md answers: $answer"
    kill "$site" "$redis"
    wait "$site" "$redis" || true
    site='' redis=''
    cd "$root"
}

# add LINE: what a document says to type in a crate. It must be there, and build.
add() {
    rm -rf "$scratch/app"
    cargo new --quiet --lib "$scratch/app"
    (
        cd "$scratch/app"
        $1 --quiet || fail "$1"
        cargo check --quiet --tests || fail "builds nothing: $1"
    )
    echo "ok: $1"
}

export CARGO_TARGET_DIR=$scratch/target
registry "$scratch/registry"
sign_in
grep -hoE '^cargo add [^#]*' README.md docs/*.md session*/README.md | sed 's/ *$//' | sort -u | while read -r line; do
    add "$line" </dev/null
done
