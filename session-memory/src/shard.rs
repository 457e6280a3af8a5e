//! One shard: some of the sessions, with indexes of their ids, owners and deadlines.
//!
//! One lock covers all of it, so the indexes never disagree. Work on many sessions is done in
//! steps, between which the caller unlocks the shard. Entries never move. Two steps take longer
//! than others: growing the [`Index`], and dropping the stale items of [`Deadlines`].
//!
//! # Why a hash table and a heap
//! A linear hash table that grew by one bucket at a time, a timing wheel and intrusive lists took
//! 480 lines more than `hashbrown::HashTable` and `BinaryHeap`. Both were measured in alternating
//! rounds, in 32 shards, with sessions of 300 bytes of data and a credential of 57 bytes. Figures
//! in parentheses are for sessions that each have an owner. Times are CPU time, best and median of
//! 5 rounds on two cores shared with other work; instructions are counted by callgrind.
//!
//! | | linear hashing, wheel | hash table, heap |
//! |---|---|---|
//! | bytes for each of 10,000 sessions | 502 (548) | 506 (566) |
//! | of 100,000 | 488 (529) | 491 (547) |
//! | of 1,000,000 | 487 (527) | 494 (557) |
//! | of 100,000, each replaced by another once | 491 (533) | 521 (586) |
//! | instructions of a load | 2,405 | 2,408 |
//! | of a save | 2,824 | 2,819 |
//! | of a touch | 1,573 | 1,539 |
//! | of a create and a destroy | 7,044 | 6,780 |
//! | mean of a create while growing to 1,000,000, µs | 2.1, 2.4 | 1.6, 1.7 |
//! | slowest create then, ms | 0.53, 0.59 | 0.60, 0.63 |
//! | slowest destroy while all are replaced, ms | 0.11, 0.20 | 0.67, 0.74 |
//! | slowest load while all expire, ms | 0.09, 0.13 | 0.09, 0.12 |
//!
//! Rejected: a table of slots without hashes takes 8 bytes less for each of a million sessions, but
//! reads all of them when it grows (slowest create 2.2 ms, against 0.7 ms here in the same round).
//! A `BTreeSet` of deadlines takes 14 bytes more; with both, a create and a destroy took 7,843
//! instructions.

use std::hash::RandomState;

use session_core::{Ended, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl};

use crate::content::Content;
use crate::deadlines::{Deadlines, Micros};
use crate::entry::{Entry, NEVER, Write};
use crate::index::Index;
use crate::owners::{NO_OWNER, Owners};
use crate::slab::{Chunk, Slab};
use crate::unreported::Unreported;

/// Up to this many stale deadlines are always kept.
const MAX_STALE: usize = 64;

/// Memory to be freed without the lock, because freeing can take long.
#[derive(Default)]
pub(crate) struct Garbage {
    contents: Vec<Content>,
    memory: Vec<Chunk<Entry>>,
}

/// What a sweep did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// The number of sessions that it ended.
    pub(crate) freed: usize,
    /// The number of steps. If it is the limit, there may be more to do.
    pub(crate) steps: usize,
}

/// A session's id and the half of its hash that does not select the shard.
#[derive(Clone, Copy)]
pub(crate) struct HashedId<'a> {
    pub(crate) id: &'a SessionId,
    pub(crate) hash: u32,
}

pub(crate) struct Shard {
    entries: Slab<Entry>,
    /// The sessions that have not ended, by id.
    index: Index,
    owners: Owners,
    /// When to check the entries' deadlines. An item is stale unless its time is the entry's `due`.
    deadlines: Deadlines,
    /// Expired sessions that are not yet reported.
    unreported: Unreported,
    /// How long those are kept after their deadlines; zero keeps none.
    grace: Micros,
    /// Before this time, a sweep finds nothing to do.
    next_sweep: Micros,
}

impl Shard {
    pub(crate) fn new(hasher: RandomState, grace: Micros) -> Self {
        Self {
            entries: Slab::default(),
            index: Index::default(),
            owners: Owners::new(hasher),
            deadlines: Deadlines::default(),
            unreported: Unreported::default(),
            grace,
            next_sweep: 0,
        }
    }

    /// The number of sessions, including expired ones that are not yet freed.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The slot of the session of this id, if it is live.
    pub(crate) fn live(&self, id: HashedId<'_>, now: Micros) -> Option<u32> {
        let slot = self.find(id)?;
        self.entries[slot].is_live(now).then_some(slot)
    }

    pub(crate) fn stamp(&self, slot: u32) -> Stamp {
        self.entries[slot].stamp
    }

