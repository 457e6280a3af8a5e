//! Concurrent callers.

use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::sync::Barrier;

/// How many calls of [`together`] are in flight.
const MAX_IN_FLIGHT: usize = 16;

/// Runs `task` with the numbers below `count`, a few at a time, and returns the results in order.
/// All run in the caller's task, so they may borrow; use [`in_parallel`] for real races.
pub(super) async fn together<T, R>(count: usize, task: impl Fn(usize) -> R) -> Vec<T>
where
    R: Future<Output = T>,
{
    let running = stream::iter(0..count).map(task);
    running.buffered(MAX_IN_FLIGHT).collect().await
}

/// Runs `count` tasks on the runtime's threads, starting them at the same time, and returns the
/// results in order.
///
/// # Panics
/// If a task panics; the others are then aborted.
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
