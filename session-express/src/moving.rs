//! From an Express layout to a native store, without logging anybody out.

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

/// How often a destroy tries to replace the session while others write it.
const ATTEMPTS: u32 = 32;
/// After how many of these it removes the session first.
const PATIENCE: u32 = 16;

/// Sessions that move from an Express layout to a native store, each with its first write.
///
/// For the time after the last Express app has stopped and before the longest of its sessions has
/// ended; then the native store alone has them all. The cookie keeps its name and signature, and a
/// session that moves gets a token of this library's in it.
///
/// # Ids
/// Ids are native ones. A session id of Express' comes as
/// [`SessionToken::foreign`](session_core::SessionToken::foreign), whose
/// [`id`](session_core::SessionToken::id) is a hash and remembers the text
/// ([`SessionId::presented`]): the session is filed natively under that hash, and in the Express
/// layout under that text. An id that was not made from a foreign token is looked for in the native
/// store only, and new sessions are created there.
///
/// # What moves when
/// A load reads the native store, and the Express layout if the session is not there: 2 round
/// trips, 3 if there is none. The first save creates the session natively and then removes Express'
/// record: 4 round trips. In between it is in both, and the native one counts. So it is always in
/// one of them, and of several requests that move it at once one succeeds, while the others find a
/// [`Saved::Conflict`]. If the process dies in between, Express' record stays until its own time is
/// over, or until the session is saved or destroyed by a request that still presents Express' id.
///
/// A session of the Express layout is loaded with a credential that the presented id opens, made at
/// that moment. The manager then gives the client a token of this library's with the first write.
/// A native store counts from a session's creation, so an unmoved session has the age zero, and its
/// absolute limit is what is left of that.
///
/// # Destroyed sessions
/// A destroy replaces the session in the native store by a tombstone, in one step: a request that
/// has read Express' record can't move that any more. The tombstone stands as long as such a record
/// can live, at least 10 minutes; a native store that is used alone counts and lists it until then.
/// 3 round trips, more if other requests write the session at the same moment.
///
/// # Listings
/// `directory()` is `None`: neither store alone has all sessions, and "log out everywhere" must not
/// miss any. A native store that is to be reaped can be reaped by itself.
#[derive(Debug)]
pub struct MovingStore<S> {
    native: Arc<dyn SessionStore>,
    express: S,
}

/// Where the native store has a session.
enum Place {
    Nowhere,
    Native(Record),
    /// It was destroyed.
    Ended,
}

/// A destroy under way.
struct Burial<'b> {
    id: &'b SessionId,
    /// The id in the Express layout, if the session may be there.
    sid: Option<&'b SessionId>,
    expected: Option<&'b Version>,
    /// The write that leaves the tombstone.
    by: Stamp,
    /// What the tombstone replaces, if it was written.
    replaced: Option<Ended>,
    /// What was removed before.
    removed: Option<Ended>,
}

/// How an attempt to leave a tombstone ended.
enum Buried {
    /// It stands, and this has ended by it.
    Yes(Option<Ended>),
    /// The session is not the expected version.
    No,
    /// Another write was faster.
    NotYet,
}

impl<S: ExpressLayout> MovingStore<S> {
    /// Moves sessions from `express` to `native`.
    pub fn new(native: impl SessionStore, express: S) -> Self {
        Self {
            native: shared(native),
            express,
        }
    }

    /// Where the native store has the session.
    async fn place(&self, id: &SessionId) -> Result<Place> {
        Ok(match self.native.load(id).await? {
            None => Place::Nowhere,
            Some(record) if is_tombstone(&record) => Place::Ended,
            Some(record) => Place::Native(record),
        })
    }

    /// The outcome of a native write that may have met a tombstone.
    async fn unless_ended(&self, id: &SessionId, saved: Saved) -> Result<Saved> {
        let may_be_ended = matches!(saved, Saved::Conflict | Saved::Unknown);
        Ok(match may_be_ended {
            true if matches!(self.place(id).await?, Place::Ended) => Saved::Gone,
            _ => saved,
        })
    }

