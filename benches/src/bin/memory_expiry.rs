//! What a million sessions that expire at once cost the memory store, and those who use it then.
//!
//! ```text
//! cargo run --release -p benches --bin memory_expiry
//! ```
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::time::{Duration, Instant};

use benches::Latencies;
use session_core::{Draft, Lifetime, SessionDirectory, SessionId, SessionStore, SessionToken};
use session_memory::MemoryStore;

const SESSIONS: usize = 1_000_000;
const LIVE: usize = 1_000;

/// Bytes of memory in use, as the system counts them (Linux).
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|kib| kib.parse::<usize>().ok())
        .unwrap_or(0)
        * 1024
}

async fn create(store: &MemoryStore, lifetime: Lifetime) -> SessionId {
    let (id, draft) = (
        SessionToken::generate().id(),
        Draft::new(vec![7; 300], lifetime),
    );
    store.create(&id, &draft).await.expect("created");
    id
}

#[tokio::main]
async fn main() {
    let ttl = Duration::from_secs(20);
    let grace = Duration::from_secs(1);
    let builder = MemoryStore::builder().max_sessions(2 * SESSIONS);
    let store = builder.expiry_grace(grace).build().expect("good settings");
    let before = resident();
    let began = Instant::now();
    for _ in 0..SESSIONS {
        create(&store, Lifetime::fixed(ttl)).await;
    }
    let took = began.elapsed();
    let bytes = resident().saturating_sub(before) / SESSIONS;
    println!("{SESSIONS} sessions of 300 bytes created in {took:.2?}, {bytes} bytes each");
    assert!(took < ttl, "the first have expired already");
    let hour = Lifetime::fixed(Duration::from_secs(3_600));
    let mut live = Vec::new();
    for _ in 0..LIVE {
        live.push(create(&store, hour).await);
    }
    // From before the first expires until after the last has been freed.
    let (until, mut latencies) = (began + took + ttl + 3 * grace, Latencies::default());
    while began.elapsed() < ttl.saturating_sub(grace) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut n = 0;
    while Instant::now() < until {
        n += 1;
        let id = &live[n % LIVE];
        let found = latencies.time(store.load(id)).await.expect("loaded");
        let found = found.expect("it lives for an hour");
        let draft = Draft::new(vec![8; 300], hour);
        let saved = latencies.time(store.save(id, &draft, found.stamp)).await;
        let _ = saved.expect("saved");
        if n % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let us = |share| latencies.per_mille(share).as_secs_f64() * 1e6;
    println!(
        "{} loads and saves while they expired: p50 {:.1} µs, p99.9 {:.1} µs, max {:.0} µs",
        latencies.count(),
        us(500),
        us(999),
        us(1000)
    );
    let left = store.count().await.expect("counted");
    println!("{left} live sessions left; nobody has reaped");
}
