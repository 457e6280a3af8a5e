//! Moving sessions from an Express layout to a native store without logging users out.

use std::sync::Arc;
use std::time::Duration;

use session_core::{
    Anchor, Capabilities, Credential, Draft, Ended, Error, ErrorKind, Lifetime, Record, Result,
    Saved, SessionId, SessionStore, SessionToken, Stamp, StoreWrapper, Timeout, Ttl, Version,
    shared,
};

use crate::options::Express;
use crate::store::ExpressLayout;
use crate::tombstone::{is_tombstone, tombstone};

/// How often a destroy tries to write its tombstone while other requests write the session.
const ATTEMPTS: u32 = 32;
/// After this many attempts it removes the session before each further one.
const ATTEMPTS_BEFORE_REMOVAL: u32 = 16;

/// A store that moves sessions from an Express layout to a native store, each with its first write.
///
/// Use it after the last Express app has stopped, until the longest-lived of its sessions has
/// ended. From then on the native store alone has all sessions. The cookie keeps its name and
/// signature; a session that moves gets a native token in it.
///
/// # Ids
/// Ids are native. A session id of Express arrives as
/// [`SessionToken::foreign`](session_core::SessionToken::foreign), whose
/// [`id`](session_core::SessionToken::id) is a hash that keeps the text
/// ([`SessionId::presented`]): the native store has the session under the hash, the Express layout
/// under the text. Ids of other tokens are looked up in the native store only, and new sessions are
/// created there.
///
/// # When a session moves
/// A load reads the native store and, if the session is not there, the Express layout: 2 round
/// trips, 3 if neither has it. The first save creates the session in the native store and then
/// removes Express' record: 4 round trips. Between the two steps both stores have the session, and
/// the native one takes precedence. So a reader always finds it, and if several requests move it at
/// once, one succeeds and the others get [`Saved::Conflict`]. If the process dies between the
/// steps, Express' record remains until it expires, or until a request that presents Express' id
/// saves or destroys the session.
///
/// A session that has not moved is loaded with a new credential that the presented id opens. The
/// manager then issues a native token with the first write. A native store counts a session's age
/// from its creation there, so a session that has not moved has the age zero, and its absolute
/// limit is the time that it has left.
///
/// # Destroyed sessions
/// A destroy replaces the session in the native store with a tombstone, in one step. Requests that
/// have read Express' record can't move it after that. The tombstone lives as long as such a record
/// can, at least 10 minutes; a native store that is used directly counts and lists it until then. A
/// destroy takes 3 round trips, more if other requests write the session at the same time.
///
/// # Listings
/// `directory()` is `None`: neither store alone has all sessions, and "log out everywhere" must not
/// miss any. To reap expired sessions, reap the native store directly.
#[derive(Debug)]
pub struct MovingStore<S> {
    native: Arc<dyn SessionStore>,
    express: S,
}

/// What the native store has of a session.
enum NativeState {
    Absent,
    Live(Box<Record>),
    /// A tombstone.
    Destroyed,
}

/// A destroy in progress.
struct PendingDestroy<'d> {
    id: &'d SessionId,
    /// The id in the Express layout, if the session may be there.
    sid: Option<&'d SessionId>,
    expected: Option<&'d Version>,
    /// The stamp of the tombstone.
    stamp: Stamp,
    /// The session that the tombstone of the last attempt replaces, if it was written.
    replaced: Option<Ended>,
    /// The session that was removed before.
    removed: Option<Ended>,
}

/// The outcome of an attempt to write a tombstone.
enum Attempt {
    /// The tombstone is written and has ended this session.
    Done(Option<Ended>),
    /// The session is not the expected version.
    OtherVersion,
    /// Another write was faster.
    Retry,
}

impl<S: ExpressLayout> MovingStore<S> {
    /// Creates a store that moves sessions from `express` to `native`.
    pub fn new(native: impl SessionStore, express: S) -> Self {
        Self {
            native: shared(native),
            express,
        }
    }

    /// Loads what the native store has of the session.
    async fn native_state(&self, id: &SessionId) -> Result<NativeState> {
        Ok(match self.native.load(id).await? {
            None => NativeState::Absent,
            Some(record) if is_tombstone(&record) => NativeState::Destroyed,
            Some(record) => NativeState::Live(Box::new(record)),
        })
    }