    /// Saves a session that is not in the native store: it moves by that.
    async fn move_by(
        &self,
        (id, sid): (&SessionId, &SessionId),
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let record = match self.express.load(sid).await? {
            Some(record) if record.version.stamp() == expected.stamp() => record,
            Some(_) => return Ok(Saved::Conflict),
            // Another request may have moved it between the two looks.
            None => {
                return Ok(match self.place(id).await? {
                    Place::Native(_) => Saved::Conflict,
                    Place::Nowhere | Place::Ended => Saved::Gone,
                });
            }
        };
        let created = self.native.create(id, &moved(draft, &record)).await?;
        if created.is_done() {
            self.express.destroy(sid, None).await?;
        }
        self.unless_ended(id, created).await
    }

    /// Removes what an interrupted move may have left. The write has been done, so a failure is not
    /// the caller's: the next save tries again, and the record ends by itself.
    async fn clean_up(&self, id: &SessionId, sid: &SessionId) {
        if let Err(error) = self.express.destroy(sid, None).await {
            tracing::warn!(?id, %error, "a moved session may still be in the Express store too");
        }
    }

    /// Tries once to leave a tombstone.
    async fn bury(&self, burial: &mut Burial<'_>) -> Result<Buried> {
        let Burial { id, by, .. } = *burial;
        let record = match self.native.load(id).await {
            // It has no version to name, so it goes first.
            Err(error) if error.kind() == ErrorKind::Corrupt && burial.expected.is_none() => {
                burial.removed = self.native.destroy(id, None).await?;
                return Ok(Buried::NotYet);
            }
            loaded => loaded?,
        };
        let Some(record) = record else {
            return self.bury_unmoved(burial).await;
        };
        if is_tombstone(&record) {
            return Ok(match burial.expected {
                _ if record.version.stamp() == by => Buried::Yes(burial.replaced.take()),
                None => Buried::Yes(None),
                Some(_) => Buried::No,
            });
        }
        if !burial.is_meant(&record) {
            return Ok(Buried::No);
        }
        burial.replaced = Some(ended(id, &record));
        let tombstone = tombstone(by, self.express.lifetime(), Some(&record));
        let saved = self.native.save(id, &tombstone, &record.version).await?;
        Ok(burial.after(&saved))
    }

    /// The same for a session that the native store does not have.
    async fn bury_unmoved(&self, burial: &mut Burial<'_>) -> Result<Buried> {
        burial.replaced = None;
        if burial.expected.is_some() {
            let record = match burial.sid {
                Some(sid) => self.express.load(sid).await?,
                None => None,
            };
            match record.filter(|record| burial.is_meant(record)) {
                Some(record) => burial.replaced = Some(ended(burial.id, &record)),
                None => return Ok(Buried::No),
            }
        }
        let tombstone = tombstone(burial.by, self.express.lifetime(), None);
        let created = self.native.create(burial.id, &tombstone).await?;
        Ok(burial.after(&created))
    }

    /// Removes the session, for writers that are faster than every attempt: they find nothing to
    /// write then. Requests that are moving it may create it again, each of them once.
    async fn remove(&self, burial: &mut Burial<'_>) -> Result<()> {
        let unmoved = self.remove_unmoved(burial).await?;
        let removed = self.native.destroy(burial.id, None).await?;
        burial.removed = removed.or(unmoved).or(burial.removed.take());
        Ok(())
    }

    async fn remove_unmoved(&self, burial: &Burial<'_>) -> Result<Option<Ended>> {
        let Some(sid) = burial.sid else {
            return Ok(None);
        };
        let removed = self.express.destroy(sid, None).await?;
        let id = burial.id.clone();
        Ok(removed.map(|ended| Ended::new(id, ended.owner, ended.age)))
    }
}

