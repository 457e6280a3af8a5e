//! The five operations, on shards in memory.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use session_core::backend::{Counts, Meter, Operation};
use session_core::{
    Capabilities, Draft, Ended, Error, Record, Result, Saved, SessionDirectory, SessionId,
    SessionStore, Timeout, Ttl, Version, async_trait,
};
use tokio::time::Instant;

use crate::MemoryStoreBuilder;
use crate::content::Content;
use crate::deadlines::Micros;
use crate::entry::{Write, micros};
use crate::key::Key;
use crate::shard::{Garbage, Name, Shard};

/// How many expired sessions an operation frees on its way.
const FREED_PER_OPERATION: usize = 4;
/// How many steps of what has to be done for many sessions are made before others get the shard.
pub(crate) const STEPS: usize = 32;
/// How many the background task frees before it rests: who works without a pause is interrupted
/// by the scheduler, maybe while others wait for its shard.
const FREED_AT_ONCE: usize = 256;
/// What the clock says when the store is made: sessions restored from a snapshot are older.
const EPOCH: Micros = 1 << 60;

/// Sessions in the memory of this process. Clones share them.
#[derive(Clone)]
pub struct MemoryStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    shards: Box<[Mutex<Shard>]>,
    /// Quicker than SipHash, and keyed as that is. It need not be as strong: clients do not choose
    /// the ids of sessions that exist.
    hasher: foldhash::quality::RandomState,
    /// Clients may choose the names of owners.
    owners: RandomState,
    epoch: Instant,
    pub(crate) options: MemoryStoreBuilder,
    /// Sessions in all shards, expired ones that were not yet freed too.
    count: AtomicUsize,
    sweeping: AtomicBool,
    /// Where the next reap begins, so that no shard waits behind the others.
    pub(crate) next_reap: AtomicUsize,
    pub(crate) meter: Meter,
}

/// A shard that others wait for.
pub(crate) struct Locked<'a> {
    inner: &'a Inner,
    pub(crate) shard: MutexGuard<'a, Shard>,
    pub(crate) now: Micros,
    /// Freed after the shard was unlocked, for fields are dropped in their order.
    garbage: Garbage,
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
        let (owners, grace) = (RandomState::new(), micros(options.expiry_grace));
        let shard = |_| Mutex::new(Shard::new(owners.clone(), grace));
        Self(Arc::new(Inner {
            shards: (0..shards).map(shard).collect(),
            hasher: foldhash::quality::RandomState::default(),
            owners,
            epoch: Instant::now(),
            options,
            count: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
            next_reap: AtomicUsize::new(0),
            meter: Meter::new("memory"),
        }))
    }

    /// What the store has done so far, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.meter.counts()
    }
}

impl Locked<'_> {
    /// Makes up to `steps` steps in freeing what has expired, and says how many.
    fn sweep_in(&mut self, steps: usize) -> usize {
        let swept = self.shard.sweep(self.now, steps, &mut self.garbage);
        self.inner.release(swept.freed);
        swept.steps
    }

    /// Makes some steps in freeing all that has expired. Says whether there is more.
    pub(crate) fn sweep(&mut self) -> bool {
        self.sweep_in(STEPS) == STEPS
    }

    /// The same, and gives the memory back that is left over. Says how many steps it made.
    fn sweep_and_shrink(&mut self) -> usize {
        let steps = self.sweep_in(STEPS);
        self.shard.shrink(&mut self.garbage);
        steps
    }

    /// Removes the live session in `slot`. Its content is freed after the shard was unlocked.
    pub(crate) fn remove(&mut self, slot: u32) -> Ended {
        self.inner.release(1);
        self.shard.remove(slot, self.now, &mut self.garbage)
    }

    /// Frees the expired session of this name, if there is one.
    fn bury(&mut self, name: Name<'_>) {
        let buried = self.shard.bury(name, self.now, &mut self.garbage);
        self.inner.release(usize::from(buried));
    }
}

