//! The reference store with one fault.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use integration_tests::conformance::{StoreFactory, TestStore};
use integration_tests::reference::{ReferenceFactory, ReferenceStore, Row};
use session_core::{
    Anchor, Capabilities, Cursor, Draft, Ended, Error, Lifetime, Owner, Page, Record, Result,
    Saved, SessionDirectory, SessionId, SessionInfo, SessionStore, Stamp, Timeout, Ttl,
    async_trait,
};

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    PromisesNothing,
    CreateOverwrites,
    SaveCreates,
    LastWriteWins,
    CompareThenWrite,
    ForgetsItsStamp,
    SaveRestarts,
    RecreatesItsOwn,
    ResavesItsOwn,
    NoExpiryFilter,
    TornLoad,
    OwnClock,
    WholeSeconds,
    TouchWritesData,
    TouchRevives,
    TouchPassesAbsolute,
    TouchShortens,
    FoldsCase,
    TrimsSpace,
    TruncatesBlobs,
    RenameCopies,
    StaleOwners,
    OffsetCursor,
    CorruptStopsListing,
    ClearsByPrefix,
    ReapsTwice,
    ReapsLive,
    KeepsLock,
    ShowsPassword,
}

const PASSWORD: &str = "correct-horse-battery";

/// Makes stores with one fault.
pub(crate) struct BrokenFactory {
    fault: Fault,
    reference: ReferenceFactory,
    shared: Mutex<HashMap<String, Arc<Shared>>>,
}

/// What instances on one namespace share.
#[derive(Default)]
struct Shared {
    instances: AtomicUsize,
    /// Whether a write is under way, where only one may be at a time.
    busy: AtomicBool,
    /// What a forgetful index still lists of sessions that have been destroyed.
    stale: Mutex<Vec<SessionInfo>>,
}

impl BrokenFactory {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            reference: ReferenceFactory::default(),
            shared: Mutex::default(),
        }
    }
}

