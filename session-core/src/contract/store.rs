//! The two traits that a backend implements.

use std::any::Any;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Draft, Ended, Inspect, InvalidationStream, NoticeStream, Owner, Record, Result, Saved,
    SessionId, SessionInfo, Timeout, Ttl, Version,
};

/// A store of sessions: the five operations that requests need.
///
/// # Contract
/// The conformance suite, the crate `session-conformance`, proves each of these on every backend:
/// one macro makes its cases tests of your own crate.
///
/// * **Expiry is exact.** A session is never visible after its deadline, by the store's own
///   clock, whether or not anything has been removed yet. Callers pass durations, never instants.
/// * **Expired is absent.** For every operation, an expired session is one that does not exist.
/// * **Nothing is resurrected.** After `destroy` returns, no save or touch that was under way
///   brings the session back; nor does any bring back an expired one.
/// * **Ids never move.** A session has one id from its creation to its end, and an id is never
///   used twice. (A layout whose ids are the tokens may answer [`TokenChange::New`] with another.)
/// * **Writes are atomic.** Of a record's data, stamp, credential, description, owner and limits,
///   readers see all of one write or nothing of it.
/// * **A repeated write is harmless.** A store that finds the draft's own stamp in place answers
///   as if it had just written the draft. One that sends a write again by itself answers
///   [`Saved::Unknown`] where it would otherwise answer [`Saved::Conflict`] or [`Saved::Gone`].
/// * **Bad input costs only itself.** An undecodable record is [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for its own
///   reader only.
/// * **A future may be dropped at any point.** The operation then happened or did not; the store
///   stays usable, and no other caller waits for it.
///
/// # Wrappers
/// A store around another store implements [`StoreWrapper`]: it names the store inside and writes
/// what it changes. All else is passed on, and [`directory`](Self::directory) is the wrapper
/// itself.
///
/// ```
/// use session_core::{Record, Result, SessionId, SessionStore, StoreWrapper};
///
/// /// Tells how long loads take.
/// #[derive(Debug)]
/// struct Timed<S>(S);
///
/// impl<S: SessionStore> StoreWrapper for Timed<S> {
///     type Inner = S;
///
///     fn inner(this: &Self) -> &S {
///         &this.0
///     }
///
///     async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
///         let began = std::time::Instant::now();
///         let loaded = this.0.load(id).await;
///         tracing::info!(?id, elapsed = ?began.elapsed(), is_ok = loaded.is_ok(), "loaded");
///         loaded
///     }
/// }
///
/// fn timed_sessions(store: impl SessionStore) -> session_core::Sessions {
///     session_core::Sessions::from(Timed(store))
/// }
/// ```
///
/// [`StoreWrapper`]: crate::StoreWrapper
/// [`TokenChange::New`]: crate::TokenChange::New
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// What this store promises beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// The store's administrative side, if it has one.
    fn directory(&self) -> Option<&dyn SessionDirectory>;

    /// Creates the session `id`, never overwriting one: [`Saved::Conflict`] if a live session has
    /// this id (and another stamp than the draft's). One round trip.
    ///
    /// The session begins now, or continues the draft's [past](Draft::past) if the store
    /// [keeps that](Capabilities::keeps_past).
    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved>;

    /// The live session `id`. One round trip.
    async fn load(&self, id: &SessionId) -> Result<Option<Record>>;

    /// Replaces the session `id` by `draft` if it is still the version `expected`. One round trip.
    ///
    /// The idle limit starts anew. The absolute limit counts from where it did, or from now if the
    /// draft's anchor says so; a draft whose deadline has thereby passed ends the session.
    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved>;

    /// Moves the deadline of `id` to `idle` from now, never past its absolute deadline and never
    /// to an earlier time. Data, stamp, credential, description, owner and limits stay as they are.
    ///
    /// Gives what is then left, or `None` if there is no live session of that id.
    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>>;

    /// Ends the session `id`, whatever its version, or only if it is still `expected`. Says what
    /// was ended; `None` if there was no live session, or another version of it.
    ///
    /// A store that has sent this again, because the first answer did not come, and then finds
    /// nothing answers [`Ended::unknown`] and never `None`.
    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>>;

    /// Tells of sessions as they end, whichever process ends them; `None`, the default, if this
    /// store does not. What [`Session::ended`](crate::Session::ended) waits for.
    ///
    /// The stream connects when it is first polled. Its first item is
    /// [`Notice::Missed`](crate::Notice::Missed), as soon as all later ends will be told. It ends
    /// after an error, and the caller asks for another one, unless the error is
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// Notices may be lost without an error, and an expiry need not be told, so callers also ask
    /// the store from time to time. A notice of an end that did not happen is a mistake.
    fn notices(&self) -> Option<NoticeStream> {
        None
    }

    /// Tells of sessions as they are written or end, whichever process does it, so that copies of
    /// them can be dropped; `None`, the default, if this store does not. What `CachedStore` of the
    /// crate `session-cached` listens to.
    ///
    /// The stream connects when it is first polled. Its first item is
    /// [`Invalidation::All`](crate::Invalidation::All), as soon as all later writes will be told. It
    /// ends with an error when it may have missed one: when its connection breaks, and when the
    /// server has been silent for `silence`. The caller then asks for another stream, unless the
    /// error is [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// It may tell too much, and it may tell late, so copies need a limit in time besides.
    fn invalidations(&self, silence: Duration) -> Option<InvalidationStream> {
        let _ = silence;
        None
    }

    /// The part of this store that looks at its own server; `None`, the default, if it has none.
    /// `sessionctl check` asks it.
    fn inspect(&self) -> Option<&dyn Inspect> {
        None
    }

    /// Drops the copy that this store keeps of the session `id`, if it keeps copies in this
    /// process. What a load that begins later answers was read from the database after this call.
    /// No I/O. The default does nothing.
    ///
    /// The manager calls it wherever a [copy](Record::is_copy) will not do: before it refuses a
    /// token, and before it loads what a write has conflicted with.
    fn drop_copy(&self, id: &SessionId) {
        let _ = id;
    }
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
    /// [`ErrorKind::Misconfigured`](crate::ErrorKind::Misconfigured) for a cursor that is not this
    /// store's.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// One page of the live sessions of `owner`, as [`list`](Self::list) gives those of all.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// Ends about `limit` sessions of `owner`, none of them `except`, and says which. Answers with
    /// none only when no live session of `owner` but `except` was left: call it until then, and
    /// no session that was `owner`'s at the first call is live.
    ///
    /// After an error, some may have ended. An error that leaves it open which
    /// ([`Error::is_doubtful`](crate::Error::is_doubtful)) is never hidden behind the sessions that
    /// are known to have ended: who has [listed](Self::owned_by) them before can find out.
    ///
    /// An owner's index, where a store keeps one, may name too many sessions and never too few:
    /// an entry goes when its session has ended, not because the session has another owner.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>>;

    /// Ends all sessions of this store, and none of any other that shares the database.
    async fn clear(&self) -> Result<u64>;

    /// Takes up to `limit` expired sessions and says which, whichever instance reaps. Fewer than
    /// `limit` means that no more were due, or that it took long.
    ///
    /// Each is given once while processes live and answers arrive, and at least once otherwise: a
    /// store whose reports survive the death of a process claims a session for its caller for a
    /// minute, and removes it when [`confirm_reaped`](Self::confirm_reaped) says that it was
    /// reported. So a caller of this method **must confirm** what it was given, within the minute.
    /// Otherwise it is given the same sessions again, and they stay in the store.
    /// [`Sessions::reap`](crate::Sessions::reap) does so. A claimed session is expired: no operation
    /// finds or revives it.
    ///
    /// A store that does not report expiry ([`Capabilities::expiry_reports`]) removes what it
    /// can and reports nothing.
    async fn reap(&self, limit: usize) -> Result<Vec<Ended>>;

    /// Takes note that `reaped`, which this store's [`reap`](Self::reap) has returned, was reported
    /// to whom it concerns. [`Sessions::reap`](crate::Sessions::reap) calls it after its observers.
    ///
    /// A store whose reports survive the death of a process then removes it. What was not confirmed
    /// is reported again, after a minute and perhaps by another instance. It may be confirmed more
    /// than once, and by another instance; a session that was created anew under such an id is left
    /// alone. The default does nothing.
    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        let _ = reaped;
        Ok(())
    }
}