    /// The outcome of a native write: `Gone` if a tombstone prevented it.
    async fn gone_if_destroyed(&self, id: &SessionId, saved: Saved) -> Result<Saved> {
        let may_be_destroyed = matches!(saved, Saved::Conflict | Saved::Unknown);
        Ok(match may_be_destroyed {
            true if matches!(self.native_state(id).await?, NativeState::Destroyed) => Saved::Gone,
            _ => saved,
        })
    }

    /// Saves a session that the native store does not have, which moves it there.
    async fn save_and_move(
        &self,
        (id, sid): (&SessionId, &SessionId),
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let record = match self.express.load(sid).await? {
            Some(record) if record.version.stamp() == expected.stamp() => record,
            Some(_) => return Ok(Saved::Conflict),
            // Another request may have moved it between the two reads.
            None => {
                return Ok(match self.native_state(id).await? {
                    NativeState::Live(_) => Saved::Conflict,
                    NativeState::Absent | NativeState::Destroyed => Saved::Gone,
                });
            }
        };
        let created = self.native.create(id, &moved(draft, &record)).await?;
        if created.is_done() {
            self.express.destroy(sid, None).await?;
        }
        self.gone_if_destroyed(id, created).await
    }

    /// Removes the Express record that an interrupted move may have left. The save is done, so its
    /// caller gets no error: the next save tries again, and the record expires.
    async fn remove_leftover(&self, id: &SessionId, sid: &SessionId) {
        if let Err(error) = self.express.destroy(sid, None).await {
            tracing::warn!(?id, %error, "cannot remove the Express record of a moved session");
        }
    }

    /// Tries once to write the tombstone.
    async fn write_tombstone(&self, pending: &mut PendingDestroy<'_>) -> Result<Attempt> {
        let PendingDestroy { id, stamp, .. } = *pending;
        let record = match self.native.load(id).await {
            // A corrupt record has no version to compare, so it is removed first.
            Err(error) if error.kind() == ErrorKind::Corrupt && pending.expected.is_none() => {
                pending.removed = self.native.destroy(id, None).await?;
                return Ok(Attempt::Retry);
            }
            loaded => loaded?,
        };
        let Some(record) = record else {
            return self.create_tombstone(pending).await;
        };
        if is_tombstone(&record) {
            return Ok(match pending.expected {
                _ if record.version.stamp() == stamp => Attempt::Done(pending.replaced.take()),
                None => Attempt::Done(None),
                Some(_) => Attempt::OtherVersion,
            });
        }
        if !pending.is_expected(&record) {
            return Ok(Attempt::OtherVersion);
        }
        pending.replaced = Some(ended(id, &record));
        let tombstone = tombstone(stamp, self.express.lifetime(), Some(&record));
        let saved = self.native.save(id, &tombstone, &record.version).await?;
        Ok(pending.outcome(&saved))
    }

    /// Tries once to create the tombstone of a session that the native store does not have.
    async fn create_tombstone(&self, pending: &mut PendingDestroy<'_>) -> Result<Attempt> {
        pending.replaced = None;
        if pending.expected.is_some() {
            let record = match pending.sid {
                Some(sid) => self.express.load(sid).await?,
                None => None,
            };
            match record.filter(|record| pending.is_expected(record)) {
                Some(record) => pending.replaced = Some(ended(pending.id, &record)),
                None => return Ok(Attempt::OtherVersion),
            }
        }
        let tombstone = tombstone(pending.stamp, self.express.lifetime(), None);
        let created = self.native.create(pending.id, &tombstone).await?;
        Ok(pending.outcome(&created))
    }

    /// Removes the session, so that writers that are faster than every attempt find nothing to
    /// write. A request that is moving it may create it again, but only once.
    async fn remove(&self, pending: &mut PendingDestroy<'_>) -> Result<()> {
        let unmoved = self.remove_unmoved(pending).await?;
        let removed = self.native.destroy(pending.id, None).await?;
        pending.removed = removed.or(unmoved).or(pending.removed.take());
        Ok(())
    }

