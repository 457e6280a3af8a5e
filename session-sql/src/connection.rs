//! A connection of the pool, and how it is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};
use std::time::Instant;

use sqlx::Connection;
use tokio::runtime::{self, Handle};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use crate::dialect::ConnectionOf;
use crate::{Destination, Dialect};

/// A connection of the pool. Dropping one to a file closes it and counts it until it is closed.
pub(crate) struct OwnedConnection<D: Dialect> {
    /// `None` as soon as it is being closed.
    pub(crate) connection: Option<ConnectionOf<D>>,
    pub(crate) created: Instant,
    pub(crate) destination: Option<Destination>,
    pub(crate) generation: u64,
    /// The connection can't be used after this runtime has ended.
    pub(crate) runtime: Runtime,
    pub(crate) count: Option<CountGuard>,
    pub(crate) closing: Arc<Mutex<()>>,
}

pub(crate) struct CountGuard(Arc<AtomicUsize>);

/// A handle that tells whether a tokio runtime has ended.
pub(crate) struct Runtime {
    pub(crate) id: runtime::Id,
    /// A task that waits for ever, so it ends with its runtime.
    ends: AbortHandle,
}

impl<D: Dialect> OwnedConnection<D> {
    /// Tells the server, which logs connections that are closed otherwise. Polls only once, so that
    /// nothing waits for the socket.
    pub(crate) fn close(mut self) {
        self.begin_to_close();
    }

    /// A file is closed by a thread of the driver's: the connection is counted until it has. One
    /// after the other, because SQLite copies the log to the file, and deletes it, only if the
    /// connection that it closes is alone, and of two at once neither is.
    fn begin_to_close(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if let (Some(_), Ok(runtime)) = (self.destination, Handle::try_current()) {
            let (count, closing) = (self.count.take(), Arc::clone(&self.closing));
            runtime.spawn(async move {
                let _turn = closing.lock().await;
                let _ = connection.close().await;
                drop(count);
            });
            return;
        }
        let mut closing = Box::pin(connection.close());
        let _ = (closing.as_mut()).poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl<D: Dialect> Drop for OwnedConnection<D> {
    fn drop(&mut self) {
        if self.destination.is_some() {
            self.begin_to_close();
        }
    }
}

impl CountGuard {
    pub(crate) fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Runtime {
    pub(crate) fn current() -> Self {
        let task = tokio::spawn(std::future::pending::<()>());
        Self {
            id: Handle::current().id(),
            ends: task.abort_handle(),
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ends.is_finished()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.ends.abort();
    }
}
