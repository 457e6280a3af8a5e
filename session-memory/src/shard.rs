//! A part of the sessions, with what is needed to find their owners and the expired ones.
//!
//! All of it is under one lock, so it can't disagree. Work on many sessions is done in steps,
//! between which the caller lets go of the lock. Entries never move. What does take long is growing
//! the [`Index`] of a shard: all of its slots are hashed again.
//!
//! # Why a hash table and a sorted set
//! A linear hash table that grew by one bucket at a time, and a timing wheel, took 750 lines more
//! than `hashbrown::HashTable<u32>` and a `BTreeSet` of deadlines. Both measured in turns with 32
//! shards and 1,000,000 sessions with 300 bytes of data, a credential of 57 and no owner (in
//! parentheses: with an owner of its own each). Times are of the CPU, on two cores that others
//! used too (load average 6, and 17 after the comma), where a cache kept little:
//!
//! | | linear hashing, wheel | `HashTable<u32>`, `BTreeSet` |
//! |---|---|---|
//! | bytes for each session | 487 (527) | 499 (554) |
//! | mean of a create while growing, µs | 1.9, 2.2 | 1.6, 2.0 |
//! | slowest create while growing, ms | 0.6, 0.5 | 1.5 to 2.2, 2.6 |
//! | slowest load while all expire, ms | 0.1 to 0.3, 0.15 | -, 0.4 |
//! | instructions of a load, a save, a touch | 2,406, 2,824, 1,569 | 2,420, 2,814, 1,560 |
//! | instructions of a create and a destroy | 7,052 | 7,843 |
//!
//! Not taken: with the hash beside the slot in the table, a session takes 8 bytes more, and the
//! slowest create 0.6 ms where it took 2.2. A `BinaryHeap` of deadlines takes up to 14 bytes less,
//! but what was destroyed stays in it, and dropping all of that at once took 0.8 to 1.2 ms.

use std::hash::RandomState;

use session_core::{Ended, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl};

use crate::content::Content;
use crate::deadlines::{Deadlines, Micros};
use crate::entry::{Entry, NEVER, Write};
use crate::index::Index;
use crate::owners::{NOBODY, Owners};
use crate::slab::{Chunk, Slab};

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
    ended: Deadlines,
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
            ended: Deadlines::default(),
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
            } else if let Some((_, slot)) = self.ended.pop(now) {
                self.forget(slot);
            } else {
                let earliest = self.deadlines.earliest();
                self.quiet_until = earliest.min(self.ended.earliest());
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
        self.ended.shrink();
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
            if let Some((_, slot)) = self.ended.pop(now) {
                self.forget(slot);
            } else if let Some((_, slot)) = self.ended.pop(Micros::MAX) {
                taken.push(self.take(slot));
            } else {
                break;
            }
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
            let too_late = now.saturating_add(self.grace).saturating_add(1);
            self.ended.insert(too_late, slot);
            self.quiet_until = self.quiet_until.min(too_late);
        } else {
            self.forget(slot);
        }
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
        Ended { id, owner, age }
    }

    /// The same without telling, but whose it was.
    fn forget(&mut self, slot: u32) -> Option<Owner> {
        let entry = self.entries.remove(slot)?;
        self.owners.release(entry.owner)
    }
}

#[cfg(test)]
mod tests;