impl Inner {
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// A shard. The clock is read once it is ours, so it never goes back in there.
    pub(crate) fn lock(&self, index: usize) -> Locked<'_> {
        // No shard is left half changed: nothing in it calls code that could panic.
        let shard = self.shards[index].lock();
        Locked {
            inner: self,
            shard: shard.unwrap_or_else(PoisonError::into_inner),
            now: EPOCH + micros(self.epoch.elapsed()),
            garbage: Garbage::default(),
        }
    }

    /// The shard of an id, after it was freed of a few expired sessions, and the id's name there.
    fn open<'a>(&self, id: &'a SessionId) -> (Locked<'_>, Name<'a>) {
        let hash = self.hasher.hash_one(id);
        let name = Name {
            id,
            hash: hash as u32,
        };
        let mut shard = self.lock((hash >> 32) as usize & (self.shards.len() - 1));
        shard.sweep_in(FREED_PER_OPERATION);
        (shard, name)
    }

    /// A shard as good as new, and what was in it.
    pub(crate) fn take(&self, index: usize) -> (Shard, Micros) {
        let new = Shard::new(self.owners.clone(), micros(self.options.expiry_grace));
        let mut locked = self.lock(index);
        let old = std::mem::replace(&mut *locked.shard, new);
        self.release(old.len());
        (old, locked.now)
    }

    /// Claims room for one more session.
    async fn reserve(&self) -> Result<()> {
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
            for index in 0..self.shards.len() {
                while self.lock(index).sweep() {
                    tokio::task::yield_now().await;
                }
            }
            claim().map_err(|_| Error::full(limit))?;
        }
        Ok(())
    }

    pub(crate) fn release(&self, sessions: usize) {
        // Most release nothing, and need not wait for the others' counting.
        if sessions > 0 {
            self.count.fetch_sub(sessions, Ordering::Relaxed);
        }
    }

    /// Puts a session from a snapshot in place.
    pub(crate) fn restore(&self, id: &SessionId, draft: &Draft, age: Duration, left: Ttl) {
        let (content, key) = (Content::of(draft), Key::of(id));
        let (mut locked, name) = self.open(id);
        let born = locked.now.saturating_sub(micros(age));
        let write = Write::new(draft, content, born, locked.now);
        let write = write.with_left(left, locked.now);
        let owner = draft.owner.as_ref();
        locked.bury(name);
        match locked.shard.live(name, locked.now) {
            Some(slot) => drop(locked.shard.replace(slot, write, owner)),
            None => {
                self.count.fetch_add(1, Ordering::Relaxed);
                locked.shard.insert(write.entry(key, name.hash), owner);
            }
        }
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
        let (mut freed, mut busy) = (0, Vec::from_iter(0..shards));
        // One step of each in turn: who waits for a shard has it before we come again.
        while !busy.is_empty() {
            for index in std::mem::take(&mut busy) {
                let Some(inner) = sweeping.0.upgrade() else {
                    return;
                };
                let steps = inner.lock(index).sweep_and_shrink();
                drop(inner);
                if steps == STEPS {
                    busy.push(index);
                }
                freed += steps;
                if freed >= FREED_AT_ONCE {
                    freed = 0;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    }
}

impl Inner {
    fn check(&self, draft: &Draft) -> Result<()> {
        Error::check_size("record", draft.data.len(), self.options.max_data)
    }

    async fn create(self: &Arc<Self>, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.check(draft)?;
        self.start_sweeping();
        self.reserve().await?;
        // Memory is taken before the lock and freed after it: the allocator can take long.
        let (content, key) = (Content::of(draft), Key::of(id));
        let (mut locked, name) = self.open(id);
        if let Some(slot) = locked.shard.live(name, locked.now) {
            self.release(1);
            return Ok(Saved::by_stamp(Some(locked.shard.stamp(slot)), draft));
        }
        locked.bury(name);
        let entry = Write::new(draft, content, locked.now, locked.now);
        let entry = entry.entry(key, name.hash);
        locked.shard.insert(entry, draft.owner.as_ref());
        Ok(Saved::done(draft))
    }

    fn load(&self, id: &SessionId) -> Option<Record> {
        let (locked, name) = self.open(id);
        let found = locked.shard.live(name, locked.now);
        found.map(|slot| locked.shard.record(slot, locked.now))
    }

    fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let content = Content::of(draft);
        let (mut locked, name) = self.open(id);
        let Some(slot) = locked.shard.live(name, locked.now) else {
            return Ok(Saved::Gone);
        };
        let stamp = locked.shard.stamp(slot);
        if stamp == draft.stamp || stamp != expected.stamp() {
            return Ok(Saved::by_stamp(Some(stamp), draft));
        }
        let write = Write::new(draft, content, locked.shard.born(slot), locked.now);
        let old = locked.shard.replace(slot, write, draft.owner.as_ref());
        drop(locked);
        drop(old);
        Ok(Saved::done(draft))
    }

    fn touch(&self, id: &SessionId, idle: Timeout) -> Option<Ttl> {
        let (mut locked, name) = self.open(id);
        let now = locked.now;
        let found = locked.shard.live(name, now);
        found.map(|slot| locked.shard.touch(slot, idle, now))
    }

    fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Option<Ended> {
        let (mut locked, name) = self.open(id);
        let found = locked.shard.live(name, locked.now);
        let found = found.filter(|slot| {
            let stamp = locked.shard.stamp(*slot);
            expected.is_none_or(|expected| expected.stamp() == stamp)
        });
        found.map(|slot| locked.remove(slot))
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

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let work = self.0.create(id, draft);
        self.0.meter.observe(Operation::Create, work).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let work = || Ok(self.0.load(id));
        self.0.meter.observe_now(Operation::Load, work)
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let work = || self.0.save(id, draft, expected);
        self.0.meter.observe_now(Operation::Save, work)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let work = || Ok(self.0.touch(id, idle));
        self.0.meter.observe_now(Operation::Touch, work)
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let work = || Ok(self.0.destroy(id, expected));
        self.0.meter.observe_now(Operation::Destroy, work)
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
