//! A small and correct store in one map.
//!
//! Use it as an example for a store of your own, or as the store below a wrapper in tests. The
//! suite's own tests add faults to it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use session_core::{
    Anchor, Bytes, Capabilities, Credential, Cursor, Description, Draft, Ended, Error, Lifetime,
    Owner, Page, Record, Result, Saved, SessionDirectory, SessionId, SessionInfo, SessionStore,
    Stamp, Timeout, Ttl, Version, async_trait,
};

use crate::{StoreFactory, TestStore};

/// The maximum size of a session's data in the reference store, in bytes.
pub const MAX_DATA: usize = 8 * 1024 * 1024;

/// How long a reaper has to confirm a report before the session is reported again.
const CLAIM: Duration = Duration::from_secs(60);

/// The prefix of this store's cursors.
const CURSOR: &str = "after:";

/// A store in one map under one lock. Clones share the sessions.
#[derive(Clone, Default)]
pub struct ReferenceStore {
    rows: Arc<Mutex<Rows>>,
}

/// All sessions of a store, including expired ones that are not yet reaped.
pub type Rows = BTreeMap<SessionId, Row>;

/// One stored session. It has no `Debug`, because it contains the session's data.
#[derive(Clone)]
pub struct Row {
    /// The session's data; `None` if the record is corrupt.
    pub data: Option<Bytes>,
    /// The stamp of the last write.
    pub stamp: Stamp,
    /// The credential that verifies its token.
    pub credential: Option<Credential>,
    /// What its user recognises it by.
    pub description: Option<Description>,
    /// The principal that the session belongs to.
    pub owner: Option<Owner>,
    /// Its limits, in whole milliseconds.
    pub lifetime: Lifetime,
    /// The moment from which the age and the absolute limit count.
    pub began: Instant,
    /// When the session ends; `None` means never.
    pub deadline: Option<Instant>,
    /// Until when a reaper reports the expired session.
    pub claimed: Option<Instant>,
}

impl Row {
    /// Creates the row that `draft` stores now, for a session that began at `began`.
    #[must_use]
    pub fn new(draft: &Draft, began: Instant, now: Instant) -> Self {
        let began = match draft.anchor {
            Anchor::Keep => began,
            Anchor::Restart => now,
        };
        let lifetime = Lifetime {
            idle: Timeout::from_millis(draft.lifetime.idle.millis()),
            absolute: Timeout::from_millis(draft.lifetime.absolute.millis()),
        };
        let mut row = Self {
            data: Some(draft.data.clone()),
            stamp: draft.stamp,
            credential: draft.credential.clone(),
            description: draft.description.clone(),
            owner: draft.owner.clone(),
            lifetime,
            began,
            deadline: None,
            claimed: None,
        };
        row.deadline = row.deadline_after(lifetime.idle, now);
        row
    }

    /// Creates the row of a new session, which may have begun in another store.
    #[must_use]
    pub fn created(draft: &Draft, now: Instant) -> Self {
        let mut row = Self::new(draft, now, now);
        if draft.past.is_some() {
            // A clock that began later than the session knows no such moment.
            row.began = now.checked_sub(draft.age_at_create()).unwrap_or(now);
            let left = draft.left_at_create().duration();
            row.deadline = left.map(|left| now + left);
        }
        row
    }

    /// Returns the deadline of the session if it is used now with the idle limit `idle`.
    #[must_use]
    pub fn deadline_after(&self, idle: Timeout, now: Instant) -> Option<Instant> {
        let idle = idle.duration().map(|limit| now + limit);
        let absolute = self.lifetime.absolute.duration();
        let absolute = absolute.map(|limit| self.began + limit);
        earlier(idle, absolute)
    }

    /// Returns whether the session is visible; at its deadline it no longer is.
    #[must_use]
    pub fn is_live(&self, now: Instant) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    /// Returns whether the session is live and belongs to `owner`.
    #[must_use]
    pub fn is_owned_by(&self, owner: &Owner, now: Instant) -> bool {
        self.is_live(now) && self.owner.as_ref() == Some(owner)
    }

