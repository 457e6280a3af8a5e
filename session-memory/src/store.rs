//! The store: its shards, and the five operations on them.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use session_core::backend::{Counts, Meter, Operation};
use session_core::{
    Anchor, Capabilities, Draft, Ended, Error, Notice, NoticeStream, Record, Result, Saved,
    SessionDirectory, SessionId, SessionStore, Timeout, Ttl, Version, async_trait,
};
use tokio::time::Instant;

use crate::MemoryStoreBuilder;
use crate::content::Content;
use crate::deadlines::Micros;
use crate::entry::{Write, micros};
use crate::key::Key;
use crate::notices::Notices;
use crate::shard::{Garbage, HashedId, Shard};

/// How many expired sessions an operation frees.
const FREED_PER_OPERATION: usize = 4;
/// How many steps of work on many sessions are made before the shard is unlocked for others.
pub(crate) const STEPS_PER_LOCK: usize = 32;
/// How many sessions the background task frees before it sleeps: the scheduler interrupts a task
/// that never does, possibly while it holds a lock.
const FREED_BEFORE_SLEEP: usize = 256;
/// The clock's reading when the store is created, because restored sessions are older.
const EPOCH: Micros = 1 << 60;

/// A store in the memory of this process. Clones share the sessions.
#[derive(Clone)]
pub struct MemoryStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    shards: Box<[Mutex<Shard>]>,
    /// Hashes ids. Faster than SipHash and keyed too, but weaker, which is enough because clients
    /// do not choose the ids of existing sessions.
    id_hasher: foldhash::quality::RandomState,
    /// Hashes owners, whose names clients may choose.
    owner_hasher: RandomState,
    epoch: Instant,
    /// By how much a test has moved the clock ahead.
    #[cfg(feature = "testing")]
    pub(crate) ahead: std::sync::atomic::AtomicU64,
    pub(crate) options: MemoryStoreBuilder,
    /// Sessions in all shards, including expired ones that are not yet freed.
    count: AtomicUsize,
    is_sweeping: AtomicBool,
    /// The shard at which the next reap begins, so that no shard is always last.
    pub(crate) next_reap: AtomicUsize,
    pub(crate) meter: Meter,
    pub(crate) notices: Notices,
}

/// A locked shard.
pub(crate) struct Locked<'a> {
    inner: &'a Inner,
    pub(crate) shard: MutexGuard<'a, Shard>,
    pub(crate) now: Micros,
    /// Declared after the guard, so that it is freed when the shard is unlocked.
    garbage: Garbage,
}

impl MemoryStore {
    /// Creates a store with the default options: any number of sessions, no snapshot.
    #[must_use]
    pub fn new() -> Self {
        Self::empty(MemoryStoreBuilder::default())
    }

    /// Returns a builder with the default options.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    pub(crate) fn empty(options: MemoryStoreBuilder) -> Self {
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        let shards = (cores * 16).next_power_of_two();
        let (owner_hasher, grace) = (RandomState::new(), micros(options.expiry_grace));
        let shard = |_| Mutex::new(Shard::new(owner_hasher.clone(), grace));
        Self(Arc::new(Inner {
            shards: (0..shards).map(shard).collect(),
            id_hasher: foldhash::quality::RandomState::default(),
            owner_hasher,
            epoch: Instant::now(),
            #[cfg(feature = "testing")]
            ahead: std::sync::atomic::AtomicU64::new(0),
            options,
            count: AtomicUsize::new(0),
            is_sweeping: AtomicBool::new(false),
            next_reap: AtomicUsize::new(0),
            meter: Meter::new("memory"),
            notices: Notices::default(),
        }))
    }

    /// Returns the number of calls, errors and time-outs of each operation so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.meter.counts()
    }
}

