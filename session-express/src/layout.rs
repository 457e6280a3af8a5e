//! The operations of a session store in the layout of one of Express' stores.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use session_core::backend::{Call, Create, Destroy, Save, Touch};
use session_core::{
    Draft, Ended, Error, Record, Result, Saved, SessionId, SessionToken, Stamp, Timeout,
    TokenChange, Ttl, Version,
};

use crate::expiry::now;
use crate::extra::Authenticator;
use crate::key_value::{Found, KeyValue, Renamed};
use crate::options::Express;
use crate::record::SessionJson;
use crate::sent_writes::SentWrites;

/// How often a write is tried while touches change the record.
const ATTEMPTS: u32 = 16;
/// The shortest time to live that every store accepts.
const MIN_TTL: Ttl = Ttl::Left(Duration::from_millis(1));
/// The time to live of a destroyed session's record that was renamed to be removed. It must be live
/// when the removal arrives.
const RENAMED_TTL: Ttl = Ttl::Left(Duration::from_secs(10));

/// A backend whose records are an Express app's.
pub(crate) struct Layout<K> {
    pub(crate) kv: K,
    pub(crate) express: Express,
    /// How long sessions live that set no limit of their own.
    pub(crate) ttl: Timeout,
    sent: SentWrites,
}

/// The stored value and session of an id, compared with an expected version.
enum Lookup {
    Expected(Bytes, SessionJson),
    Other(Bytes, SessionJson),
    Absent,
}

impl<K: KeyValue> Layout<K> {
    pub(crate) fn new(kv: K, express: Express) -> Self {
        let ttl = Timeout::After(express.given_ttl().unwrap_or(K::TTL));
        Self {
            kv,
            express,
            ttl,
            sent: SentWrites::default(),
        }
    }

    pub(crate) async fn create_one(
        &self,
        call: &Call<K::Client>,
        create: &Create,
    ) -> Result<Saved> {
        let Create { id, draft, .. } = create;
        let fresh = SessionJson::new(self.express.cookie());
        let (session, value, ttl) = self.apply(id, &fresh, draft, None).await?;
        let add = self.kv.add(call, id.as_str(), &value, ttl);
        if self.send(draft.stamp, &value, add).await? {
            return Ok(self.done(draft.stamp, &session, value));
        }
        Ok(match self.current(call, id).await? {
            Some((found, session)) => self.done_or_conflict(draft.stamp, &session, found.value),
            None => self.conflict(draft.stamp),
        })
    }

    pub(crate) async fn load_one(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
    ) -> Result<Option<Record>> {
        let found = self.current(call, id).await?;
        Ok(found.map(|(found, session)| session.record(found.value, self.ttl, found.left, now())))
    }

    pub(crate) async fn save_one(&self, call: &Call<K::Client>, save: &Save) -> Result<Saved> {
        let Save {
            id,
            draft,
            expected,
            ..
        } = save;
        match draft.token {
            TokenChange::Keep => self.save_in_place(call, id, draft, expected).await,
            TokenChange::New => self.save_under_new_id(call, id, draft, expected).await,
        }
    }

    pub(crate) async fn touch_one(
        &self,
        call: &Call<K::Client>,
        touch: &Touch,
    ) -> Result<Option<Ttl>> {
        let Touch { id, idle, .. } = touch;
        for _ in 0..ATTEMPTS {
            let Some((found, session)) = self.current(call, id).await? else {
                return Ok(None);
            };
            let kv = &self.kv;
            let recently = found.modified.is_some_and(|ago| ago < kv.touch_after());
            let (new, ttl) = session.touched(*idle, self.ttl, now());
            if ttl < MIN_TTL {
                return Ok(None);
            }
            if recently || ttl <= found.left {
                return Ok(Some(found.left));
            }
            let touched = match session.has_expires() {
                // The touch of Express' own stores leaves `cookie.expires` as it was.
                true => {
                    let value = self.encode(id, &new, Some(&found.value)).await?;
                    kv.swap(call, id.as_str(), &found.value, &value, ttl)
                        .await?
                }
                false => kv.extend(call, id.as_str(), ttl).await?,
            };
            if touched {
                return Ok(Some(ttl));
            }
        }
        // Other requests write it all the time, and each write extends it.
        let found = self.kv.get(call, id.as_str()).await?;
        Ok(found.map(|found| found.left))
    }

