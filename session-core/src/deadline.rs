//! How long a caller waits for a store, and what goes on without one.

use std::future::Future;
use std::time::Duration;

use crate::{Error, Result};

/// Runs `work`, the part of `operation` that waits for a database, for at most `limit`.
///
/// # Errors
/// [`Error::Timeout`] if it takes longer; `work` is dropped then.
pub async fn within<T>(
    operation: &'static str,
    limit: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::deadline(operation, limit)),
    }
}

/// Runs `work`, the steps of `operation`, in a task of its own, so that nobody who goes away leaves
/// only the first of them done.
///
/// # Errors
/// Those of `work`; [`Error::Unavailable`] if it panics, or the runtime shuts down.
pub async fn to_the_end<T: Send + 'static>(
    operation: &'static str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Error::unavailable(operation, error))?
}