    pub(crate) fn anchor(&self, slot: u32) -> Micros {
        self.entries[slot].anchor()
    }

    pub(crate) fn record(&self, slot: u32, now: Micros) -> Record {
        let entry = &self.entries[slot];
        entry.record(self.owners.get(entry.owner), now)
    }

    pub(crate) fn touch(&mut self, slot: u32, idle: Timeout, now: Micros) -> Ttl {
        self.entries[slot].touch(idle, now)
    }

    /// Adds a session. No other may have its id.
    pub(crate) fn insert(&mut self, entry: Entry, owner: Option<&Owner>) -> u32 {
        let hash = entry.hash;
        let slot = self.entries.insert(entry);
        self.index.insert(hash, slot);
        self.set_owner(slot, owner);
        self.schedule(slot);
        slot
    }

    /// Applies a write to the session in `slot` and returns the replaced content.
    pub(crate) fn replace(&mut self, slot: u32, write: Write, owner: Option<&Owner>) -> Content {
        let entry = &mut self.entries[slot];
        // An entry that is checked too early is then scheduled again.
        let is_due_too_late = write.deadline < entry.due;
        let old = entry.write(write);
        let number = entry.owner;
        if self.owners.get(number) != owner {
            self.owners.remove_session(number, slot);
            self.owners.release(number);
            self.set_owner(slot, owner);
        }
        if is_due_too_late {
            self.unschedule(slot);
            self.schedule(slot);
        }
        old
    }

    /// Removes the live session in `slot`.
    pub(crate) fn remove(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) -> Ended {
        self.unschedule(slot);
        self.remove_from_indexes(slot, now, garbage);
        self.report(slot)
    }

    /// Ends the session of this id if it has expired. Returns whether it had.
    pub(crate) fn end_expired(
        &mut self,
        id: HashedId<'_>,
        now: Micros,
        garbage: &mut Garbage,
    ) -> bool {
        let expired = self
            .find(id)
            .filter(|slot| !self.entries[*slot].is_live(now));
        if let Some(slot) = expired {
            self.unschedule(slot);
            self.end(slot, now, garbage);
        }
        expired.is_some()
    }

    /// Ends expired sessions and drops reports older than the grace, in up to `steps` steps.
    pub(crate) fn sweep(&mut self, now: Micros, steps: usize, garbage: &mut Garbage) -> Swept {
        let mut swept = Swept::default();
        if now < self.next_sweep {
            return swept;
        }
        while swept.steps < steps {
            if let Some((due, slot)) = self.deadlines.pop(now) {
                swept.freed += usize::from(self.check_deadline(slot, due, now, garbage));
            } else if !self.drop_late_report(now) {
                self.next_sweep = self.deadlines.earliest().min(self.report_deadline());
                break;
            }
            swept.steps += 1;
        }
        swept
    }

    /// Frees unused memory; that of entries is added to `garbage`.
    pub(crate) fn shrink(&mut self, garbage: &mut Garbage) {
        garbage.memory.append(&mut self.entries.take_spare());
        self.index.shrink();
        self.deadlines.shrink();
        self.owners.shrink();
    }

    /// The number of expired sessions that are not yet reported.
    pub(crate) fn unreported(&self) -> usize {
        self.unreported.len()
    }

    /// Takes up to `limit` expired sessions to report.
    pub(crate) fn take_unreported(&mut self, limit: usize, now: Micros) -> Vec<Ended> {
        let mut taken = Vec::new();
        for _ in 0..limit {
            if self.drop_late_report(now) {
                continue;
            }
            let Some(slot) = self.unreported.pop(&self.entries) else {
                break;
            };
            taken.push(self.report(slot));
        }
        taken
    }

    /// Frees some sessions of a discarded shard and returns how many were live; `None` at the end.
    pub(crate) fn dismantle(&mut self, now: Micros) -> Option<usize> {
        if let Some(entries) = self.entries.pop_chunk() {
            let live = entries.iter().flatten().filter(|entry| entry.is_live(now));
            return Some(live.count());
        }
        self.owners.dismantle().then_some(0)
    }

    /// The live sessions in `slots` slots from `from` on, and the slot to continue with.
    pub(crate) fn page(
        &self,
        from: u32,
        slots: u32,
        now: Micros,
    ) -> (impl Iterator<Item = (&Entry, Option<&Owner>)>, Option<u32>) {
        let from = self.entries.next_taken(from).unwrap_or(u32::MAX);
        let end = from.saturating_add(slots);
        let live = self.entries.taken(from..end);
        let live = live.filter(move |entry| entry.is_live(now));
        let page = live.map(|entry| (entry, self.owners.get(entry.owner)));
        (page, self.entries.next_taken(end))
    }