impl Burial<'_> {
    fn is_meant(&self, record: &Record) -> bool {
        let expected = self.expected.map(Version::stamp);
        expected.is_none_or(|expected| expected == record.version.stamp())
    }

    /// After the write of the tombstone.
    fn after(&mut self, written: &Saved) -> Buried {
        match written.is_done() {
            true => Buried::Yes(self.replaced.take()),
            false => Buried::NotYet,
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

/// What is left of a limit that counts from a session's beginning.
fn left(limit: Timeout, age: Duration) -> Timeout {
    match limit {
        Timeout::After(limit) => Timeout::After(limit.saturating_sub(age)),
        Timeout::Never => Timeout::Never,
    }
}

/// The record of a session of the Express layout, which the client has presented as `sid`.
fn unmoved(sid: &SessionId, mut record: Record) -> Record {
    let token = SessionToken::foreign(sid.as_str());
    record.credential = token.map(|token| Credential::opened_by(&token, None));
    let absolute = left(record.lifetime.absolute, record.age);
    record.lifetime = Lifetime::new(record.lifetime.idle.min(absolute), absolute);
    record.age = Duration::ZERO;
    record
}

/// What to create of `draft`, which replaces `record` of the Express layout, so that the absolute
/// deadline stays where it is.
fn moved(draft: &Draft, record: &Record) -> Draft {
    let mut draft = draft.clone();
    let (limit, absolute) = (record.lifetime.absolute, draft.lifetime.absolute);
    if draft.anchor == Anchor::Keep && limit != Timeout::Never {
        let absolute = match absolute <= limit {
            // What was left when it was read, which is less by now.
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
        match (this.place(id).await?, express_id(id)) {
            (Place::Native(record), _) => return Ok(Some(record)),
            (Place::Ended, _) | (Place::Nowhere, None) => return Ok(None),
            (Place::Nowhere, Some(sid)) => {
                if let Some(record) = this.express.load(&sid).await? {
                    return Ok(Some(unmoved(&sid, record)));
                }
            }
        }
        // It may have moved between the two looks.
        Ok(match this.place(id).await? {
            Place::Native(record) => Some(record),
            Place::Nowhere | Place::Ended => None,
        })
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let Some(sid) = express_id(id) else {
            let saved = this.native.save(id, draft, expected).await?;
            return this.unless_ended(id, saved).await;
        };
        // How Express' record is stored means nothing to the native store.
        let bare = Version::new(expected.stamp());
        match this.native.save(id, draft, &bare).await? {
            Saved::Gone => this.move_by((id, &sid), draft, expected).await,
            saved => {
                if saved.is_done() {
                    this.clean_up(id, &sid).await;
                }
                this.unless_ended(id, saved).await
            }
        }
    }

    async fn touch(this: &Self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        match (this.place(id).await?, express_id(id)) {
            (Place::Native(_), _) => return this.native.touch(id, idle).await,
            (Place::Ended, _) | (Place::Nowhere, None) => return Ok(None),
            (Place::Nowhere, Some(sid)) => {
                let left = this.express.touch(&sid, idle).await?;
                if left.is_some() {
                    return Ok(left);
                }
            }
        }
        // It may have moved between the two looks.
        match this.place(id).await? {
            Place::Native(_) => this.native.touch(id, idle).await,
            Place::Nowhere | Place::Ended => Ok(None),
        }
    }

    /// Owner and age are those of the native record, or what the Express layout tells of its own.
    ///
    /// # Errors
    /// The stores'; [`ErrorKind::Contention`] if other requests were faster at each of 32 attempts.
    async fn destroy(
        this: &Self,
        id: &SessionId,
        expected: Option<&Version>,
    ) -> Result<Option<Ended>> {
        let sid = express_id(id);
        let mut burial = Burial {
            id,
            sid: sid.as_ref(),
            expected,
            by: Stamp::generate(),
            replaced: None,
            removed: None,
        };
        for attempt in 0..ATTEMPTS {
            if attempt >= PATIENCE && expected.is_none() {
                this.remove(&mut burial).await?;
            }
            match this.bury(&mut burial).await? {
                Buried::NotYet => {}
                Buried::No => return Ok(None),
                Buried::Yes(ended) => {
                    let unmoved = this.remove_unmoved(&burial).await?;
                    return Ok(ended.or(burial.removed).or(unmoved));
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
    fn only_ids_of_foreign_tokens_are_looked_for_in_the_express_layout() {
        let foreign = SessionToken::foreign("sid").expect("any text").id();
        let sid = express_id(&foreign).expect("presented");
        assert_eq!(sid.as_str(), "sid");
        assert!(sid.is_secret());
        assert_eq!(express_id(&SessionToken::generate().id()), None);
        let again = SessionId::from_stored(foreign.as_str()).expect("valid");
        assert_eq!(express_id(&again), None);
    }

    #[test]
    fn a_move_leaves_the_absolute_deadline_where_it_is() {
        let there = record(Lifetime::new(HOUR, 12 * HOUR), 10 * HOUR);
        let sid = SessionId::plain("sid").expect("any text");
        let read = unmoved(&sid, there.clone());
        assert!(read.credential.is_some());
        assert_eq!(read.lifetime, Lifetime::new(HOUR, 2 * HOUR));
        assert_eq!(read.age, Duration::ZERO);
        // Saved an hour and a half later.
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