/// `store` as a shared trait object; one that is a shared trait object already stays the same.
pub fn shared(store: impl SessionStore) -> Arc<dyn SessionStore> {
    let any: &dyn Any = &store;
    match any.downcast_ref::<Arc<dyn SessionStore>>() {
        Some(shared) => Arc::clone(shared),
        None => Arc::new(store),
    }
}

/// What a store promises beyond the contract of [`SessionStore`]. The conformance suite runs the
/// cases of what is declared, and reports those of what is not as not run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`reap`](SessionDirectory::reap) reports every expired session once, unless a process dies or
    /// an answer is lost: then at least once.
    pub expiry_reports: bool,
    /// The most bytes of data that a record can have; `None` where only memory limits it.
    pub max_data: Option<usize>,
    /// Records keep a [`Description`](crate::Description). Without it, describing a session is
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub descriptions: bool,
    /// Ids are the tokens themselves, and records have no credential: for layouts that other
    /// frameworks define. It decides which tokens are made for new sessions and how presented ones
    /// are named, never whether a token is verified.
    /// See [`SessionToken::plain`](crate::SessionToken::plain).
    pub plain_ids: bool,
    /// Records of expired sessions stay in the store until [`reap`](SessionDirectory::reap) removes
    /// them: it grows without a [`Reaper`](crate::Reaper), or a job that calls
    /// [`Sessions::reap`](crate::Sessions::reap).
    pub needs_reaper: bool,
    /// [`create`](SessionStore::create) continues the life that a session had in another store:
    /// [`Draft::past`](crate::Draft::past). Without it, a copied session would live too long.
    pub keeps_past: bool,
}

