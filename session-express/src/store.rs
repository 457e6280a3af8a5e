//! A session store in the layout of one of Express' stores.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{
    Capabilities, Draft, Ended, Error, Lifetime, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, SessionToken, Stamp, Timeout, TokenChange, Ttl, Version,
};

use crate::expiry::now;
use crate::extra::Seal;
use crate::key_value::{Configured, Found, KeyValue, Renamed, check};
use crate::options::Express;
use crate::record::SessionJson;
use crate::sent::Sent;

/// How often a write is tried while touches get in between.
const ATTEMPTS: u32 = 16;
/// No store takes less.
const SHORTEST: Ttl = Ttl::Left(Duration::from_millis(1));
/// How long a destroyed session's record stays if it can't be removed: long enough for the removal
/// to find it live.
const ASIDE: Ttl = Ttl::Left(Duration::from_secs(10));

/// A store whose cookies and records are an Express app's: what
/// `SessionLayer::express_compatible` takes.
pub trait ExpressLayout: SessionStore {
    /// The options of the app.
    fn express(&self) -> &Express;

    /// How long sessions live that set no limit of their own.
    fn lifetime(&self) -> Lifetime;
}

/// Sessions in the layout of one of Express' stores. Clones share it.
///
/// Ids are the tokens, and records have no credential
/// ([`Capabilities::plain_ids`](session_core::Capabilities::plain_ids)). Among servers of this
/// library no update is lost and nothing is brought back, as with any other store. Express writes
/// blindly: `docs/express.md` says what that can cost.
///
/// # Versions
/// The format has no room for a stamp, so [`Version::stamp`] is a hash of the record's contents, and
/// a write compares the whole stored value. A save that is given [`Version::stored`] takes one
/// round trip, otherwise two; a touch by another costs two more.
///
/// # New tokens
/// A save with [`TokenChange::New`] makes a new id, files the session under it and answers with
/// [`Version::moved_to`]: one round trip, two on MongoDB and Redis Cluster. In this layout, and only
/// here, a session moves. So a request that still has the old id finds no session, and a
/// `destroy` by the old id ends the session only if this very process has moved it: each process
/// remembers its latest 256 moves, and those without an answer apart from them.
///
/// # Lost answers
/// The same draft sent again is [`Saved::Done`] if the stored value is the very one that was sent
/// before, and an ordinary write if the expected one is still there. Otherwise the outcome is
/// [`Saved::Unknown`]: no trail tells whether the first sending was done and replaced since. Each
/// process remembers its latest 256 unanswered writes; an older one is a [`Saved::Conflict`], which
/// the manager takes for unknown where it has sent the draft before.
///
/// # Listings
/// The directory lists all sessions. It can't look up owners, because Express' layouts have no index
/// of them: that is [`Error::Unsupported`].
pub struct ExpressStore<K: KeyValue>(Arc<Inner<K>>);

pub(crate) struct Inner<K> {
    pub(crate) kv: K,
    express: Express,
    pub(crate) ttl: Timeout,
    sent: Sent,
}

/// What is stored under an id, next to the version that is expected there.
enum Seen {
    Expected(Bytes, SessionJson),
    Other(Bytes, SessionJson),
    Nothing,
}

impl<K: Configured> ExpressStore<K> {
    /// Sets a store up for the sessions of `express`.
    pub fn builder(express: Express) -> K::Builder {
        express.into()
    }
}

impl<K: KeyValue> ExpressStore<K> {
    /// The sessions of `express` in `kv`.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] for invalid options.
    pub fn new(kv: K, express: Express) -> Result<Self> {
        express.check()?;
        let ttl = Timeout::After(express.given_ttl().unwrap_or(K::TTL));
        Ok(Self(Arc::new(Inner {
            kv,
            express,
            ttl,
            sent: Sent::default(),
        })))
    }

    pub(crate) fn inner(&self) -> &Inner<K> {
        &self.0
    }

    async fn decode(&self, id: &SessionId, value: &Bytes) -> Result<SessionJson> {
        let name = self.0.kv.listed_as(id.as_str());
        self.decode_listed(&name, value).await
    }

    /// The session that is listed under this name.
    pub(crate) async fn decode_listed(&self, name: &str, value: &Bytes) -> Result<SessionJson> {
        let json = self.0.kv.open(value).await?;
        SessionJson::decode(&json, Seal::new(self.0.express.secrets(), name))
    }

    async fn encode(
        &self,
        id: &SessionId,
        session: &SessionJson,
        old: Option<&Bytes>,
    ) -> Result<Bytes> {
        let name = self.0.kv.listed_as(id.as_str());
        let json = session.encode(Seal::new(self.0.express.secrets(), &name));
        check(&self.0.kv, &json)?;
        self.0.kv.seal(json, old).await
    }

