//! A part of the sessions, with what is needed to find their owners and the expired ones.
//!
//! All of it is under one lock, so it can't disagree. Work on many sessions is done in steps,
//! between which the caller lets go of the lock. Entries never move. Two things take longer: growing
//! the [`Index`] of a shard, and dropping the deadlines of destroyed sessions from [`Deadlines`].
//!
//! # Why a hash table and a heap
//! A linear hash table that grew by one bucket at a time, and a timing wheel and lists with links in
//! the entries, took 480 lines more than `hashbrown::HashTable` and `BinaryHeap`. Both were measured
//! in turns, in 32 shards, with sessions of 300 bytes of data and a credential of 57. In the first
//! rows, figures in parentheses are of sessions with an owner each. Times are of the CPU, best and
//! median of 5 rounds on two cores that other work shared; instructions are callgrind's.
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
//! Not taken: a table of slots only takes 8 bytes less for each of a million, but reads all sessions
//! when it grows (slowest create 2.2 ms in a round in which this one's took 0.7). A `BTreeSet` of
//! deadlines takes 14 bytes more, and with it and that table, a create and a destroy took 7,843
//! instructions.

use std::hash::RandomState;

use session_core::{Ended, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl};

use crate::content::Content;
use crate::deadlines::{Deadlines, Micros};
use crate::entry::{Entry, NEVER, Write};
use crate::index::Index;
use crate::owners::{NOBODY, Owners};
use crate::slab::{Chunk, Slab};
use crate::unreported::Unreported;

/// So many deadlines of sessions that have gone are not worth dropping.
const PASSED_OVER: usize = 64;

/// What a shard has let go of. Freeing memory can take long, so it is done without the lock.
#[derive(Default)]
pub(crate) struct Garbage {
    contents: Vec<Content>,
    memory: Vec<Chunk<Entry>>,
}

/// How a step of sweeping went.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// The sessions that it ended.
    pub(crate) freed: usize,
    /// How much it did. If that is as much as it may, there is more.
    pub(crate) steps: usize,
}

/// A session's id and the part of its hash that the shard was not chosen by.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) id: &'a SessionId,
    pub(crate) hash: u32,
}

pub(crate) struct Shard {
    entries: Slab<Entry>,
    /// The sessions that have not ended, by their ids.
    index: Index,
    owners: Owners,
    /// When to look at entries: at their deadlines, or at earlier ones they once had. Those that
    /// an entry's `due` says nothing of are passed over.
    deadlines: Deadlines,
    /// Expired sessions that nobody has reaped yet, until when they can be.
    ended: Unreported,
    /// How long those are kept; zero keeps none.
    grace: Micros,
    /// Until when a sweep would find nothing to do: it need not be tried.
    quiet_until: Micros,
}

impl Shard {
    pub(crate) fn new(hasher: RandomState, grace: Micros) -> Self {
        Self {
            entries: Slab::default(),
            index: Index::default(),
            owners: Owners::new(hasher),
            deadlines: Deadlines::default(),
            ended: Unreported::default(),
            grace,
            quiet_until: 0,
        }
    }

    /// How many sessions there are, expired ones that were not yet freed too.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// The slot of the live session of this name.
    pub(crate) fn live(&self, name: Name<'_>, now: Micros) -> Option<u32> {
        let slot = self.find(name)?;
        self.entries[slot].is_live(now).then_some(slot)
    }

    pub(crate) fn stamp(&self, slot: u32) -> Stamp {
        self.entries[slot].stamp
    }

    pub(crate) fn born(&self, slot: u32) -> Micros {
        self.entries[slot].born()
    }

    pub(crate) fn record(&self, slot: u32, now: Micros) -> Record {
        let entry = &self.entries[slot];
        entry.record(self.owners.get(entry.owner), now)
    }

    pub(crate) fn touch(&mut self, slot: u32, idle: Timeout, now: Micros) -> Ttl {
        self.entries[slot].touch(idle, now)
    }

