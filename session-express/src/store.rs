//! A session store in the layout of one of Express' stores.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use session_core::{
    Capabilities, Cursor, Draft, Ended, Error, Lifetime, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionInfo, SessionStore, Stamp, Timeout, Ttl,
};

use crate::expiry::now;
use crate::key_value::{Configured, Found, KeyValue, check};
use crate::options::Express;
use crate::record::SessionJson;

/// How often a write is tried while touches get in between.
const ATTEMPTS: usize = 16;
/// No store takes less.
const SHORTEST: Ttl = Ttl::Left(Duration::from_millis(1));
/// How many writes without an answer are remembered.
const UNANSWERED: usize = 256;

/// A store whose cookies and records are an Express app's: what
/// `SessionLayer::express_compatible` takes.
pub trait ExpressLayout: SessionStore {
    /// What the app was told.
    fn express(&self) -> &Express;

    /// How long sessions live that set no limit of their own.
    fn lifetime(&self) -> Lifetime;
}

/// Sessions in the layout of one of Express' stores. Clones share it.
///
/// Among writers that use this, no update is lost and nothing is brought back, as with any other
/// store. Express writes blindly: `docs/express.md` says what that can cost.
///
/// Listing tells of all sessions; owners can't be looked up, for Express' layouts have no index of
/// them, and asking for one's sessions is [`Error::Unsupported`].
pub struct ExpressStore<K: KeyValue>(Arc<Inner<K>>);

struct Inner<K> {
    kv: K,
    express: Express,
    ttl: Timeout,
    unanswered: Mutex<VecDeque<(Stamp, Bytes)>>,
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
    /// [`Error::Misconfigured`] for options that can't be right.
    pub fn new(kv: K, express: Express) -> Result<Self> {
        express.check()?;
        let ttl = Timeout::After(express.given_ttl().unwrap_or(K::TTL));
        Ok(Self(Arc::new(Inner {
            kv,
            express,
            ttl,
            unanswered: Mutex::default(),
        })))
    }

    async fn decode(&self, value: &Bytes) -> Result<SessionJson> {
        SessionJson::decode(&self.0.kv.open(value).await?)
    }

    async fn encode(&self, session: &SessionJson, old: Option<&Bytes>) -> Result<Bytes> {
        let json = session.encode();
        check(&self.0.kv, &json)?;
        self.0.kv.seal(json, old).await
    }

    /// What is stored, and what that says.
    async fn current(
        &self,
        operation: &'static str,
        id: &SessionId,
    ) -> Result<Option<(Found, SessionJson)>> {
        let Some(found) = self.0.kv.get(operation, id.as_str()).await? else {
            return Ok(None);
        };
        let session = self.decode(&found.value).await?;
        Ok(Some((found, session)))
    }

    /// Replaces a session, under another id if `to` is one.
    async fn replace(
        &self,
        operation: &'static str,
        (id, to): (&SessionId, Option<&SessionId>),
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        // What the draft was made of is likely still there.
        let mut old = match draft.replaces.is_empty() {
            true => None,
            false => Some(draft.replaces.clone()),
        };
        for _ in 0..ATTEMPTS {
            let (value, session) = match old.take() {
                Some(value) => match self.decode(&value).await {
                    Ok(session) if session.stamp() == expected => (value, session),
                    _ => continue,
                },
                None => match self.current(operation, id).await? {
                    Some((found, session)) => (found.value, session),
                    None => return Ok(Saved::Gone),
                },
            };
            if self.has_written(draft.stamp, &value) {
                return Ok(Saved::Done(session.stamp()));
            }
            if session.stamp() != expected {
                return Ok(Saved::Conflict);
            }
            let (new, ttl) = session.written(draft, self.0.ttl, now())?;
            // If its time is over, nobody sees the record in what little time that has.
            let ttl = ttl.max(SHORTEST);
            let sealed = self.encode(&new, Some(&value)).await?;
            let kv = &self.0.kv;
            let swapped = match to {
                None => kv.swap(id.as_str(), &value, &sealed, ttl).await,
                Some(to) => {
                    let (id, to) = (id.as_str(), to.as_str());
                    kv.rename(id, to, &value, &sealed, ttl).await
                }
            };
            if self.remember(swapped, draft.stamp, &sealed)? {
                return Ok(Saved::Done(new.stamp()));
            }
        }
        Ok(Saved::Conflict)
    }

