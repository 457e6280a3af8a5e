//! The cost of a million sessions in the memory store: their memory, the latencies while they are
//! created and while they expire, and operations compared with those on fewer sessions.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin memory_scale
//! ```
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

mod cost;
mod reclaim;
mod watch;

use std::time::Duration;

/// The sessions of 300 bytes.
const SESSIONS: usize = 1_000_000;
const PAYLOAD: usize = 300;
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::main]
async fn main() {
    println!("A million sessions of {PAYLOAD} bytes, and a thread that uses a thousand others:\n");
    println!("{}", watch::HEAD);
    // The control runs first and last; delays in it are not caused by the store.
    reclaim::run("using others while nothing expires", HOUR).await;
    reclaim::run("**using others while all of them expire**", Duration::ZERO).await;
    reclaim::run("using others while nothing expires", HOUR).await;
    println!();
    cost::run().await;
}