impl Locked<'_> {
    /// Frees expired sessions in up to `steps` steps. Returns the number of steps.
    fn sweep_steps(&mut self, steps: usize) -> usize {
        let swept = self.shard.sweep(self.now, steps, &mut self.garbage);
        self.inner.release(swept.freed);
        swept.steps
    }

    /// Frees some expired sessions. Returns whether there may be more.
    pub(crate) fn sweep(&mut self) -> bool {
        self.sweep_steps(STEPS_PER_LOCK) == STEPS_PER_LOCK
    }

    /// Frees some expired sessions and unused memory. Returns the number of steps.
    fn sweep_and_shrink(&mut self) -> usize {
        let steps = self.sweep_steps(STEPS_PER_LOCK);
        self.shard.shrink(&mut self.garbage);
        steps
    }

    /// Removes the live session in `slot`. Its content is freed when the shard is unlocked.
    pub(crate) fn remove(&mut self, slot: u32) -> Ended {
        self.inner.release(1);
        let ended = self.shard.remove(slot, self.now, &mut self.garbage);
        self.inner.notices.ended(&ended.id);
        ended
    }

    /// Ends the session of this id if it has expired.
    fn end_expired(&mut self, id: HashedId<'_>) {
        let ended = self.shard.end_expired(id, self.now, &mut self.garbage);
        self.inner.release(usize::from(ended));
    }
}

impl Inner {
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    fn now(&self) -> Micros {
        let now = EPOCH + micros(self.epoch.elapsed());
        #[cfg(feature = "testing")]
        let now = self.moved_ahead(now);
        now
    }

    /// Locks a shard, then reads the clock: in one shard, it never goes back.
    pub(crate) fn lock(&self, index: usize) -> Locked<'_> {
        // A poisoned shard is consistent: nothing under the lock calls code that could panic.
        let shard = self.shards[index].lock();
        Locked {
            inner: self,
            shard: shard.unwrap_or_else(PoisonError::into_inner),
            now: self.now(),
            garbage: Garbage::default(),
        }
    }

    /// Locks the shard of an id and frees a few of its expired sessions.
    fn lock_shard_of<'a>(&self, id: &'a SessionId) -> (Locked<'_>, HashedId<'a>) {
        let hash = self.id_hasher.hash_one(id);
        let hashed = HashedId {
            id,
            hash: hash as u32,
        };
        let mut shard = self.lock((hash >> 32) as usize & (self.shards.len() - 1));
        shard.sweep_steps(FREED_PER_OPERATION);
        (shard, hashed)
    }

    /// Replaces a shard with an empty one and returns it.
    pub(crate) fn take_shard(&self, index: usize) -> (Shard, Micros) {
        let new = Shard::new(self.owner_hasher.clone(), micros(self.options.expiry_grace));
        let mut locked = self.lock(index);
        let old = std::mem::replace(&mut *locked.shard, new);
        self.release(old.len());
        (old, locked.now)
    }

    /// Reserves room for one more session.
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
        // Most calls release nothing; they leave the shared counter's cache line alone.
        if sessions > 0 {
            self.count.fetch_sub(sessions, Ordering::Relaxed);
        }
    }

    /// Writes a session from a snapshot.
    pub(crate) fn restore(&self, id: &SessionId, draft: &Draft, age: Duration, left: Ttl) {
        let (content, key) = (Content::of(draft), Key::of(id));
        let (mut locked, hashed) = self.lock_shard_of(id);
        let anchor = locked.now.saturating_sub(micros(age));
        let write = Write::new(draft, content, anchor, locked.now);
        let write = write.with_left(left, locked.now);
        let owner = draft.owner.as_ref();
        locked.end_expired(hashed);
        match locked.shard.live(hashed, locked.now) {
            Some(slot) => drop(locked.shard.replace(slot, write, owner)),
            None => {
                self.count.fetch_add(1, Ordering::Relaxed);
                locked.shard.insert(write.entry(key, hashed.hash), owner);
            }
        }
    }

    /// Starts the background task that frees expired sessions, if there is a runtime.
    fn start_sweeping(self: &Arc<Self>) {
        if self.is_sweeping.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.is_sweeping.swap(true, Ordering::Relaxed) {
            runtime.spawn(sweep_every_second(SweepGuard(Arc::downgrade(self))));
        }
    }
}

/// Clears `is_sweeping` when the task ends, as it does when its runtime shuts down.
struct SweepGuard(Weak<Inner>);