    /// Passes a write's outcome on, and remembers what it was to write if that is not known to have
    /// failed.
    fn remember<T>(&self, outcome: Result<T>, stamp: Stamp, value: &Bytes) -> Result<T> {
        if outcome.as_ref().is_err_and(Error::is_temporary) {
            let mut unanswered = self.unanswered();
            if unanswered.len() == UNANSWERED {
                unanswered.pop_front();
            }
            unanswered.push_back((stamp, value.clone()));
        }
        outcome
    }

    /// Whether `value`, which is stored, is what the write `stamp` was to put there when its answer
    /// did not come.
    fn has_written(&self, stamp: Stamp, value: &Bytes) -> bool {
        let unanswered = self.unanswered();
        unanswered
            .iter()
            .any(|(of, was)| *of == stamp && was == value)
    }

    fn unanswered(&self) -> std::sync::MutexGuard<'_, VecDeque<(Stamp, Bytes)>> {
        let unanswered = self.0.unanswered.lock();
        unanswered.unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session under `id`, an id that nobody else has, is what `draft` makes.
    async fn is_made_of(&self, id: &SessionId, draft: &Draft) -> Result<Option<Stamp>> {
        let Some((_, session)) = self.current("create", id).await? else {
            return Ok(None);
        };
        let (again, _) = session.written(draft, self.0.ttl, now())?;
        let stamp = session.stamp();
        Ok((again.stamp() == stamp).then_some(stamp))
    }
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

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        let fresh = SessionJson::new(self.0.express.cookie());
        let (session, ttl) = fresh.written(draft, self.0.ttl, now())?;
        let value = self.encode(&session, None).await?;
        if self.0.kv.add(id.as_str(), &value, ttl).await? {
            return Ok(session.stamp());
        }
        let there = self.is_made_of(id, draft).await?;
        there.ok_or(Error::AlreadyExists)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let Some((found, session)) = self.current("load", id).await? else {
            return Ok(None);
        };
        let now = now();
        // Express and its stores know nothing of the absolute limit.
        let left = found.left.min(session.absolute_left(now));
        if left == Ttl::Left(Duration::ZERO) {
            return Ok(None);
        }
        Ok(Some(session.record(found.value, self.0.ttl, left, now)))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.replace("save", (id, None), draft, expected).await
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
                    let sealed = self.encode(&new, Some(&found.value)).await?;
                    kv.swap(id.as_str(), &found.value, &sealed, ttl).await?
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

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        let ids = (from, Some(to).filter(|to| *to != from));
        let outcome = self.replace("rename", ids, draft, expected).await;
        // It may have been done before.
        if from != to
            && matches!(outcome, Ok(Saved::Gone) | Err(Error::AlreadyExists))
            && let Some(stamp) = self.is_made_of(to, draft).await?
        {
            return Ok(Saved::Done(stamp));
        }
        outcome
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.0.kv.remove(id.as_str()).await
    }
}

fn no_owners<T>() -> Result<T> {
    let what = "looking up owners in the layout of an Express store";
    Err(Error::Unsupported { what })
}

#[async_trait]
impl<K: KeyValue> SessionDirectory for ExpressStore<K> {
    async fn count(&self) -> Result<u64> {
        self.0.kv.count().await
    }

    /// What can't be read as a session is left out.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let listed = self.0.kv.page(cursor, limit).await?;
        let mut sessions = Vec::with_capacity(listed.values.len());
        for (name, found) in listed.values {
            let decoded = self.decode(&found.value).await;
            let (Ok(id), Ok(session)) = (SessionId::plain(&name), decoded) else {
                continue;
            };
            let size = found.value.len();
            let now = now();
            let left = found.left.min(session.absolute_left(now));
            let record = session.record(found.value, self.0.ttl, left, now);
            sessions.push(SessionInfo {
                id,
                owner: record.owner,
                lifetime: record.lifetime,
                ttl: record.ttl,
                age: record.age,
                size,
            });
        }
        let next = listed.next;
        Ok(Page { sessions, next })
    }

    /// [`Error::Unsupported`]: there is no index of owners.
    async fn owned_by(&self, _: &Owner) -> Result<Vec<SessionInfo>> {
        no_owners()
    }

    /// [`Error::Unsupported`]: there is no index of owners.
    async fn destroy_owned_by(&self, _: &Owner, _: Option<&SessionId>) -> Result<Vec<Ended>> {
        no_owners()
    }

    async fn clear(&self) -> Result<u64> {
        self.0.kv.clear().await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        self.0.kv.purge(limit).await?;
        Ok(Vec::new())
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
