//! The six operations, on shards in memory.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use session_core::{
    Capabilities, Draft, Error, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    Stamp, Timeout, Ttl, async_trait,
};
use tokio::time::Instant;

use crate::MemoryStoreBuilder;
use crate::shard::{Entry, Micros, Shard, micros};

/// How many expired sessions an operation frees on its way.
const FREED_PER_OPERATION: usize = 4;
/// How many the background task frees before it lets others have the shard.
pub(crate) const FREED_AT_ONCE: usize = 256;

/// What the clock says when the store is made: sessions restored from a snapshot are older.
const EPOCH: Micros = 1 << 60;

/// Sessions in the memory of this process. Clones share them.
#[derive(Clone)]
pub struct MemoryStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    epoch: Instant,
    pub(crate) options: MemoryStoreBuilder,
    /// Sessions in all shards, expired ones that were not yet freed too.
    count: AtomicUsize,
    sweeping: AtomicBool,
    /// Where the next reap begins, so that no shard waits behind the others.
    pub(crate) next_reap: AtomicUsize,
}

impl MemoryStore {
    /// A store without a limit on sessions.
    #[must_use]
    pub fn new() -> Self {
        Self::empty(MemoryStoreBuilder::default())
    }

    /// Sets a store up.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    pub(crate) fn empty(options: MemoryStoreBuilder) -> Self {
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        let shards = (cores * 16).next_power_of_two();
        Self(Arc::new(Inner {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            epoch: Instant::now(),
            options,
            count: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
            next_reap: AtomicUsize::new(0),
        }))
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.0.options.max_data)
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Micros {
        EPOCH + micros(self.epoch.elapsed())
    }

    pub(crate) fn grace(&self) -> Micros {
        micros(self.options.expiry_grace)
    }

    /// The shard at `index`, after it was freed of a few expired sessions.
    pub(crate) fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        let mut shard = self.lock(index);
        self.sweep(&mut shard, FREED_PER_OPERATION);
        shard
    }

    pub(crate) fn sweep(&self, shard: &mut Shard, limit: usize) -> usize {
        let freed = shard.sweep(self.now(), limit, self.grace());
        self.count.fetch_sub(freed, Ordering::Relaxed);
        freed
    }

    /// Frees everything that has expired, without keeping any shard for long.
    pub(crate) fn sweep_all(&self) {
        for index in 0..self.shards.len() {
            while self.sweep(&mut self.lock(index), FREED_AT_ONCE) == FREED_AT_ONCE {}
        }
    }

    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        // No shard is left half changed: nothing in it calls code that could panic.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn index_of(&self, id: &SessionId) -> usize {
        let hash = self.hasher.hash_one(id);
        // The low bits choose the place within the shard's own map.
        usize::try_from(hash >> 32).unwrap_or(0) & (self.shards.len() - 1)
    }

    pub(crate) fn shard_of(&self, id: &SessionId) -> MutexGuard<'_, Shard> {
        self.shard(self.index_of(id))
    }

    /// Claims room for one more session.
    fn reserve(&self) -> Result<()> {
        let Some(limit) = self.options.max_sessions else {
            self.count.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let claim = || {
            self.count
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < limit).then_some(count + 1)
                })
        };
        if claim().is_err() {
            // Expired sessions must not keep new ones out.
            self.sweep_all();
            claim().map_err(|_| Error::Full { limit })?;
        }
        Ok(())
    }

    pub(crate) fn release(&self, sessions: usize) {
        self.count.fetch_sub(sessions, Ordering::Relaxed);
    }

    /// Puts a session into a locked shard, with its share of the count.
    pub(crate) fn put(&self, shard: &mut Shard, id: SessionId, entry: Entry) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.release(usize::from(shard.put(id, entry).is_some()));
    }

    /// Starts the task that frees expired sessions, where there is a runtime for it.
    fn start_sweeping(self: &Arc<Self>) {
        if self.sweeping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.sweeping.swap(true, Ordering::Relaxed) {
            runtime.spawn(sweep_every_second(Sweeping(Arc::downgrade(self))));
        }
    }
}

/// Says that the task is running, for as long as it is: runtimes end too.
struct Sweeping(Weak<Inner>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.sweeping.store(false, Ordering::Relaxed);
        }
    }
}