    fn ttl(&self, now: Instant) -> Ttl {
        self.deadline.map_or(Ttl::Never, |deadline| {
            Ttl::Left(deadline.saturating_duration_since(now))
        })
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    fn record(&self, now: Instant) -> Result<Record> {
        let data = self.data.clone();
        Ok(Record::new(
            data.ok_or_else(|| Error::corrupt("it has no data"))?,
            Version::new(self.stamp),
            self.lifetime,
            self.ttl(now),
            self.age(now),
        )
        .with_credential(self.credential.clone())
        .with_description(self.description.clone())
        .with_owner(self.owner.clone()))
    }

    fn info(&self, id: &SessionId, now: Instant) -> SessionInfo {
        SessionInfo::new(
            id.clone(),
            self.lifetime,
            self.ttl(now),
            self.age(now),
            self.data.as_ref().map_or(0, Bytes::len),
        )
        .with_description(self.description.clone())
        .with_owner(self.owner.clone())
    }

    /// Returns what a store reports when it has removed the session.
    #[must_use]
    pub fn ended(&self, id: &SessionId, now: Instant) -> Ended {
        Ended::new(id.clone(), self.owner.clone(), Some(self.age(now)))
    }
}

/// The earlier of two deadlines; `None` means never.
fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl ReferenceStore {
    /// Creates a store without sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks and returns the stored sessions, including expired ones, for tests and for stores with
    /// faults. All operations block until the guard is dropped.
    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ReferenceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReferenceStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for ReferenceStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_expiry_reports(true)
            .with_descriptions(true)
            .with_keeps_past(true)
            .with_max_data(MAX_DATA)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        check_size(draft)?;
        let (mut rows, now) = (self.rows(), Instant::now());
        if let Some(row) = rows.get(id).filter(|row| row.is_live(now)) {
            return Ok(Saved::by_stamp(Some(row.stamp), draft));
        }
        rows.insert(id.clone(), Row::created(draft, now));
        Ok(Saved::done(draft))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let (rows, now) = (self.rows(), Instant::now());
        let live = rows.get(id).filter(|row| row.is_live(now));
        live.map(|row| row.record(now)).transpose()
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        check_size(draft)?;
        let (mut rows, now) = (self.rows(), Instant::now());
        let Some(row) = rows.get_mut(id).filter(|row| row.is_live(now)) else {
            return Ok(Saved::Gone);
        };
        // If the draft is already stored, nothing is written, and the deadline does not move.
        if row.stamp == draft.stamp || row.stamp != expected.stamp() {
            return Ok(Saved::by_stamp(Some(row.stamp), draft));
        }
        *row = Row::new(draft, row.began, now);
        Ok(Saved::done(draft))
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let (mut rows, now) = (self.rows(), Instant::now());
        let Some(row) = rows.get_mut(id).filter(|row| row.is_live(now)) else {
            return Ok(None);
        };
        let idle = Timeout::from_millis(idle.millis());
        row.deadline = match (row.deadline, row.deadline_after(idle, now)) {
            (Some(current), Some(extended)) => Some(current.max(extended)),
            _ => None,
        };
        Ok(Some(row.ttl(now)))
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let (mut rows, now) = (self.rows(), Instant::now());
        let is_meant = |row: &Row| {
            let is_expected = expected.is_none_or(|expected| row.stamp == expected.stamp());
            row.is_live(now) && is_expected
        };
        if !rows.get(id).is_some_and(is_meant) {
            return Ok(None);
        }
        Ok(rows.remove(id).map(|row| row.ended(id, now)))
    }
}