    /// The live session `id`, as it is stored and as it is read.
    async fn current(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<(Found, SessionJson)>> {
        let Some(mut found) = self.0.kv.get(operation, id.as_str()).await? else {
            return Ok(None);
        };
        let session = self.decode(id, &found.value).await?;
        // Express and its stores do not know the absolute limit.
        found.left = found.left.min(session.absolute_left(now()));
        Ok((!is_over(found.left)).then_some((found, session)))
    }

    /// What is stored under `id`. Without a round trip if the caller knows how the expected version
    /// is stored; the write then compares that.
    async fn look(
        &self,
        operation: &'static str,
        id: &SessionId,
        expected: &Version,
        known: Option<&Bytes>,
    ) -> Result<Seen> {
        if let Some(value) = known
            && let Ok(session) = self.decode(id, value).await
            && session.stamp() == expected.stamp()
            && !is_over(session.absolute_left(now()))
        {
            return Ok(Seen::Expected(value.clone(), session));
        }
        Ok(match self.current(operation, id).await? {
            None => Seen::Nothing,
            Some((found, session)) if session.stamp() == expected.stamp() => {
                Seen::Expected(found.value, session)
            }
            Some((found, session)) => Seen::Other(found.value, session),
        })
    }

    /// What `draft` makes of `session`, as it is to be stored in the place of `old`, and for how
    /// long.
    async fn written(
        &self,
        id: &SessionId,
        session: &SessionJson,
        draft: &Draft,
        old: Option<&Bytes>,
    ) -> Result<(SessionJson, Bytes, Ttl)> {
        let (new, ttl) = session.written(draft, self.0.ttl, now())?;
        let value = self.encode(id, &new, old).await?;
        // A session whose time is over is ended by this, within the shortest time there is.
        Ok((new, value, ttl.max(SHORTEST)))
    }

    /// Makes a write, and remembers it until its outcome is known.
    async fn send<T>(
        &self,
        stamp: Stamp,
        value: &Bytes,
        write: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let in_flight = self.0.sent.begin(stamp, value);
        let outcome = write.await;
        if !outcome.as_ref().is_err_and(Error::is_doubtful) {
            in_flight.answered();
        }
        outcome
    }

    /// The outcome of a write that has left `session`, stored as `value`.
    fn done(&self, stamp: Stamp, session: &SessionJson, value: Bytes) -> Saved {
        self.0.sent.settle(stamp);
        Saved::Done(session.version(value))
    }

    /// The outcome of a write that has found `session` in its way, stored as `value`: an earlier
    /// sending may have left that.
    fn in_the_way(&self, stamp: Stamp, session: &SessionJson, value: Bytes) -> Saved {
        match self.0.sent.has_left(stamp, &value) {
            true => self.done(stamp, session, value),
            false => self.conflict(stamp),
        }
    }

    fn conflict(&self, stamp: Stamp) -> Saved {
        Saved::Conflict.after(self.0.sent.is_unanswered(stamp))
    }

    /// Saves a session under the id that it has.
    async fn save_in_place(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let mut known = Some(expected.stored());
        for _ in 0..ATTEMPTS {
            let (old, session) = match self.look("save", id, expected, known.take()).await? {
                Seen::Expected(old, session) => (old, session),
                Seen::Other(value, session) => {
                    return Ok(self.in_the_way(draft.stamp, &session, value));
                }
                Seen::Nothing => return Ok(Saved::Gone),
            };
            let (new, value, ttl) = self.written(id, &session, draft, Some(&old)).await?;
            let swap = self.0.kv.swap(id.as_str(), &old, &value, ttl);
            if self.send(draft.stamp, &value, swap).await? {
                return Ok(self.done(draft.stamp, &new, value));
            }
        }
        Ok(self.conflict(draft.stamp))
    }

    /// Saves a session under a new id.
    async fn move_by(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let to = self.0.sent.begin_move(draft.stamp, id);
        let mut known = Some(expected.stored());
        let mut otherwise = Saved::Conflict;
        for _ in 0..ATTEMPTS {
            let (old, session) = match self.look("save", id, expected, known.take()).await? {
                Seen::Expected(old, session) => (old, session),
                Seen::Other(..) => break,
                Seen::Nothing => {
                    otherwise = Saved::Gone;
                    break;
                }
            };
            let (new, value, ttl) = self.written(&to, &session, draft, Some(&old)).await?;
            let rename = self
                .0
                .kv
                .rename(id.as_str(), to.as_str(), &old, &value, ttl);
            match self.send(draft.stamp, &value, rename).await? {
                Renamed::Done => return self.moved(draft.stamp, &to, &new, value).await,
                Renamed::Changed => {}
                Renamed::Taken => break,
            }
        }
        match self.0.sent.cancel_move(draft.stamp) {
            true => Ok(otherwise),
            false => self.moved_before(&to, draft, otherwise).await,
        }
    }

    /// The outcome of a move that was done, unless the session was destroyed meanwhile.
    async fn moved(
        &self,
        stamp: Stamp,
        to: &SessionId,
        session: &SessionJson,
        value: Bytes,
    ) -> Result<Saved> {
        let sent = &self.0.sent;
        sent.settle(stamp);
        if sent.end_move(stamp) {
            self.0.kv.remove(to.as_str()).await?;
            return Ok(Saved::Gone);
        }
        let version = session.version(value).with_moved_to(to.clone());
        Ok(Saved::Done(version))
    }

    /// The outcome of a move that was sent before and has found nothing to move: the first sending
    /// may have moved it.
    async fn moved_before(&self, to: &SessionId, draft: &Draft, otherwise: Saved) -> Result<Saved> {
        let Some((found, session)) = self.current("save", to).await? else {
            return Ok(otherwise.after(true));
        };
        // No client has this id yet, so another content is the work of a request that was told.
        let (again, _) = session.written(draft, self.0.ttl, now())?;
        match again.stamp() == session.stamp() {
            true => self.moved(draft.stamp, to, &session, found.value).await,
            false => Ok(Saved::Unknown),
        }
    }

    /// Ends a session if it is still the version `expected`.
    async fn destroy_version(&self, id: &SessionId, expected: &Version) -> Result<Option<Ended>> {
        let mut known = Some(expected.stored());
        for _ in 0..ATTEMPTS {
            let seen = self.look("destroy", id, expected, known.take()).await?;
            let Seen::Expected(old, session) = seen else {
                return Ok(None);
            };
            // Only a rename compares the value that it removes. So the record is renamed to what no
            // client knows, and removed from there.
            let aside = SessionToken::generate_plain().id();
            let (from, to) = (id.as_str(), aside.as_str());
            let renamed = self.0.kv.rename(from, to, &old, &old, ASIDE).await?;
            if renamed == Renamed::Done {
                if let Err(error) = self.0.kv.remove(to).await {
                    tracing::debug!(%error, "a destroyed session's record ends by itself");
                }
                return Ok(Some(Ended {
                    id: id.clone(),
                    owner: session.owner(),
                    age: Some(session.age(now())),
                }));
            }
        }
        Err(Error::Contention { attempts: ATTEMPTS })
    }
}

pub(crate) fn is_over(left: Ttl) -> bool {
    left == Ttl::Left(Duration::ZERO)
}

impl<K: KeyValue> ExpressLayout for ExpressStore<K> {
    fn express(&self) -> &Express {
        &self.0.express
    }

