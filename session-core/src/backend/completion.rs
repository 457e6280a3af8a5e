//! Work that goes on without its caller.

use std::future::Future;

use crate::{Error, Result};

/// Runs `work`, the steps of `operation`, in a task of its own, so that a caller that goes away
/// does not leave only the first of them done.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it panics, or the
/// runtime shuts down.
pub async fn run_to_completion<T: Send + 'static>(
    operation: &'static str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Error::unavailable(operation, error))?
}