#[async_trait]
impl SessionDirectory for ReferenceStore {
    async fn count(&self) -> Result<u64> {
        let (rows, now) = (self.rows(), Instant::now());
        Ok(rows.values().filter(|row| row.is_live(now)).count() as u64)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (rows, now) = (self.rows(), Instant::now());
        page(&rows, cursor, limit, now, |row| row.is_live(now))
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (rows, now) = (self.rows(), Instant::now());
        let is_theirs = |row: &Row| row.is_owned_by(owner, now);
        page(&rows, cursor, limit, now, is_theirs)
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let (mut rows, now) = (self.rows(), Instant::now());
        let theirs = rows.extract_if(.., |id, row| {
            row.is_owned_by(owner, now) && Some(id) != except
        });
        let ended = theirs.take(limit.max(1));
        Ok(ended.map(|(id, row)| row.ended(&id, now)).collect())
    }

    async fn clear(&self) -> Result<u64> {
        let (mut rows, now) = (self.rows(), Instant::now());
        let live = rows.values().filter(|row| row.is_live(now)).count();
        rows.clear();
        Ok(live as u64)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let (mut rows, now) = (self.rows(), Instant::now());
        let unclaimed = |row: &Row| row.claimed.is_none_or(|until| until <= now);
        let expired = (rows.iter_mut()).filter(|(_, row)| !row.is_live(now) && unclaimed(row));
        let claim = |(id, row): (&SessionId, &mut Row)| {
            row.claimed = Some(now + CLAIM);
            row.ended(id, now)
        };
        Ok(expired.take(limit).map(claim).collect())
    }

    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        let (mut rows, now) = (self.rows(), Instant::now());
        for ended in reaped {
            // A session that was created anew under this id is not claimed.
            let row = rows.get(&ended.id);
            if row.is_some_and(|row| !row.is_live(now) && row.claimed.is_some()) {
                rows.remove(&ended.id);
            }
        }
        Ok(())
    }
}

fn check_size(draft: &Draft) -> Result<()> {
    Error::check_size("record", draft.data.len(), MAX_DATA)
}

/// Lists up to `limit` rows for which `listed` holds, in the order of their ids, from `cursor` on.
fn page(
    rows: &Rows,
    cursor: Option<&Cursor>,
    limit: usize,
    now: Instant,
    listed: impl Fn(&Row) -> bool,
) -> Result<Page> {
    let start = match cursor {
        Some(cursor) => Bound::Excluded(parse_cursor(cursor)?),
        None => Bound::Unbounded,
    };
    let rows = rows.range((start, Bound::Unbounded));
    let mut rows = rows.filter(|(_, row)| listed(row));
    let page = rows.by_ref().take(limit.max(1));
    let sessions: Vec<SessionInfo> = page.map(|(id, row)| row.info(id, now)).collect();
    let next = rows.next().and(sessions.last());
    let next = next.map(|last| Cursor::new(format!("{CURSOR}{}", last.id.as_str())));
    Ok(Page::new(sessions, next))
}

fn parse_cursor(cursor: &Cursor) -> Result<SessionId> {
    let id = cursor.as_str().strip_prefix(CURSOR);
    id.and_then(|id| SessionId::from_stored(id).ok())
        .ok_or_else(|| Error::misconfigured("invalid cursor: it is not from this store"))
}

/// Opens reference stores that share their sessions by namespace, and corrupts sessions.
#[derive(Clone, Debug, Default)]
pub struct ReferenceFactory {
    stores: Arc<Mutex<HashMap<String, ReferenceStore>>>,
}

impl ReferenceFactory {
    /// Returns the store of this namespace.
    #[must_use]
    pub fn store(&self, namespace: &str) -> ReferenceStore {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(namespace.to_owned()).or_default().clone()
    }

    /// Returns the namespaces that have a store.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.keys().cloned().collect()
    }
}

#[async_trait]
impl StoreFactory for ReferenceFactory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        Ok(TestStore::new(self.store(namespace)))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        if let Some(row) = self.store(namespace).rows().get_mut(id) {
            row.data = None;
        }
        Ok(true)
    }

    async fn lapse_claims(&self, namespace: &str) -> Result<bool> {
        for row in self.store(namespace).rows().values_mut() {
            row.claimed = row.claimed.map(|_| Instant::now());
        }
        Ok(true)
    }
}