    async fn remove_unmoved(&self, pending: &PendingDestroy<'_>) -> Result<Option<Ended>> {
        let Some(sid) = pending.sid else {
            return Ok(None);
        };
        let removed = self.express.destroy(sid, None).await?;
        let id = pending.id.clone();
        Ok(removed.map(|ended| Ended::new(id, ended.owner, ended.age)))
    }
}

impl PendingDestroy<'_> {
    fn is_expected(&self, record: &Record) -> bool {
        let expected = self.expected.map(Version::stamp);
        expected.is_none_or(|expected| expected == record.version.stamp())
    }

    /// The outcome of the attempt whose write of the tombstone ended as `written`.
    fn outcome(&mut self, written: &Saved) -> Attempt {
        match written.is_done() {
            true => Attempt::Done(self.replaced.take()),
            false => Attempt::Retry,
        }
    }
}

fn ended(id: &SessionId, record: &Record) -> Ended {
    Ended::new(id.clone(), record.owner.clone(), Some(record.age))
}

/// The id of a session in the Express layout, if the client has presented it.
fn express_id(id: &SessionId) -> Option<SessionId> {
    SessionId::plain(id.presented()?).ok()
}

/// The time left of a limit that counts from a session's beginning.
fn left(limit: Timeout, age: Duration) -> Timeout {
    match limit {
        Timeout::After(limit) => Timeout::After(limit.saturating_sub(age)),
        Timeout::Never => Timeout::Never,
    }
}

/// The record to return for a session that has not moved and that the client has presented as
/// `sid`.
fn unmoved(sid: &SessionId, mut record: Record) -> Record {
    let token = SessionToken::foreign(sid.as_str());
    record.credential = token.map(|token| Credential::opened_by(&token, None));
    let absolute = left(record.lifetime.absolute, record.age);
    record.lifetime = Lifetime::new(record.lifetime.idle.min(absolute), absolute);
    record.age = Duration::ZERO;
    record
}

/// The draft to create in place of `record` of the Express layout, with the same absolute deadline.
fn moved(draft: &Draft, record: &Record) -> Draft {
    let mut draft = draft.clone();
    let (limit, absolute) = (record.lifetime.absolute, draft.lifetime.absolute);
    if draft.anchor == Anchor::Keep && limit != Timeout::Never {
        let absolute = match absolute <= limit {
            // The draft's limit is the time that was left at the read; less is left by now.
            true => absolute.min(left(limit, record.age)),
            false => left(absolute, record.age),
        };
        draft.lifetime = Lifetime::new(draft.lifetime.idle.min(absolute), absolute);
    }
    draft
}

impl<S: ExpressLayout> ExpressLayout for MovingStore<S> {
    fn express(&self) -> &Express {
        self.express.express()
    }

    fn lifetime(&self) -> Lifetime {
        self.express.lifetime()
    }
}

impl<S: ExpressLayout> StoreWrapper for MovingStore<S> {
    type Inner = dyn SessionStore;

    fn inner(this: &Self) -> &Self::Inner {
        &*this.native
    }

    fn capabilities(this: &Self) -> Capabilities {
        this.native.capabilities().with_expiry_reports(false)
    }

    fn has_directory(_: &Self) -> bool {
        false
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        match (this.native_state(id).await?, express_id(id)) {
            (NativeState::Live(record), _) => return Ok(Some(*record)),
            (NativeState::Destroyed, _) | (NativeState::Absent, None) => return Ok(None),
            (NativeState::Absent, Some(sid)) => {
                if let Some(record) = this.express.load(&sid).await? {
                    return Ok(Some(unmoved(&sid, record)));
                }
            }
        }
        // The session may have moved between the two reads.
        Ok(match this.native_state(id).await? {
            NativeState::Live(record) => Some(*record),
            NativeState::Absent | NativeState::Destroyed => None,
        })
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let Some(sid) = express_id(id) else {
            let saved = this.native.save(id, draft, expected).await?;
            return this.gone_if_destroyed(id, saved).await;
        };
        // The stored value is Express', so it is removed from the version for the native store.
        let bare = Version::new(expected.stamp());
        match this.native.save(id, draft, &bare).await? {
            Saved::Gone => this.save_and_move((id, &sid), draft, expected).await,
            saved => {
                if saved.is_done() {
                    this.remove_leftover(id, &sid).await;
                }
                this.gone_if_destroyed(id, saved).await
            }
        }
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        match (this.native_state(id).await?, express_id(id)) {
            (NativeState::Live(_), _) => return this.native.touch(id, idle).await,
            (NativeState::Destroyed, _) | (NativeState::Absent, None) => return Ok(None),
            (NativeState::Absent, Some(sid)) => {
                let left = this.express.touch(&sid, idle).await?;
                if left.is_some() {
                    return Ok(left);
                }
            }
        }
        // The session may have moved between the two reads.
        match this.native_state(id).await? {
            NativeState::Live(_) => this.native.touch(id, idle).await,
            NativeState::Absent | NativeState::Destroyed => Ok(None),
        }
    }