    /// The slots of the owner's sessions from `from` on, in order, including expired sessions that
    /// are not yet freed.
    pub(crate) fn owned(&self, owner: &Owner, from: u32) -> impl Iterator<Item = u32> {
        self.owners.slots(owner, from)
    }

    /// The description of the session in `slot`, if it is live.
    pub(crate) fn info(&self, slot: u32, now: Micros) -> Option<SessionInfo> {
        let entry = &self.entries[slot];
        let info = || entry.info(self.owners.get(entry.owner), now);
        entry.is_live(now).then(info)
    }

    pub(crate) fn is(&self, slot: u32, id: &SessionId) -> bool {
        self.entries[slot].key.is(id)
    }

    fn find(&self, id: HashedId<'_>) -> Option<u32> {
        let is = |slot: u32| self.entries[slot].key.is(id.id);
        self.index.find(id.hash, is)
    }

    /// Sets the owner of the session in `slot`, which has none.
    fn set_owner(&mut self, slot: u32, owner: Option<&Owner>) {
        let number = owner.map_or(NO_OWNER, |owner| self.owners.add_session(slot, owner));
        self.entries[slot].owner = number;
    }

    /// Schedules the check of a session's deadline. None may be scheduled.
    fn schedule(&mut self, slot: u32) {
        let entry = &mut self.entries[slot];
        entry.due = entry.deadline();
        if entry.due != NEVER {
            self.deadlines.insert(entry.due, slot);
            self.next_sweep = self.next_sweep.min(entry.due);
        }
    }

    /// Makes the scheduled check of a session stale. Drops all stale items once they are more than
    /// half.
    fn unschedule(&mut self, slot: u32) {
        self.entries[slot].due = NEVER;
        if self.deadlines.len() > 2 * self.index.len() + MAX_STALE {
            let slots = self.entries.slots();
            let all = slots.map(|slot| (self.entries[slot].due, slot));
            self.deadlines.replace(all.filter(|(due, _)| *due != NEVER));
        }
    }

    /// Ends the session in `slot` if it has expired, and returns whether it had. Does nothing if
    /// the item that was scheduled for `due` is stale.
    fn check_deadline(
        &mut self,
        slot: u32,
        due: Micros,
        now: Micros,
        garbage: &mut Garbage,
    ) -> bool {
        let entry = self.entries.get_mut(slot);
        let Some(entry) = entry.filter(|entry| entry.due == due) else {
            return false;
        };
        entry.due = NEVER;
        let live = entry.is_live(now);
        if live {
            self.schedule(slot);
        } else {
            self.end(slot, now, garbage);
        }
        !live
    }

    /// Ends the expired session in `slot`, whose check is not scheduled any more.
    fn end(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) {
        self.remove_from_indexes(slot, now, garbage);
        if self.grace > 0 {
            self.unreported.push(slot, &mut self.entries);
        } else {
            self.free(slot);
        }
    }

    /// The time from which the first unreported session can't be reported; `Micros::MAX` if there
    /// is none.
    fn report_deadline(&self) -> Micros {
        let first = self.unreported.first();
        let late = |slot| self.entries[slot].deadline().saturating_add(self.grace);
        first.map_or(Micros::MAX, |slot| late(slot).saturating_add(1))
    }

    /// Drops the first unreported session if it can't be reported any more. Returns whether it did.
    fn drop_late_report(&mut self, now: Micros) -> bool {
        let late = self.report_deadline() <= now;
        if late && let Some(slot) = self.unreported.pop(&self.entries) {
            self.free(slot);
        }
        late
    }

    /// Marks the session in `slot` as ended and removes it from the id and owner indexes.
    fn remove_from_indexes(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) {
        let entry = &mut self.entries[slot];
        garbage.contents.push(entry.end(now));
        self.index.remove(entry.hash, slot);
        self.owners.remove_session(entry.owner, slot);
    }

    /// Frees the slot of an ended session and returns its report.
    fn report(&mut self, slot: u32) -> Ended {
        let entry = &self.entries[slot];
        let (id, age) = (entry.key.id(), Some(entry.age(entry.deadline())));
        let owner = self.free(slot);
        Ended::new(id, owner, age)
    }

    /// Frees the slot of an ended session and returns its owner.
    fn free(&mut self, slot: u32) -> Option<Owner> {
        let entry = self.entries.remove(slot)?;
        self.owners.release(entry.owner)
    }
}

#[cfg(test)]
mod tests;
