#!/usr/bin/env bash
# Runs both fuzz targets for so many seconds each (20 if not told), guided by coverage, on the
# stable toolchain; a crash ends it with an error and leaves the input in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-20}

# What `cargo fuzz` sets for a target without a sanitizer: there is no unsafe code to watch.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 -Cdebug-assertions \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table"
# With a target named, build scripts and macros are built without these flags.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --locked --quiet --target "$host"
mkdir -p artifacts corpus/cookie_header corpus/session_data
for target in cookie_header session_data; do
    echo "fuzz: $target, $seconds s"
    "${CARGO_TARGET_DIR:-target}/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -artifact_prefix=artifacts/ -print_final_stats=1 -verbosity=0 \
        "corpus/$target" "seeds/$target"
done
