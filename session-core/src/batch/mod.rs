//! Natural batching: operations that queue up while others are under way go out together.
//!
//! There is no timer, and nothing waits that could go: as long as few callers are about, each
//! sends its own operation at once. Once there are more, what has queued up while a batch was
//! under way makes the next one. The first caller of a batch sends it in its own task; if that
//! caller goes away half-way, the batch goes on without it.

mod item;
mod lane;
mod queue;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::{Error, Result, within};
pub use item::{Answer, Create, Destroy, Item, Save, Touch};
use lane::{Entered, Shared, Signal};

/// How a store sends many operations of one kind at once.
pub trait Carrier: Send + Sync + 'static {
    /// One operation.
    type Item: Item;
    /// What it gives.
    type Answer: Answer;

    /// The operation's name, for errors.
    const OPERATION: &'static str;
    /// What several callers get who want the same session at the same time.
    const SAME_ID: SameId;

    /// Sends `items`, of which no two are about the same session, and gives as many answers, in
    /// their order. An error is everybody's; one that is permanent makes the batch go again in
    /// halves, until it is only whose fault it is.
    fn carry(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer>>>> + Send;
}

/// What becomes of operations on one session that are in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameId {
    /// It is one operation, and all get its answer: a load.
    Shared,
    /// They are done one after the other, as they came: writes.
    InOrder,
}

/// How much is sent at once.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// How many batches may be under way at once when there are many callers.
    pub lanes: usize,
    /// How many callers are few: so many operations may be under way each by itself.
    pub alone: usize,
    /// The most operations in a batch.
    pub items: usize,
    /// The most bytes in a batch, where it has more than one operation. While they do not suffice for
    /// what waits, as many batches may be under way as operations of few callers.
    pub bytes: usize,
    /// The most operations that wait; more are refused.
    pub waiting: usize,
}

/// Sends operations through a [`Carrier`], in batches. Clones share the queue.
pub struct Batcher<C: Carrier> {
    shared: Arc<Shared<C>>,
}

impl<C: Carrier> Batcher<C> {
    /// A batcher for `carrier`. No caller waits longer than `limit`, and a batch that goes on
    /// without its callers is given up after it.
    pub fn new(carrier: C, limits: BatchLimits, limit: Duration) -> Self {
        Self {
            shared: Arc::new(Shared::new(carrier, limits, limit)),
        }
    }

    /// Has `item` sent, by itself or with others, and waits for its answer.
    ///
    /// A caller that goes away harms no other: an operation that still waited is not sent, and
    /// one that was sent goes on.
    ///
    /// # Errors
    /// The carrier's for this item; [`Error::Timeout`] after the limit; [`Error::Unavailable`] if
    /// too many are waiting already.
    pub async fn call(&self, item: C::Item) -> Result<C::Answer> {
        let limit = self.shared.limit;
        let (mut lane, mut answer) = match Shared::enter(&self.shared, item)? {
            Entered::Alone(lane) => return within(C::OPERATION, limit, lane.send()).await,
            Entered::Queued(lane, answer) => (lane, answer),
        };
        within(C::OPERATION, limit, async {
            loop {
                if let Some(mut lane) = lane.take() {
                    lane.drive().await;
                }
                match answer.await {
                    Ok(Signal::Answer(done)) => return done,
                    Ok(Signal::Lead(own, next)) => {
                        lane = Some(next);
                        answer = own;
                    }
                    Err(_) => return Err(given_up::<C>()),
                }
            }
        })
        .await
    }

    /// How many operations wait, and how many are under way.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        self.shared.load()
    }
}

fn given_up<C: Carrier>() -> Error {
    Error::unavailable(C::OPERATION, "its batch was given up")
}

impl<C: Carrier> Clone for Batcher<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<C: Carrier> fmt::Debug for Batcher<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (waiting, under_way) = self.load();
        f.debug_struct("Batcher")
            .field("operation", &C::OPERATION)
            .field("waiting", &waiting)
            .field("under_way", &under_way)
            .finish_non_exhaustive()
    }
}
