//! A limit on how long a caller waits for a store.

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