    fn lifetime(&self) -> Lifetime {
        let max_age = self.0.express.cookie().max_age;
        Lifetime::idle(max_age.map_or(self.0.ttl, Timeout::After))
    }
}

#[async_trait]
impl<K: KeyValue> SessionStore for ExpressStore<K> {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_plain_ids(true)
            .with_max_data(self.0.kv.max_data())
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let fresh = SessionJson::new(self.0.express.cookie());
        let (session, value, ttl) = self.written(id, &fresh, draft, None).await?;
        let add = self.0.kv.add(id.as_str(), &value, ttl);
        if self.send(draft.stamp, &value, add).await? {
            return Ok(self.done(draft.stamp, &session, value));
        }
        Ok(match self.current("create", id).await? {
            Some((found, session)) => self.in_the_way(draft.stamp, &session, found.value),
            None => self.conflict(draft.stamp),
        })
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let found = self.current("load", id).await?;
        Ok(
            found
                .map(|(found, session)| session.record(found.value, self.0.ttl, found.left, now())),
        )
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        match draft.token {
            TokenChange::Keep => self.save_in_place(id, draft, expected).await,
            TokenChange::New => self.move_by(id, draft, expected).await,
        }
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        for _ in 0..ATTEMPTS {
            let Some((found, session)) = self.current("touch", id).await? else {
                return Ok(None);
            };
            let kv = &self.0.kv;
            let recently = found.modified.is_some_and(|ago| ago < kv.touch_after());
            let (new, ttl) = session.touched(idle, self.0.ttl, now());
            if ttl < SHORTEST {
                return Ok(None);
            }
            if recently || ttl <= found.left {
                return Ok(Some(found.left));
            }
            let touched = match session.has_expires() {
                // What Express would do by itself leaves `cookie.expires` as it was.
                true => {
                    let value = self.encode(id, &new, Some(&found.value)).await?;
                    kv.swap(id.as_str(), &found.value, &value, ttl).await?
                }
                false => kv.extend(id.as_str(), ttl).await?,
            };
            if touched {
                return Ok(Some(ttl));
            }
        }
        // Others write it all the time, and each write extends it.
        let found = self.0.kv.get("touch", id.as_str()).await?;
        Ok(found.map(|found| found.left))
    }

    /// One round trip, and one for each id that this process has moved the session to: those end
    /// too. Owner and age are not known. With `expected`, two round trips, or three if the stored
    /// value is not known.
    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        if let Some(expected) = expected {
            return self.destroy_version(id, expected).await;
        }
        let mut is_ended = false;
        let mut ids = vec![id.clone()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            is_ended |= self.0.kv.remove(id.as_str()).await?;
            for to in self.0.sent.destroy_moves(id) {
                if !ids.contains(&to) {
                    ids.push(to);
                }
            }
            next += 1;
        }
        Ok(is_ended.then(|| Ended::unknown(id.clone())))
    }
}

impl<K: KeyValue> Clone for ExpressStore<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: KeyValue> fmt::Debug for ExpressStore<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpressStore")
            .field("kv", &self.0.kv)
            .field("express", &self.0.express)
            .finish_non_exhaustive()
    }
}
