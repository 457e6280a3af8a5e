//! How many loads a second `CachedStore` answers from memory.
//!
//! `copies [SESSIONS [BYTES]]`: with one thread and with one for each core, by the store alone and by
//! a manager that verifies the token of each and reads a value. Sessions are taken at random. A
//! second is one of the processor's, so another program on the machine costs little.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use session_cached::CachedStore;
use session_core::{SessionId, SessionStore, SessionToken, Sessions};
use session_memory::MemoryStore;

const RUN: Duration = Duration::from_secs(3);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mut argument = |default| arguments.next().map_or(default, |n| n.expect("a number"));
    let (sessions, bytes) = (argument(100_000), argument(300));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime = runtime.expect("a runtime");
    let memory = Arc::new(MemoryStore::new());
    let builder = CachedStore::builder(memory.clone()).max_bytes(1 << 30);
    let cached = builder.lease(Duration::from_secs(3_600)).build();
    let cached = Arc::new(cached.expect("good limits"));
    let (tokens, ids) = runtime.block_on(fill(&cached, sessions, bytes));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, cores] {
        for (name, store) in [
            ("copies", cached.clone() as Arc<dyn SessionStore>),
            ("MemoryStore", memory.clone() as Arc<dyn SessionStore>),
        ] {
            let loads = measured(threads, &ids, async |id| found(&*store, id).await);
            println!("{name}, {threads} threads: {loads:.2} M loads a second and core");
            let manager = Sessions::new(store.clone());
            let opens = measured(threads, &tokens, async |token| {
                let session = manager.open(Some(token)).await.expect("up");
                assert_eq!(session.get("n").expect("a number"), Some(1));
            });
            println!("{name}, {threads} threads: {opens:.2} M sessions opened a second and core");
        }
    }
}

async fn found(store: &dyn SessionStore, id: &SessionId) {
    let record = store.load(id).await.expect("up");
    std::hint::black_box(record.expect("there"));
}

/// Tokens and ids of sessions of so many bytes, each of which was loaded once.
async fn fill(
    store: &CachedStore<Arc<MemoryStore>>,
    count: usize,
    bytes: usize,
) -> (Vec<SessionToken>, Vec<SessionId>) {
    let manager = Sessions::new(store.clone());
    let text = "x".repeat(bytes.saturating_sub(20));
    let (mut tokens, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let session = manager.start();
        session.insert("n", 1).expect("JSON");
        session.insert("text", &text).expect("JSON");
        session.save().await.expect("up");
        let token = session.token().expect("stored");
        ids.push(token.id());
        found(store, &ids[ids.len() - 1]).await;
        tokens.push(token);
    }
    (tokens, ids)
}

/// How long this thread has run, by Linux.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = stat.split(' ').next().expect("a number");
    Duration::from_nanos(nanoseconds.parse().expect("a number"))
}

/// Millions of operations a second and thread, each on one of `items`.
fn measured<T: Sync>(threads: usize, items: &[T], operation: impl AsyncFn(&T) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let one = |seed: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.expect("a runtime").block_on(async {
            let (mut random, mut count) = (seed as u64 + 1, 0_u64);
            barrier.wait();
            let (began, worked) = (Instant::now(), cpu_time());
            while began.elapsed() < RUN {
                for _ in 0..1_000 {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    operation(&items[(random >> 33) as usize % items.len()]).await;
                }
                count += 1_000;
            }
            count as f64 / (cpu_time() - worked).as_secs_f64()
        })
    };
    let rates: Vec<f64> = std::thread::scope(|scope| {
        let one = &one;
        let started: Vec<_> = (0..threads).map(|n| scope.spawn(move || one(n))).collect();
        let ended = started.into_iter().map(|run| run.join().expect("no panic"));
        ended.collect()
    });
    rates.iter().sum::<f64>() / threads as f64 / 1e6
}
