//! Batching: operations that queue while others are in flight are sent as one batch.
//!
//! There is no timer and no added latency when idle. Up to a number of callers, each operation is
//! sent by itself, at once. Beyond that, what has queued while a batch was in flight makes the next
//! one. The first caller of a batch, its leader, drives it in its own task; if that caller goes
//! away, the batch goes on in a task of its own.

mod in_flight;
#[cfg(all(test, loom))]
mod loom_tests;
mod operation;
mod queue;
mod round;
mod runtime;
#[cfg(all(test, not(loom)))]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::Span;

use crate::{Error, Result};
use in_flight::{Admitted, Message, Shared};
pub use operation::{Create, Destroy, Save, Touch};
pub(super) use operation::{Item, Size};

/// How many operations of one kind are sent at once.
pub(super) trait BatchOperation: Send + Sync + 'static {
    /// One operation.
    type Item: Item;
    /// Its answer.
    type Answer: Size + Clone + Send + Sync + 'static;

    /// The operation's name, for errors.
    const NAME: &'static str;
    /// What becomes of several operations on one session.
    const DUPLICATES: Duplicates;

    /// The span of a batch of `size` operations, for callers with spans of their own.
    fn span(&self, size: usize, callers: &[Span]) -> Span {
        let _ = (size, callers);
        Span::none()
    }

    /// So many more operations are queued, or so many fewer.
    fn queued(&self, change: isize) {
        let _ = change;
    }

    /// Sends `items`, of which no two are about the same session, and answers each, in their order.
    ///
    /// # Errors
    /// An error fails the whole batch. After a permanent one the batch is sent again in halves,
    /// until only the item that causes it fails.
    fn execute(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// What becomes of operations of one batch that are about the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// They are one operation, and all get its answer: loads.
    Coalesce,
    /// They are executed one after the other, in the order they came: writes.
    Sequence,
}

/// When operations of one kind are batched, and how large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchLimits {
    /// Up to this many operations are sent individually; beyond that, they are batched.
    pub unbatched: usize,
    /// The most batches in flight.
    pub in_flight: usize,
    /// The most operations in a batch.
    pub items: usize,
    /// The most bytes of session data in a batch of more than one operation. While this limit
    /// leaves operations queued, up to `unbatched` batches may be in flight instead of `in_flight`.
    pub bytes: usize,
    /// The most operations that may be queued; others are refused.
    pub queued: usize,
    /// The most bytes of session data in the operations that may be queued; others are refused.
    pub queued_bytes: usize,
}

impl BatchLimits {
    /// Up to `unbatched` operations individually, then up to `in_flight` batches of up to 128
    /// operations and 256 KiB, and up to 10,000 operations and 64 MiB queued.
    #[must_use]
    pub const fn new(unbatched: usize, in_flight: usize) -> Self {
        Self {
            unbatched,
            in_flight,
            items: 128,
            bytes: 256 * 1024,
            queued: 10_000,
            queued_bytes: 64 * 1024 * 1024,
        }
    }

    /// The same, with up to so many operations in a batch.
    #[must_use]
    pub const fn with_items(mut self, items: usize) -> Self {
        self.items = items;
        self
    }

    /// The same, with up to so many bytes of session data in a batch.
    #[must_use]
    pub const fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// The same, with up to so many operations queued.
    #[must_use]
    pub const fn with_queued(mut self, queued: usize) -> Self {
        self.queued = queued;
        self
    }

    /// The same, with up to so many bytes of session data queued.
    #[must_use]
    pub const fn with_queued_bytes(mut self, bytes: usize) -> Self {
        self.queued_bytes = bytes;
        self
    }
}

/// Sends operations of one kind, in batches where there are many. Clones share the queue.
pub(super) struct Batcher<O: BatchOperation> {
    shared: Arc<Shared<O>>,
}

impl<O: BatchOperation> Batcher<O> {
    /// A batcher for `operation`. A batch that goes on without its callers is given up after
    /// `timeout`; the callers keep their own time. `place` names the database in errors.
    pub(super) fn new(
        operation: O,
        limits: BatchLimits,
        timeout: Duration,
        place: Arc<str>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(operation, limits, timeout, place)),
        }
    }

    /// Has `item` sent, by itself or in a batch, and waits for its answer.
    ///
    /// A caller that goes away harms no other: an operation that is still queued is not sent, and
    /// one that was sent goes on.
    ///
    /// # Errors
    /// The operation's for this item; [`Unavailable`](crate::ErrorKind::Unavailable) if too many
    /// are queued.
    pub(super) async fn call(&self, item: O::Item) -> Result<O::Answer> {
        let (mut batch, mut answer) = match Shared::admit(&self.shared, item)? {
            Admitted::AtOnce(batch) => return batch.send().await,
            Admitted::Queued(batch, answer) => (batch, answer),
        };
        loop {
            if let Some(mut batch) = batch.take() {
                batch.drive().await;
            }
            match answer.await {
                Ok(Message::Answer(done)) => return done,
                Ok(Message::Lead(own, next)) => {
                    batch = Some(next);
                    answer = own;
                }
                Err(_) => return Err(self.shared.given_up()),
            }
        }
    }

    /// Has all that is queued fail with `error`; how many that were.
    pub(super) fn fail_queued(&self, error: &Error) -> usize {
        self.shared.fail_queued(error)
    }

    /// How many operations are queued, and how many are in flight.
    pub(super) fn load(&self) -> (usize, usize) {
        self.shared.load()
    }
}

impl<O: BatchOperation> Clone for Batcher<O> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}
