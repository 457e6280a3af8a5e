#!/usr/bin/env bash
# Breaks real servers while sessions are in use, and judges what was promised (Debian, as root).
#   ./faults.sh                 every topology, 6 minutes each
#   ./faults.sh TOPOLOGY…       these; `./faults.sh list` names them with their faults
#   ./faults.sh smoke           whether each fault of each topology happens and ends, as plain clients see it
# FAULTS_SECONDS is how long each is in use, FAULTS_SEED repeats a sequence of operations and faults. Reports and the
# histories of runs that broke a promise are kept in the folder FAULTS_OUT.
set -euo pipefail
cd "$(dirname "$0")"

export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}

servers=integration-tests/servers
# shellcheck source=integration-tests/servers/lib.sh
. $servers/lib.sh

seconds=${FAULTS_SECONDS:-360} seed=${FAULTS_SEED:-$(date +%s)} out=${FAULTS_OUT:-$CACHE/faults}
mkdir -p "$out"

$servers/install.sh binaries faults
export PATH=$CACHE/bin:$PATH SESSION_TEST_SERVERS=binaries
if [ "${1-}" = smoke ]; then
    exec cargo test -p session-faults --test topologies -- --include-ignored --nocapture --test-threads 1
fi
cargo build --release -p session-faults
program=$PWD/target/release/faults

if [ "${1-}" = list ]; then exec "$program" list; fi
if [ $# -eq 0 ]; then mapfile -t topologies < <("$program" names); else topologies=("$@"); fi

failed=()
for topology in "${topologies[@]}"; do
    say "$topology, seed $seed, $seconds s"
    report=$out/$topology-$seed.txt
    "$program" run --seconds "$seconds" --seed "$seed" --out "$out" "$topology" >"$report" 2>&1 || failed+=("$topology")
    grep -v '^[{|]' "$report" || true
done

say 'all runs'
"$program" heading
for topology in "${topologies[@]}"; do
    grep '^| ' "$out/$topology-$seed.txt" || echo "| $topology | no report | | | | | |"
done
if [ ${#failed[@]} -gt 0 ]; then die "not as promised: ${failed[*]}"; fi