    /// Owner and age are those of the native record, or those that the Express layout returns.
    ///
    /// # Errors
    /// Those of the stores; [`ErrorKind::Contention`] if other requests were faster at each of 32
    /// attempts.
    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let sid = express_id(id);
        let mut pending = PendingDestroy {
            id,
            sid: sid.as_ref(),
            expected,
            stamp: Stamp::generate(),
            replaced: None,
            removed: None,
        };
        for attempt in 0..ATTEMPTS {
            if attempt >= ATTEMPTS_BEFORE_REMOVAL && expected.is_none() {
                this.remove(&mut pending).await?;
            }
            match this.write_tombstone(&mut pending).await? {
                Attempt::Retry => {}
                Attempt::OtherVersion => return Ok(None),
                Attempt::Done(ended) => {
                    let unmoved = this.remove_unmoved(&pending).await?;
                    return Ok(ended.or(pending.removed).or(unmoved));
                }
            }
        }
        Err(Error::contention(ATTEMPTS))
    }
}

#[cfg(test)]
mod tests {
    use session_core::Bytes;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn record(lifetime: Lifetime, age: Duration) -> Record {
        Record::new(
            Bytes::from_static(b"{}"),
            Version::new(Stamp::generate()),
            lifetime,
            Ttl::Never,
            age,
        )
    }

    #[test]
    fn only_ids_of_foreign_tokens_are_looked_up_in_the_express_layout() {
        let foreign = SessionToken::foreign("sid").expect("any text").id();
        let sid = express_id(&foreign).expect("presented");
        assert_eq!(sid.as_str(), "sid");
        assert!(sid.is_secret());
        assert_eq!(express_id(&SessionToken::generate().id()), None);
        let again = SessionId::from_stored(foreign.as_str()).expect("valid");
        assert_eq!(express_id(&again), None);
    }

    #[test]
    fn a_move_keeps_the_absolute_deadline() {
        let there = record(Lifetime::new(HOUR, 12 * HOUR), 10 * HOUR);
        let sid = SessionId::plain("sid").expect("any text");
        let read = unmoved(&sid, there.clone());
        assert!(read.credential.is_some());
        assert_eq!(read.lifetime, Lifetime::new(HOUR, 2 * HOUR));
        assert_eq!(read.age, Duration::ZERO);
        // The save comes an hour and a half later.
        let there = record(there.lifetime, 11 * HOUR + HOUR / 2);
        let lifetime = |absolute, anchor| {
            let draft = Draft::new("{}", Lifetime::new(HOUR, absolute)).with_anchor(anchor);
            moved(&draft, &there).lifetime
        };
        let last = Lifetime::fixed(HOUR / 2);
        assert_eq!(lifetime(2 * HOUR, Anchor::Keep), last);
        assert_eq!(lifetime(12 * HOUR, Anchor::Keep), last);
        let longer = Lifetime::new(HOUR, 12 * HOUR + HOUR / 2);
        assert_eq!(lifetime(24 * HOUR, Anchor::Keep), longer);
        let anew = Lifetime::new(HOUR, 12 * HOUR);
        assert_eq!(lifetime(12 * HOUR, Anchor::Restart), anew);

        let endless = record(Lifetime::idle(HOUR), HOUR);
        let read = unmoved(&sid, endless.clone());
        assert_eq!(read.lifetime, endless.lifetime);
        let draft = Draft::new("{}", Lifetime::new(HOUR, 2 * HOUR));
        assert_eq!(moved(&draft, &endless).lifetime, draft.lifetime);
    }
}
