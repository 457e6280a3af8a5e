//! The two traits that a backend implements.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Draft, Ended, Owner, Record, Result, Saved, SessionId, SessionInfo, Stamp, Timeout, Ttl,
};

/// A store of sessions: the six operations that requests need.
///
/// # Contract
/// The conformance suite (`integration-tests`) proves each of these on every backend.
///
/// * **Expiry is exact.** A session is never visible after its deadline, by the store's own
///   clock, whether or not anything has been removed yet. Callers pass durations, never instants.
/// * **Expired is absent.** For every operation, an expired session is one that does not exist.
/// * **Nothing is resurrected.** After `destroy` returns, no save, touch or rename that was under
///   way brings the session back; nor does any bring back an expired one.
/// * **Writes are atomic.** Of a record's data, stamp, owner and limits, readers see all of one
///   write or nothing of it.
/// * **A repeated write is harmless.** A store that finds the draft's own stamp in place answers
///   as if it had just written the draft.
/// * **Bad input costs only itself.** An undecodable record is [`Error::Corrupt`] for its own
///   reader and nobody else.
/// * **A future may be dropped at any point.** The operation then happened or did not; the store
///   stays usable, and no other caller waits for it.
///
/// # Wrappers
/// A store around another store passes every method on, [`directory`](Self::directory) included,
/// or changes it on purpose: no method has a default.
///
/// [`Error::Corrupt`]: crate::Error::Corrupt
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// What this store promises beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// The store's administrative side, if it has one.
    fn directory(&self) -> Option<&dyn SessionDirectory>;

    /// Creates the session `id`, never overwriting one.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if a live session has this id (and
    /// another stamp than the draft's).
    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp>;

    /// The live session `id`.
    async fn load(&self, id: &SessionId) -> Result<Option<Record>>;

    /// Replaces the session `id` by `draft` if its stamp is `expected`.
    ///
    /// The idle limit starts anew. The absolute limit counts from where it did, or from now if the
    /// draft's anchor says so; a draft whose deadline has thereby passed ends the session.
    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved>;

    /// Moves the deadline of `id` to `idle` from now, never past its absolute deadline and never
    /// to an earlier time. Data, stamp, owner and limits stay as they are.
    ///
    /// Gives what is then left, or `None` if there is no live session of that id.
    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>>;

    /// Replaces the session `from` by `draft` under the id `to`, if its stamp is `expected`.
    ///
    /// Atomic: at any time exactly one of the two ids exists. Age and absolute limit carry over
    /// as in [`save`](Self::save). Both ids must have one
    /// [`routing_tag`](SessionId::routing_tag); a store that needs no routing ignores that.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if a live session has the id `to`
    /// (and another stamp than the draft's).
    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved>;

    /// Ends the session `id`. `false` if there was no live one.
    async fn destroy(&self, id: &SessionId) -> Result<bool>;
}

/// What account pages, admin tools and the reaper need of a store.
#[async_trait]
pub trait SessionDirectory: SessionStore {
    /// How many live sessions there are.
    async fn count(&self) -> Result<u64>;

    /// One page of the live sessions, in no promised order: about `limit` of them from `cursor`
    /// on, which is the last page's [`next`](Page::next), or `None` to start.
    ///
    /// A session that lives throughout the walk is listed at least once; one that begins or ends
    /// meanwhile may be. A page may be short or empty though more follow.
    ///
    /// # Errors
    /// [`Error::Misconfigured`](crate::Error::Misconfigured) for a cursor that is not this store's.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// All live sessions of `owner`.
    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>>;

    /// Ends all sessions of `owner` but `except`, and says which.
    ///
    /// Afterwards no session that was `owner`'s when the call began is live. One that becomes
    /// theirs during the call may escape it, so withdraw the right to sign in first.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>>;

    /// Ends all sessions of this store, and none of any other that shares the database.
    async fn clear(&self) -> Result<u64>;

    /// Removes up to `limit` expired sessions and says which, each exactly once, whichever
    /// instance reaps. Fewer than `limit` means that no more were due.
    ///
    /// A store that does not report expiry ([`Capabilities::expiry_reports`]) removes what it
    /// can and reports nothing.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>>;
}

/// What a store promises beyond the contract of [`SessionStore`]. The conformance suite runs the
/// cases of what is declared, and reports those of what is not as not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`reap`](SessionDirectory::reap) reports every expired session once.
    pub expiry_reports: bool,
    /// The most bytes of data that a record can have; `None` where only memory limits it.
    pub max_data: Option<usize>,
    /// Sessions are filed under their tokens themselves, and not under hashes of them: for layouts
    /// that other frameworks define. See [`SessionToken::plain`](crate::SessionToken::plain).
    pub plain_ids: bool,
}

impl Capabilities {
    /// A store that promises nothing beyond the contract.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            expiry_reports: false,
            max_data: None,
            plain_ids: false,
        }
    }

    /// The same, with or without expiry reports.
    #[must_use]
    pub const fn with_expiry_reports(mut self, reports: bool) -> Self {
        self.expiry_reports = reports;
        self
    }

    /// The same, with data limited to so many bytes.
    #[must_use]
    pub const fn with_max_data(mut self, bytes: usize) -> Self {
        self.max_data = Some(bytes);
        self
    }

    /// The same, with sessions filed under their tokens themselves, or not.
    #[must_use]
    pub const fn with_plain_ids(mut self, plain: bool) -> Self {
        self.plain_ids = plain;
        self
    }
}

/// Where a listing goes on. Opaque: it means something to the store that gave it only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor that a store writes as `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The store's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The sessions on it.
    pub sessions: Vec<SessionInfo>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Cursor>,
}

#[async_trait]
impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        (**self).directory()
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        (**self).create(id, draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        (**self).load(id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        (**self).save(id, draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        (**self).touch(id, idle).await
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        (**self).rename(from, to, draft, expected).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        (**self).destroy(id).await
    }
}
