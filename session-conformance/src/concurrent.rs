//! Many callers at the same time.

use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::Barrier;

/// How many of [`together`]'s calls wait for the store at the same time.
const AT_ONCE: usize = 16;

/// Runs `task` so many times, each told its number, a few at a time, and gives what they gave, in
/// order. One task polls them, so they may borrow; see [`in_parallel`] for real races.
pub(super) async fn together<T, R>(count: usize, task: impl Fn(usize) -> R) -> Vec<T>
where
    R: Future<Output = T>,
{
    let running = stream::iter(0..count).map(task);
    running.buffered(AT_ONCE).collect().await
}

/// Runs so many tasks on the runtime's threads, begun together, and gives what they gave, in
/// order.
///
/// # Panics
/// With the first of their panics; the others are aborted then.
pub(super) async fn in_parallel<T, F, R>(count: usize, task: F) -> Vec<T>
where
    F: Fn(usize) -> R + Send + Sync + 'static,
    R: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut running = tokio::task::JoinSet::new();
    for n in 0..count {
        let (barrier, work) = (Arc::clone(&barrier), task(n));
        running.spawn(async move {
            barrier.wait().await;
            (n, work.await)
        });
    }
    let mut done = Vec::with_capacity(count);
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => done.push(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}