#[async_trait]
impl StoreFactory for BrokenFactory {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        let shared = Arc::clone(
            locked(&self.shared)
                .entry(namespace.to_owned())
                .or_default(),
        );
        Ok(TestStore::new(Broken {
            fault: self.fault,
            inner: self.reference.store(namespace),
            all: self.reference.clone(),
            instance: shared.instances.fetch_add(1, SeqCst),
            shared,
            namespace: namespace.to_owned(),
        }))
    }

    async fn corrupt(&self, namespace: &str, id: &SessionId) -> Result<bool> {
        if self.fault == Fault::PromisesNothing {
            return Ok(false);
        }
        self.reference.corrupt(namespace, id).await
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One instance of a store with a fault.
struct Broken {
    fault: Fault,
    inner: ReferenceStore,
    all: ReferenceFactory,
    shared: Arc<Shared>,
    instance: usize,
    namespace: String,
}

impl Broken {
    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// The id that a store which does not compare byte by byte takes `id` for.
    fn filed(&self, id: &SessionId) -> SessionId {
        let text = match self.fault {
            Fault::FoldsCase => id.as_str().to_lowercase(),
            Fault::TrimsSpace => id.as_str().trim_end_matches(' ').to_owned(),
            _ => return id.clone(),
        };
        SessionId::from_stored(&text).unwrap_or_else(|_| id.clone())
    }

    /// The draft as it is stored.
    fn stored(&self, draft: &Draft) -> Draft {
        let mut draft = draft.clone();
        match self.fault {
            Fault::TruncatesBlobs => draft.data.truncate(65_535),
            Fault::SaveRestarts => draft.anchor = Anchor::Restart,
            Fault::WholeSeconds => {
                let Lifetime { idle, absolute } = draft.lifetime;
                draft.lifetime = Lifetime::new(whole_seconds(idle), whole_seconds(absolute));
            }
            _ => {}
        }
        draft
    }

    /// Lets others get in between.
    async fn pause(&self) {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }

    /// A record as an instance with a clock of its own tells of it.
    fn told(&self, mut record: Record) -> Record {
        if let (Fault::OwnClock, Ttl::Left(left)) = (self.fault, record.ttl) {
            let ahead = Duration::from_secs(60) * self.instance as u32;
            record.ttl = Ttl::Left(left.saturating_sub(ahead));
        }
        record
    }

    /// Writes over the session if it is the same draft that is there.
    fn write_own_again(&self, id: &SessionId, draft: &Draft) {
        let (mut rows, now) = (self.inner.rows(), Instant::now());
        if let Some(row) = rows.get_mut(id).filter(|row| row.stamp == draft.stamp) {
            *row = Row::new(draft, row.began, now);
        }
    }

    async fn save_as_written(
        &self,
        id: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        match self.fault {
            Fault::LastWriteWins => {
                let Some(found) = self.inner.load(id).await? else {
                    return Ok(Saved::Gone);
                };
                self.inner.save(id, draft, found.stamp).await
            }
            Fault::CompareThenWrite => {
                let found = self.inner.load(id).await?;
                match found {
                    None => return Ok(Saved::Gone),
                    Some(found) if found.stamp == draft.stamp => {}
                    Some(found) if found.stamp != expected => return Ok(Saved::Conflict),
                    Some(_) => {}
                }
                self.pause().await;
                if let Some(row) = self.inner.rows().get_mut(id) {
                    *row = Row::new(draft, row.began, Instant::now());
                }
                Ok(Saved::Done(draft.stamp))
            }
            Fault::ResavesItsOwn => {
                self.write_own_again(id, draft);
                self.inner.save(id, draft, expected).await
            }
            Fault::SaveCreates => match self.inner.save(id, draft, expected).await? {
                Saved::Gone => self.inner.create(id, draft).await.map(Saved::Done),
                saved => Ok(saved),
            },
            Fault::ForgetsItsStamp => {
                let found = self.inner.load(id).await?;
                if found.is_some_and(|found| found.stamp == draft.stamp) {
                    return Ok(Saved::Conflict);
                }
                self.inner.save(id, draft, expected).await
            }
            Fault::KeepsLock => {
                while self.shared.busy.swap(true, SeqCst) {
                    self.pause().await;
                }
                self.pause().await;
                let saved = self.inner.save(id, draft, expected).await;
                // If the future is dropped before, nobody does this.
                self.shared.busy.store(false, SeqCst);
                saved
            }
            _ => self.inner.save(id, draft, expected).await,
        }
    }
}

fn whole_seconds(timeout: Timeout) -> Timeout {
    match timeout {
        Timeout::After(limit) => Timeout::After(Duration::from_secs(limit.as_secs())),
        Timeout::Never => Timeout::Never,
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Broken");
        if self.has(Fault::ShowsPassword) {
            shown.field("url", &format!("db://app:{PASSWORD}@db"));
        }
        shown.finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for Broken {
    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::PromisesNothing => Capabilities::new(),
            _ => self.inner.capabilities(),
        }
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        (!self.has(Fault::PromisesNothing)).then_some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        let (id, draft) = (self.filed(id), self.stored(draft));
        if self.has(Fault::CreateOverwrites) {
            self.inner.destroy(&id).await?;
        }
        if self.has(Fault::RecreatesItsOwn) {
            self.write_own_again(&id, &draft);
        }
        self.inner.create(&id, &draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let id = self.filed(id);
        if self.has(Fault::NoExpiryFilter) {
            let mut rows = self.inner.rows();
            if let Some(row) = rows.get_mut(&id) {
                row.deadline = None;
            }
        }
        let Some(record) = self.inner.load(&id).await? else {
            return Ok(None);
        };
        let mut record = self.told(record);
        if self.has(Fault::TornLoad) {
            self.pause().await;
            let later = self.inner.load(&id).await?;
            record.owner = later.map_or(record.owner, |later| later.owner);
        }
        Ok(Some(record))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        let (id, draft) = (self.filed(id), self.stored(draft));
        self.save_as_written(&id, &draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let id = self.filed(id);
        let now = Instant::now();
        match self.fault {
            Fault::TouchWritesData => {
                let before = self.inner.rows().get(&id).cloned();
                self.pause().await;
                if let (Some(row), Some(before)) = (self.inner.rows().get_mut(&id), before) {
                    *row = before;
                }
            }
            Fault::TouchRevives => {
                if let Some(row) = self.inner.rows().get_mut(&id) {
                    row.deadline = row.deadline_after(idle, now).or(row.deadline);
                }
            }
            Fault::TouchPassesAbsolute => {
                if let Some(row) = self.inner.rows().get_mut(&id) {
                    row.deadline = idle.duration().map(|idle| now + idle);
                }
            }
            Fault::TouchShortens => {
                if let Some(row) = self.inner.rows().get_mut(&id) {
                    row.deadline = row.deadline_after(idle, now);
                }
            }
            _ => {}
        }
        self.inner.touch(&id, idle).await
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        let (from, to, draft) = (self.filed(from), self.filed(to), self.stored(draft));
        let before = self.inner.rows().get(&from).cloned();
        let saved = self.inner.rename(&from, &to, &draft, expected).await?;
        if let (Fault::RenameCopies, Some(before)) = (self.fault, before) {
            self.inner.rows().insert(from, before);
        }
        Ok(saved)
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let id = self.filed(id);
        if self.has(Fault::StaleOwners) {
            let listed = self.inner.list(None, usize::MAX).await?.sessions;
            let ended = listed.into_iter().filter(|info| info.id == id);
            locked(&self.shared.stale).extend(ended);
        }
        self.inner.destroy(&id).await
    }
}

#[async_trait]
impl SessionDirectory for Broken {
    async fn count(&self) -> Result<u64> {
        self.inner.count().await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        match self.fault {
            Fault::OffsetCursor => {
                let skip: usize = cursor
                    .map_or(Ok(0), |cursor| cursor.as_str().parse())
                    .map_err(|_| Error::misconfigured("no cursor of this store"))?;
                let all = self.inner.list(None, usize::MAX).await?.sessions;
                let end = skip.saturating_add(limit);
                let next = (end < all.len()).then(|| Cursor::new(end.to_string()));
                let sessions = all.into_iter().skip(skip).take(limit).collect();
                Ok(Page { sessions, next })
            }
            Fault::CorruptStopsListing
                if self.inner.rows().values().any(|row| row.data.is_none()) =>
            {
                Err(Error::corrupt("one of the listed"))
            }
            _ => self.inner.list(cursor, limit).await,
        }
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let mut owned = self.inner.owned_by(owner).await?;
        let stale = locked(&self.shared.stale);
        owned.extend(
            stale
                .iter()
                .filter(|info| info.owner.as_ref() == Some(owner))
                .cloned(),
        );
        Ok(owned)
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        self.inner.destroy_owned_by(owner, except).await
    }

    async fn clear(&self) -> Result<u64> {
        let cleared = self.inner.clear().await?;
        if self.has(Fault::ClearsByPrefix) {
            for name in self.all.namespaces() {
                if name.starts_with(&self.namespace) {
                    self.all.store(&name).clear().await?;
                }
            }
        }
        Ok(cleared)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let now = Instant::now();
        match self.fault {
            Fault::ReapsTwice => {
                let due: Vec<Ended> = self
                    .inner
                    .rows()
                    .iter()
                    .filter(|(_, row)| !row.is_live(now))
                    .map(|(id, row)| row.ended(id, now))
                    .take(limit)
                    .collect();
                self.pause().await;
                for one in &due {
                    self.inner.rows().remove(&one.id);
                }
                Ok(due)
            }
            Fault::ReapsLive => {
                let mut rows = self.inner.rows();
                let due = rows
                    .extract_if(.., |_, row| row.deadline.is_some())
                    .take(limit);
                Ok(due.map(|(id, row)| row.ended(&id, now)).collect())
            }
            _ => self.inner.reap(limit).await,
        }
    }
}
