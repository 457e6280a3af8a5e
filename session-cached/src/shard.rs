//! A part of the copies, behind one lock.
//!
//! A hand-written table, because a load that was under way when its session was written must not
//! fill it: whether one may is decided under the lock that drops a copy. Eviction is a queue with a
//! second chance for what was served since it came by.

use std::collections::VecDeque;

use hashbrown::HashTable;
use session_core::{Owner, Record, SessionId};
use tokio::time::Instant;

use crate::kept::Kept;

/// How many groups of ids each have a generation of their own. A write lets no load fill that is
/// under way for an id of its group.
const GROUPS: usize = 64;
/// How many copies each new one looks at, to free those that are over.
const SWEPT: usize = 2;
/// A queue of this many places is not tidied.
const UNTIDY: usize = 64;

pub(crate) struct Shard {
    copies: HashTable<Kept>,
    /// The order in which copies are looked at for eviction. A dropped copy leaves its place.
    queue: VecDeque<Place>,
    /// How often copies of each group were dropped.
    generations: [u64; GROUPS],
    bytes: usize,
    max_bytes: usize,
    serial: u64,
}

#[derive(Clone, Copy)]
struct Place {
    hash: u64,
    serial: u64,
}

impl Shard {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self {
            copies: HashTable::new(),
            queue: VecDeque::new(),
            generations: [0; GROUPS],
            bytes: 0,
            max_bytes,
            serial: 0,
        }
    }

    /// The record of the copy of `id` at `now`, or the generation that a load which is sent now has
    /// to fill at.
    pub(crate) fn find(&mut self, hash: u64, id: &SessionId, now: Instant) -> Result<Record, u64> {
        match self.copies.find_mut(hash, |kept| kept.id == *id) {
            Some(kept) if !kept.is_over(now) => {
                kept.is_used = true;
                Ok(kept.record_at(now))
            }
            _ => Err(self.generations[group(hash)]),
        }
    }

    /// Keeps `copy`, unless copies of its group were dropped since `generation`, or a load that was
    /// sent later has filled before.
    pub(crate) fn fill(&mut self, mut copy: Kept, generation: u64) {
        let hash = copy.hash;
        if self.generations[group(hash)] != generation || copy.bytes > self.max_bytes {
            return;
        }
        let before = self.copies.find(hash, |kept| kept.id == copy.id);
        if before.is_some_and(|before| !before.is_older_than(&copy)) {
            return;
        }
        self.remove(hash, |kept| kept.id == copy.id);
        self.serial += 1;
        copy.serial = self.serial;
        self.queue.push_back(Place {
            hash,
            serial: copy.serial,
        });
        self.bytes += copy.bytes;
        self.copies.insert_unique(hash, copy, |kept| kept.hash);
        self.sweep();
        while self.bytes > self.max_bytes && self.evict() {}
    }

    /// Drops the copy of `id`, and that of a load that is under way.
    pub(crate) fn drop_copy(&mut self, hash: u64, id: &SessionId) {
        self.generations[group(hash)] += 1;
        self.remove(hash, |kept| kept.id == *id);
        self.tidy();
    }

    /// Drops the copies of sessions of `owner`, and those of all loads that are under way.
    pub(crate) fn drop_owned_by(&mut self, owner: &Owner) {
        self.outdate_loads();
        let bytes = &mut self.bytes;
        self.copies.retain(|kept| {
            let is_kept = kept.record().owner.as_ref() != Some(owner);
            *bytes -= if is_kept { 0 } else { kept.bytes };
            is_kept
        });
        self.tidy();
    }

    /// Drops all copies, and those of all loads that are under way.
    pub(crate) fn drop_all(&mut self) {
        self.outdate_loads();
        self.copies.clear();
        self.queue.clear();
        self.bytes = 0;
    }

    fn outdate_loads(&mut self) {
        for generation in &mut self.generations {
            *generation += 1;
        }
    }

    fn remove(&mut self, hash: u64, is_it: impl FnMut(&Kept) -> bool) {
        if let Ok(found) = self.copies.find_entry(hash, is_it) {
            let (removed, _) = found.remove();
            self.bytes -= removed.bytes;
        }
    }

    /// Frees copies at the head of the queue that are over.
    fn sweep(&mut self) {
        let now = Instant::now();
        for _ in 0..SWEPT {
            let Some(Place { hash, serial }) = self.queue.front().copied() else {
                return;
            };
            let found = self.copies.find(hash, |kept| kept.serial == serial);
            if found.is_some_and(|kept| !kept.is_over(now)) {
                return;
            }
            self.remove(hash, |kept| kept.serial == serial);
            self.queue.pop_front();
        }
    }

    /// Looks at the head of the queue; `false` if there is none. A copy that was served since goes
    /// to the end, any other is freed.
    fn evict(&mut self) -> bool {
        let Some(place) = self.queue.pop_front() else {
            return false;
        };
        let is_it = |kept: &Kept| kept.serial == place.serial;
        let found = self.copies.find_mut(place.hash, is_it);
        if found.is_some_and(|kept| std::mem::take(&mut kept.is_used)) {
            self.queue.push_back(place);
        } else {
            self.remove(place.hash, is_it);
        }
        true
    }

    /// Takes the places of dropped copies out of the queue when they are the most of it.
    fn tidy(&mut self) {
        if self.queue.len() > UNTIDY.max(2 * self.copies.len()) {
            let copies = &self.copies;
            self.queue.retain(|place| {
                let found = copies.find(place.hash, |kept| kept.serial == place.serial);
                found.is_some()
            });
        }
    }
}

/// The table uses the highest and the lowest bits, and the shards others.
const fn group(hash: u64) -> usize {
    (hash >> 48) as usize % GROUPS
}
