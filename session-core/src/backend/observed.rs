//! A store whose operations have spans, counters and metrics.

use super::{Counts, Meter, Operation};
use crate::contract::wrapper::inner_directory;
use crate::{
    Cursor, Draft, Ended, Owner, Page, Record, Result, Saved, SessionId, SessionStore,
    StoreWrapper, Timeout, Ttl, Version,
};

/// Gives each operation of any store the span, counters and metrics that a
/// [`Store`](super::Store) gives its own: for a store that implements [`SessionStore`] itself, or
/// around a wrapper, to see what that answers.
///
/// The stores of this library have them already; around one of those, an operation would be counted
/// twice, under two names. Versions, limits, listings and round trips are the inner store's.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use session_core::backend::{ObservedStore, Operation};
/// use session_core::Sessions;
/// # use session_memory::MemoryStore as YourStore;
///
/// let store = ObservedStore::new(YourStore::new(), "dynamodb", "DynamoDB at eu-west-1");
/// let sessions = Sessions::new(store.clone());
/// let session = sessions.start();
/// session.insert("n", 1)?;
/// session.save().await?;
/// assert_eq!(store.counts().of(Operation::Create).calls, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ObservedStore<S> {
    inner: S,
    meter: Meter,
}

impl<S: SessionStore> ObservedStore<S> {
    /// Observes `store` of the product `name`, which spans and metrics have as `db.system.name`, at
    /// `place`: the product and its address, as [`Meter::at`] takes it. Nothing secret.
    #[must_use]
    pub fn new(store: S, name: &'static str, place: &str) -> Self {
        let meter = Meter::at(name, place);
        Self {
            inner: store,
            meter,
        }
    }

    /// What the store has done so far, in numbers. Clones count together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.meter.counts()
    }
}

impl<S: SessionStore> StoreWrapper for ObservedStore<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.inner
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let work = this.inner.create(id, draft);
        let bytes = draft.data.len();
        this.meter.observe(Operation::Create, bytes, work).await
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let work = this.inner.load(id);
        this.meter.observe(Operation::Load, 0, work).await
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let work = this.inner.save(id, draft, expected);
        let bytes = draft.data.len();
        this.meter.observe(Operation::Save, bytes, work).await
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let work = this.inner.touch(id, idle);
        this.meter.observe(Operation::Touch, 0, work).await
    }

    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let work = this.inner.destroy(id, expected);
        this.meter.observe(Operation::Destroy, 0, work).await
    }

    async fn count(this: &Self) -> Result<u64> {
        let work = inner_directory(this)?.count();
        this.meter.observe(Operation::Count, 0, work).await
    }

    async fn list(this: &Self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let work = inner_directory(this)?.list(cursor, limit);
        this.meter.observe(Operation::List, 0, work).await
    }

    async fn owned_by(
        this: &Self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let work = inner_directory(this)?.owned_by(owner, cursor, limit);
        this.meter.observe(Operation::OwnedBy, 0, work).await
    }

    async fn destroy_owned_by(
        this: &Self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let directory = inner_directory(this)?;
        let work = directory.destroy_owned_by(owner, except, limit);
        let observed = this.meter.observe(Operation::DestroyOwnedBy, 0, work);
        observed.await
    }

    async fn clear(this: &Self) -> Result<u64> {
        let work = inner_directory(this)?.clear();
        this.meter.observe(Operation::Clear, 0, work).await
    }

    async fn reap(this: &Self, limit: usize) -> Result<Vec<Ended>> {
        let work = inner_directory(this)?.reap(limit);
        this.meter.observe(Operation::Reap, 0, work).await
    }

    async fn confirm_reaped(this: &Self, reaped: &[Ended]) -> Result<()> {
        let work = inner_directory(this)?.confirm_reaped(reaped);
        this.meter.observe(Operation::Reap, 0, work).await
    }
}