impl Drop for SweepGuard {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.is_sweeping.store(false, Ordering::Relaxed);
        }
    }
}

async fn sweep_every_second(guard: SweepGuard) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let shards = match guard.0.upgrade() {
            Some(inner) => inner.shards.len(),
            None => return,
        };
        let (mut freed, mut unswept) = (0, Vec::from_iter(0..shards));
        // Round-robin, so that a caller that waits for a shard gets it before its next turn.
        while !unswept.is_empty() {
            for index in std::mem::take(&mut unswept) {
                let Some(inner) = guard.0.upgrade() else {
                    return;
                };
                let steps = inner.lock(index).sweep_and_shrink();
                drop(inner);
                if steps == STEPS_PER_LOCK {
                    unswept.push(index);
                }
                freed += steps;
                if freed >= FREED_BEFORE_SLEEP {
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
        // Memory is allocated and freed without the lock, because the allocator can take long.
        let (content, key) = (Content::of(draft), Key::of(id));
        let (mut locked, hashed) = self.lock_shard_of(id);
        if let Some(slot) = locked.shard.live(hashed, locked.now) {
            self.release(1);
            return Ok(Saved::by_stamp(Some(locked.shard.stamp(slot)), draft));
        }
        locked.end_expired(hashed);
        let began = locked.now.saturating_sub(micros(draft.age_at_create()));
        let write = Write::beginning(draft, content, began, locked.now);
        let entry = write.entry(key, hashed.hash);
        locked.shard.insert(entry, draft.owner.as_ref());
        Ok(Saved::done(draft))
    }

    fn load(&self, id: &SessionId) -> Option<Record> {
        let (locked, hashed) = self.lock_shard_of(id);
        let found = locked.shard.live(hashed, locked.now);
        found.map(|slot| locked.shard.record(slot, locked.now))
    }

    fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.check(draft)?;
        let content = Content::of(draft);
        let (mut locked, hashed) = self.lock_shard_of(id);
        let Some(slot) = locked.shard.live(hashed, locked.now) else {
            return Ok(Saved::Gone);
        };
        let stamp = locked.shard.stamp(slot);
        if stamp == draft.stamp || stamp != expected.stamp() {
            return Ok(Saved::by_stamp(Some(stamp), draft));
        }
        let write = Write::new(draft, content, locked.shard.anchor(slot), locked.now);
        let old = locked.shard.replace(slot, write, draft.owner.as_ref());
        drop(locked);
        drop(old);
        // A new sign-in: streams of an earlier one close.
        if draft.anchor == Anchor::Restart && self.notices.has_listeners() {
            self.notices.send(Notice::Changed(id.clone()));
        }
        Ok(Saved::done(draft))
    }

    fn touch(&self, id: &SessionId, idle: Timeout) -> Option<Ttl> {
        let (mut locked, hashed) = self.lock_shard_of(id);
        let now = locked.now;
        let found = locked.shard.live(hashed, now);
        found.map(|slot| locked.shard.touch(slot, idle, now))
    }

    fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Option<Ended> {
        let (mut locked, hashed) = self.lock_shard_of(id);
        let found = locked.shard.live(hashed, locked.now);
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
            .with_descriptions(true)
            .with_keeps_past(true)
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        Some(self)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        let work = pin!(self.0.create(id, draft));
        let meter = &self.0.meter;
        meter
            .observe(Operation::Create, draft.data.len(), work)
            .await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let work = || Ok(self.0.load(id));
        self.0.meter.observe_now(Operation::Load, 0, work)
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let work = || self.0.save(id, draft, expected);
        let meter = &self.0.meter;
        meter.observe_now(Operation::Save, draft.data.len(), work)
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        let work = || Ok(self.0.touch(id, idle));
        self.0.meter.observe_now(Operation::Touch, 0, work)
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        let work = || Ok(self.0.destroy(id, expected));
        self.0.meter.observe_now(Operation::Destroy, 0, work)
    }

    fn notices(&self) -> Option<NoticeStream> {
        Some(self.0.notices.listen())
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