    pub(crate) async fn destroy_one(
        &self,
        call: &Call<K::Client>,
        destroy: &Destroy,
    ) -> Result<Option<Ended>> {
        let Destroy { id, expected, .. } = destroy;
        if let Some(expected) = expected {
            return self.destroy_version(call, id, expected).await;
        }
        let mut is_ended = false;
        let mut ids = vec![id.clone()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            is_ended |= self.kv.remove(call, id.as_str()).await?;
            for to in self.sent.destroy_moves(id) {
                if !ids.contains(&to) {
                    ids.push(to);
                }
            }
            next += 1;
        }
        Ok(is_ended.then(|| Ended::unknown(id.clone())))
    }

    async fn decode(&self, id: &SessionId, value: &Bytes) -> Result<SessionJson> {
        let name = self.kv.listed_as(id.as_str());
        self.decode_listed(&name, value).await
    }

    /// Decodes the value that is listed under this name.
    pub(crate) async fn decode_listed(&self, name: &str, value: &Bytes) -> Result<SessionJson> {
        let json = self.kv.open(value).await?;
        SessionJson::decode(&json, Authenticator::new(self.express.secrets(), name))
    }

    async fn encode(
        &self,
        id: &SessionId,
        session: &SessionJson,
        old: Option<&Bytes>,
    ) -> Result<Bytes> {
        let name = self.kv.listed_as(id.as_str());
        let json = session.encode(Authenticator::new(self.express.secrets(), &name));
        // The whole record counts, not only the data that the store has checked.
        Error::check_size("record", json.len(), self.kv.policy().max_data)?;
        self.kv.seal(json, old).await
    }

    /// The stored value of the live session `id`, and the session in it.
    async fn current(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
    ) -> Result<Option<(Found, SessionJson)>> {
        let Some(mut found) = self.kv.get(call, id.as_str()).await? else {
            return Ok(None);
        };
        let session = self.decode(id, &found.value).await?;
        // Express and its stores do not know the absolute limit.
        found.left = found.left.min(session.absolute_left(now()));
        Ok((!is_over(found.left)).then_some((found, session)))
    }

    /// Looks `id` up. Makes no round trip if `known` is the stored value of the expected version:
    /// the write then compares that.
    async fn look_up(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
        expected: &Version,
        known: Option<&Bytes>,
    ) -> Result<Lookup> {
        if let Some(value) = known
            && let Ok(session) = self.decode(id, value).await
            && session.stamp() == expected.stamp()
            && !is_over(session.absolute_left(now()))
        {
            return Ok(Lookup::Expected(value.clone(), session));
        }
        Ok(match self.current(call, id).await? {
            None => Lookup::Absent,
            Some((found, session)) if session.stamp() == expected.stamp() => {
                Lookup::Expected(found.value, session)
            }
            Some((found, session)) => Lookup::Other(found.value, session),
        })
    }

    /// Applies `draft` to `session`. Returns the new session, the value to store in place of `old`,
    /// and its time to live.
    async fn apply(
        &self,
        id: &SessionId,
        session: &SessionJson,
        draft: &Draft,
        old: Option<&Bytes>,
    ) -> Result<(SessionJson, Bytes, Ttl)> {
        let (new, ttl) = session.apply(draft, self.ttl, now())?;
        let value = self.encode(id, &new, old).await?;
        // A session whose time is over ends within the shortest time to live.
        Ok((new, value, ttl.max(MIN_TTL)))
    }

    /// Sends a write and records it until its outcome is known.
    async fn send<T>(
        &self,
        stamp: Stamp,
        value: &Bytes,
        write: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let in_flight = self.sent.begin(stamp, value);
        let outcome = write.await;
        if !outcome.as_ref().is_err_and(Error::is_doubtful) {
            in_flight.answered();
        }
        outcome
    }

    /// The outcome of a write that has stored `session` as `value`.
    fn done(&self, stamp: Stamp, session: &SessionJson, value: Bytes) -> Saved {
        self.sent.forget(stamp);
        Saved::Done(session.version(value))
    }

    /// The outcome of a write that has found `value` in place of the expected one: done if an
    /// earlier sending has stored it, otherwise a conflict.
    fn done_or_conflict(&self, stamp: Stamp, session: &SessionJson, value: Bytes) -> Saved {
        match self.sent.has_stored(stamp, &value) {
            true => self.done(stamp, session, value),
            false => self.conflict(stamp),
        }
    }

    fn conflict(&self, stamp: Stamp) -> Saved {
        Saved::Conflict.after(self.sent.is_unanswered(stamp))
    }