impl Capabilities {
    /// A store that promises nothing beyond the contract.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            expiry_reports: false,
            max_data: None,
            descriptions: false,
            plain_ids: false,
            needs_reaper: false,
            keeps_past: false,
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

    /// The same, with or without room for descriptions.
    #[must_use]
    pub const fn with_descriptions(mut self, descriptions: bool) -> Self {
        self.descriptions = descriptions;
        self
    }

    /// The same, with ids that are the tokens themselves, or not.
    #[must_use]
    pub const fn with_plain_ids(mut self, plain: bool) -> Self {
        self.plain_ids = plain;
        self
    }

    /// The same, with records that stay until they are reaped, or not.
    #[must_use]
    pub const fn with_needs_reaper(mut self, needs: bool) -> Self {
        self.needs_reaper = needs;
        self
    }

    /// The same, with creates that continue the past of a session, or not.
    #[must_use]
    pub const fn with_keeps_past(mut self, keeps: bool) -> Self {
        self.keeps_past = keeps;
        self
    }
}

/// Where a listing goes on. Opaque: it means something to the store that gave it only.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(String);

/// Shows the size: where ids are the tokens, a cursor may be one.
impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

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
#[non_exhaustive]
pub struct Page {
    /// The sessions on it.
    pub sessions: Vec<SessionInfo>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Cursor>,
}

impl Page {
    /// A page of `sessions`, before the page that starts at `next` if there is one.
    #[must_use]
    pub const fn new(sessions: Vec<SessionInfo>, next: Option<Cursor>) -> Self {
        Self { sessions, next }
    }
}
