//! Work that goes on without its caller.

use std::future::Future;

use tokio::runtime::Handle;
use tracing::Instrument;

use crate::{Error, Result};

/// Runs `work`, the steps of `operation`, in a task of its own, so that a caller that goes away
/// does not leave only the first of them done. What it logs is in the caller's span.
///
/// Outside of a Tokio runtime there are no tasks: there it runs in the caller's.
///
/// # Errors
/// Those of `work`; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if it panics, or the
/// runtime shuts down.
pub async fn run_to_completion<T: Send + 'static>(
    operation: &'static str,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let Ok(runtime) = Handle::try_current() else {
        return work.await;
    };
    let done = runtime.spawn(work.in_current_span()).await;
    done.map_err(|error| Error::unavailable(operation, error))?
}