    /// Adds a session of whose id there is none.
    pub(crate) fn insert(&mut self, entry: Entry, owner: Option<&Owner>) -> u32 {
        let hash = entry.hash;
        let slot = self.entries.insert(entry);
        self.index.insert(hash, slot);
        self.adopt(slot, owner);
        self.wait(slot);
        slot
    }

    /// Replaces what is in `slot`, and gives the content that was.
    pub(crate) fn replace(&mut self, slot: u32, write: Write, owner: Option<&Owner>) -> Content {
        let entry = &mut self.entries[slot];
        // One that is looked at too early is put back then.
        let too_late = write.deadline < entry.due;
        let old = entry.write(write);
        let number = entry.owner;
        if self.owners.get(number) != owner {
            self.owners.unlist(number, slot);
            self.owners.release(number);
            self.adopt(slot, owner);
        }
        if too_late {
            self.wait_no_more(slot);
            self.wait(slot);
        }
        old
    }

    /// Removes the live session in `slot`.
    pub(crate) fn remove(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) -> Ended {
        self.wait_no_more(slot);
        self.unlist(slot, now, garbage);
        self.take(slot)
    }

    /// Ends the session of this name if it has expired: its place is wanted. Says whether it did.
    pub(crate) fn bury(&mut self, name: Name<'_>, now: Micros, garbage: &mut Garbage) -> bool {
        let expired = self
            .find(name)
            .filter(|slot| !self.entries[*slot].is_live(now));
        if let Some(slot) = expired {
            self.wait_no_more(slot);
            self.end(slot, now, garbage);
        }
        expired.is_some()
    }

    /// Makes up to `steps` steps in ending what has expired. Ends wait for a reaper for the grace.
    pub(crate) fn sweep(&mut self, now: Micros, steps: usize, garbage: &mut Garbage) -> Swept {
        let mut swept = Swept::default();
        if now < self.quiet_until {
            return swept;
        }
        while swept.steps < steps {
            if let Some((due, slot)) = self.deadlines.pop(now) {
                swept.freed += usize::from(self.look_at(slot, due, now, garbage));
            } else if !self.forget_late(now) {
                self.quiet_until = self.deadlines.earliest().min(self.too_late());
                break;
            }
            swept.steps += 1;
        }
        swept
    }

    /// Hands the memory of what is empty over, and gives back what is no longer needed.
    pub(crate) fn shrink(&mut self, garbage: &mut Garbage) {
        garbage.memory.append(&mut self.entries.take_spare());
        self.index.shrink();
        self.deadlines.shrink();
        self.owners.shrink();
    }

    /// How many ends wait for a reaper.
    pub(crate) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// Takes up to `limit` ends for the reaper.
    pub(crate) fn take_ended(&mut self, limit: usize, now: Micros) -> Vec<Ended> {
        let mut taken = Vec::new();
        for _ in 0..limit {
            if self.forget_late(now) {
                continue;
            }
            let Some(slot) = self.ended.pop(&self.entries) else {
                break;
            };
            taken.push(self.take(slot));
        }
        taken
    }

    /// Frees some sessions of a shard that is not in use any more, and says how many were live.
    pub(crate) fn dismantle(&mut self, now: Micros) -> Option<usize> {
        if let Some(entries) = self.entries.pop_chunk() {
            let live = entries.iter().flatten().filter(|entry| entry.is_live(now));
            return Some(live.count());
        }
        self.owners.dismantle().then_some(0)
    }

    /// The live sessions in `slots` slots from `from` on, and the slot to go on with.
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

    /// The slots of the sessions of `owner`, in order, from `from` on. Expired ones are among them
    /// unless a sweep has just ended them.
    pub(crate) fn owned(&self, owner: &Owner, from: u32) -> impl Iterator<Item = u32> {
        self.owners.slots(owner, from)
    }