    /// Saves a session under its present id.
    async fn save_in_place(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let mut known = Some(expected.stored());
        for _ in 0..ATTEMPTS {
            let (old, session) = match self.look_up(call, id, expected, known.take()).await? {
                Lookup::Expected(old, session) => (old, session),
                Lookup::Other(value, session) => {
                    return Ok(self.done_or_conflict(draft.stamp, &session, value));
                }
                Lookup::Absent => return Ok(Saved::Gone),
            };
            let (new, value, ttl) = self.apply(id, &session, draft, Some(&old)).await?;
            let swap = self.kv.swap(call, id.as_str(), &old, &value, ttl);
            if self.send(draft.stamp, &value, swap).await? {
                return Ok(self.done(draft.stamp, &new, value));
            }
        }
        Ok(self.conflict(draft.stamp))
    }

    /// Saves a session under a new id.
    async fn save_under_new_id(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
        draft: &Draft,
        expected: &Version,
    ) -> Result<Saved> {
        let to = self.sent.begin_move(draft.stamp, id);
        let mut known = Some(expected.stored());
        let mut failure = Saved::Conflict;
        for _ in 0..ATTEMPTS {
            let (old, session) = match self.look_up(call, id, expected, known.take()).await? {
                Lookup::Expected(old, session) => (old, session),
                Lookup::Other(..) => break,
                Lookup::Absent => {
                    failure = Saved::Gone;
                    break;
                }
            };
            let (new, value, ttl) = self.apply(&to, &session, draft, Some(&old)).await?;
            let rename = self
                .kv
                .rename(call, id.as_str(), to.as_str(), &old, &value, ttl);
            match self.send(draft.stamp, &value, rename).await? {
                Renamed::Done => return self.moved(call, draft.stamp, &to, &new, value).await,
                Renamed::Changed => {}
                Renamed::Taken => break,
            }
        }
        match self.sent.cancel_move(draft.stamp) {
            true => Ok(failure),
            false => self.repeated_move(call, &to, draft, failure).await,
        }
    }

    /// The outcome of a move that was done: `Gone` if the session was destroyed meanwhile.
    async fn moved(
        &self,
        call: &Call<K::Client>,
        stamp: Stamp,
        to: &SessionId,
        session: &SessionJson,
        value: Bytes,
    ) -> Result<Saved> {
        let sent = &self.sent;
        sent.forget(stamp);
        if sent.end_move(stamp) {
            self.kv.remove(call, to.as_str()).await?;
            return Ok(Saved::Gone);
        }
        let version = session.version(value).with_moved_to(to.clone());
        Ok(Saved::Done(version))
    }

    /// The outcome of a repeated move that has found nothing to move: an earlier sending may have
    /// moved the session.
    async fn repeated_move(
        &self,
        call: &Call<K::Client>,
        to: &SessionId,
        draft: &Draft,
        failure: Saved,
    ) -> Result<Saved> {
        let Some((found, session)) = self.current(call, to).await? else {
            return Ok(failure.after(true));
        };
        // This id is new, so other content was written by a request that has got the move's answer.
        let (again, _) = session.apply(draft, self.ttl, now())?;
        match again.stamp() == session.stamp() {
            true => {
                self.moved(call, draft.stamp, to, &session, found.value)
                    .await
            }
            false => Ok(Saved::Unknown),
        }
    }

    /// Destroys a session if it is still the version `expected`.
    async fn destroy_version(
        &self,
        call: &Call<K::Client>,
        id: &SessionId,
        expected: &Version,
    ) -> Result<Option<Ended>> {
        let mut known = Some(expected.stored());
        for _ in 0..ATTEMPTS {
            let looked_up = self.look_up(call, id, expected, known.take()).await?;
            let Lookup::Expected(old, session) = looked_up else {
                return Ok(None);
            };
            // Of the removals, only a rename compares the value. So the record is renamed to an id
            // that no client knows, and removed there.
            let renamed_id = SessionToken::generate_plain().id();
            let (from, to) = (id.as_str(), renamed_id.as_str());
            let rename = self.kv.rename(call, from, to, &old, &old, RENAMED_TTL);
            if rename.await? == Renamed::Done {
                if let Err(error) = self.kv.remove(call, to).await {
                    tracing::debug!(%error, "cannot remove a destroyed session's record; it expires");
                }
                return Ok(Some(Ended::new(
                    id.clone(),
                    session.owner(),
                    Some(session.age(now())),
                )));
            }
        }
        Err(Error::contention(ATTEMPTS))
    }
}

pub(crate) fn is_over(left: Ttl) -> bool {
    left == Ttl::Left(Duration::ZERO)
}

impl<K: KeyValue> fmt::Debug for Layout<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout")
            .field("kv", &self.kv)
            .field("express", &self.express)
            .finish_non_exhaustive()
    }
}