async fn sweep_every_second(sweeping: Sweeping) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shards = match sweeping.0.upgrade() {
            Some(inner) => inner.shards.len(),
            None => return,
        };
        for index in 0..shards {
            loop {
                let Some(inner) = sweeping.0.upgrade() else {
                    return;
                };
                if inner.sweep(&mut inner.lock(index), FREED_AT_ONCE) < FREED_AT_ONCE {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        let options = &self.0.options;
        Capabilities::new()
            .with_expiry_reports(!options.expiry_grace.is_zero())
            .with_max_data(options.max_data)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.check(draft)?;
        self.0.start_sweeping();
        self.0.reserve()?;
        let mut shard = self.0.shard_of(id);
        let now = self.0.now();
        if let Some(entry) = shard.live(id, now) {
            self.0.release(1);
            return match entry.stamp == draft.stamp {
                true => Ok(draft.stamp),
                false => Err(Error::AlreadyExists),
            };
        }
        let replaced = shard.put(id.clone(), Entry::new(draft, now, now));
        self.0.release(usize::from(replaced.is_some()));
        Ok(draft.stamp)
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let shard = self.0.shard_of(id);
        let now = self.0.now();
        Ok(shard.live(id, now).map(|entry| entry.record(now)))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.check(draft)?;
        let mut shard = self.0.shard_of(id);
        let now = self.0.now();
        let Some(entry) = shard.live(id, now) else {
            return Ok(Saved::Gone);
        };
        if entry.stamp == draft.stamp {
            return Ok(Saved::Done(draft.stamp));
        }
        if entry.stamp != expected {
            return Ok(Saved::Conflict);
        }
        let entry = Entry::new(draft, entry.born(), now);
        shard.put(id.clone(), entry);
        Ok(Saved::Done(draft.stamp))
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let mut shard = self.0.shard_of(id);
        let now = self.0.now();
        Ok(shard.live_mut(id, now).map(|entry| entry.touch(idle, now)))
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.check(draft)?;
        let mut pair = self.0.lock_pair(from, to);
        let now = self.0.now();
        let target = pair.to().live(to, now).map(|entry| entry.stamp);
        let source = pair.from().live(from, now);
        let source = source.map(|entry| (entry.stamp, entry.born()));
        match (source, target) {
            (_, Some(stamp)) if stamp == draft.stamp => return Ok(Saved::Done(stamp)),
            (None, _) => return Ok(Saved::Gone),
            (Some((stamp, _)), _) if stamp != expected => return Ok(Saved::Conflict),
            (Some(_), Some(_)) if from != to => return Err(Error::AlreadyExists),
            (Some((_, born)), _) => {
                let entry = Entry::new(draft, born, now);
                self.0
                    .release(usize::from(pair.from().take(from).is_some()));
                self.0.put(pair.to(), to.clone(), entry);
            }
        }
        Ok(Saved::Done(draft.stamp))
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        let mut shard = self.0.shard_of(id);
        if shard.live(id, self.0.now()).is_none() {
            return Ok(false);
        }
        self.0.release(usize::from(shard.take(id).is_some()));
        Ok(true)
    }
}

/// The shards of two ids, which may be one.
struct Pair<'a> {
    from: MutexGuard<'a, Shard>,
    to: Option<MutexGuard<'a, Shard>>,
}

impl Pair<'_> {
    fn from(&mut self) -> &mut Shard {
        &mut self.from
    }

    fn to(&mut self) -> &mut Shard {
        self.to.as_mut().unwrap_or(&mut self.from)
    }
}

impl Inner {
    /// Locks in the order of the shards, so that two renames can't wait for each other.
    fn lock_pair(&self, from: &SessionId, to: &SessionId) -> Pair<'_> {
        let (from, to) = (self.index_of(from), self.index_of(to));
        let early_to = (to < from).then(|| self.shard(to));
        let from_guard = self.shard(from);
        let late_to = (to > from).then(|| self.shard(to));
        Pair {
            from: from_guard,
            to: early_to.or(late_to),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.0.count.load(Ordering::Relaxed))
            .field("options", &self.0.options)
            .finish()
    }
}