    /// What a listing shows of the session in `slot`, if it is live.
    pub(crate) fn info(&self, slot: u32, now: Micros) -> Option<SessionInfo> {
        let entry = &self.entries[slot];
        let info = || entry.info(self.owners.get(entry.owner), now);
        entry.is_live(now).then(info)
    }

    pub(crate) fn is(&self, slot: u32, id: &SessionId) -> bool {
        self.entries[slot].key.is(id)
    }

    fn find(&self, name: Name<'_>) -> Option<u32> {
        let is = |slot: u32| self.entries[slot].key.is(name.id);
        self.index.find(name.hash, is)
    }

    /// Gives the session in `slot`, which has no owner, this one.
    fn adopt(&mut self, slot: u32, owner: Option<&Owner>) {
        let number = owner.map_or(NOBODY, |owner| self.owners.adopt(slot, owner));
        self.entries[slot].owner = number;
    }

    /// Waits for the deadline of a session, for which nothing waits.
    fn wait(&mut self, slot: u32) {
        let entry = &mut self.entries[slot];
        entry.due = entry.deadline();
        if entry.due != NEVER {
            self.deadlines.insert(entry.due, slot);
            self.quiet_until = self.quiet_until.min(entry.due);
        }
    }

    /// Lets what waits for the deadline of a session be passed over when it comes. Once more than
    /// half is to be passed over, it is dropped.
    fn wait_no_more(&mut self, slot: u32) {
        self.entries[slot].due = NEVER;
        if self.deadlines.len() > 2 * self.index.len() + PASSED_OVER {
            let slots = self.entries.slots();
            let all = slots.map(|slot| (self.entries[slot].due, slot));
            self.deadlines.replace(all.filter(|(due, _)| *due != NEVER));
        }
    }

    /// Ends the session in `slot` if it has expired, and says whether it did. `due` is what it was
    /// waited for, which may be no longer so.
    fn look_at(&mut self, slot: u32, due: Micros, now: Micros, garbage: &mut Garbage) -> bool {
        let entry = self.entries.get_mut(slot);
        let Some(entry) = entry.filter(|entry| entry.due == due) else {
            return false;
        };
        entry.due = NEVER;
        let live = entry.is_live(now);
        if live {
            self.wait(slot);
        } else {
            self.end(slot, now, garbage);
        }
        !live
    }

    /// Ends the session in `slot`, for whose deadline nothing waits any more.
    fn end(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) {
        self.unlist(slot, now, garbage);
        if self.grace > 0 {
            self.ended.push(slot, &mut self.entries);
        } else {
            self.forget(slot);
        }
    }

    /// From when on the first end can't be reported any more; the end of time if there is none.
    fn too_late(&self) -> Micros {
        let first = self.ended.first();
        let late = |slot| self.entries[slot].deadline().saturating_add(self.grace);
        first.map_or(Micros::MAX, |slot| late(slot).saturating_add(1))
    }

    /// Forgets the first end if it is too late to report it, and says whether it did.
    fn forget_late(&mut self, now: Micros) -> bool {
        let late = self.too_late() <= now;
        if late && let Some(slot) = self.ended.pop(&self.entries) {
            self.forget(slot);
        }
        late
    }

    /// Makes the session in `slot` unfindable and takes its content.
    fn unlist(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) {
        let entry = &mut self.entries[slot];
        garbage.contents.push(entry.end(now));
        self.index.remove(entry.hash, slot);
        self.owners.unlist(entry.owner, slot);
    }

    /// Empties the slot of an unlisted session, and tells of it.
    fn take(&mut self, slot: u32) -> Ended {
        let entry = &self.entries[slot];
        let (id, age) = (entry.key.id(), Some(entry.age(entry.deadline())));
        let owner = self.forget(slot);
        Ended::new(id, owner, age)
    }

    /// The same without telling, but whose it was.
    fn forget(&mut self, slot: u32) -> Option<Owner> {
        let entry = self.entries.remove(slot)?;
        self.owners.release(entry.owner)
    }
}

#[cfg(test)]
mod tests;
