//! A part of the sessions, with what is needed to find their owners and the expired ones.
//!
//! All of it is under one lock, so it can't disagree. Everything here takes a short time however
//! many sessions there are: nothing is rehashed, moved or sorted as a whole, and what could be
//! much is done in steps, between which the caller lets go of the lock.

use std::hash::RandomState;

use session_core::{Ended, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl};

use crate::content::Content;
use crate::cursor::Mark;
use crate::entry::{Entry, NEVER, Write};
use crate::list::List;
use crate::owners::Owners;
use crate::slab::Chunk;
use crate::table::{Node, Table};
use crate::wheel::{ByTime, Micros, Wheel};

/// What a shard has let go of. Freeing memory can take long, so it is done without the lock.
#[derive(Default)]
pub(crate) struct Garbage {
    contents: Vec<Content>,
    memory: Vec<Chunk<Node<Entry>>>,
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
    entries: Table<Entry>,
    owners: Owners,
    /// When to look at entries: at their deadlines, or at earlier ones they once had.
    wheel: Wheel,
    /// Expired sessions that nobody has reaped yet, in the order in which they were found.
    ended: List<ByTime>,
    ends: usize,
    /// How long those are kept; zero keeps none.
    grace: Micros,
    /// Until when a sweep would find nothing to do: it need not be tried.
    quiet_until: Micros,
}

impl Shard {
    pub(crate) fn new(hasher: RandomState, grace: Micros) -> Self {
        Self {
            entries: Table::default(),
            owners: Owners::new(hasher),
            wheel: Wheel::default(),
            ended: List::default(),
            ends: 0,
            grace,
            quiet_until: 0,
        }
    }

    /// How many sessions there are, expired ones that were not yet freed too.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
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

    /// Adds a session of whose id there is none. `hash` is of its [`Name`].
    pub(crate) fn insert(&mut self, hash: u32, entry: Entry, owner: Option<&Owner>) -> u32 {
        let slot = self.entries.insert(hash, entry);
        if let Some(owner) = owner {
            self.owners.adopt(&mut self.entries, slot, owner);
        }
        self.wait(slot);
        slot
    }

    /// Replaces what is in `slot`, and gives the content that was.
    pub(crate) fn replace(&mut self, slot: u32, write: Write, owner: Option<&Owner>) -> Content {
        let entry = &mut self.entries[slot];
        let earlier = write.deadline < entry.deadline();
        let old = entry.write(write);
        let number = entry.owner;
        if self.owners.get(number) != owner {
            self.owners.unlist(&mut self.entries, slot);
            self.owners.release(&mut self.entries[slot]);
            if let Some(owner) = owner {
                self.owners.adopt(&mut self.entries, slot, owner);
            }
        }
        // One that is looked at too early is put back then.
        if earlier {
            self.wheel.remove(&mut self.entries, slot);
            self.wait(slot);
        }
        old
    }

    /// Removes the live session in `slot`.
    pub(crate) fn remove(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) -> Ended {
        self.wheel.remove(&mut self.entries, slot);
        self.owners.unlist(&mut self.entries, slot);
        garbage.contents.push(self.entries[slot].end(now));
        self.take(slot)
    }

    /// Ends the session of this name if it has expired: its place is wanted. Says whether it did.
    pub(crate) fn bury(&mut self, name: Name<'_>, now: Micros, garbage: &mut Garbage) -> bool {
        let expired = self
            .find(name)
            .filter(|slot| !self.entries[*slot].is_live(now));
        if let Some(slot) = expired {
            self.wheel.remove(&mut self.entries, slot);
            self.end(slot, now, garbage);
        }
        expired.is_some()
    }

    /// Makes up to `steps` steps in ending what has expired. Only what was due by `until` is
    /// looked at. Ends wait for a reaper for the grace.
    pub(crate) fn sweep(
        &mut self,
        now: Micros,
        until: Micros,
        steps: usize,
        garbage: &mut Garbage,
    ) -> Swept {
        let mut swept = Swept::default();
        if until < self.quiet_until {
            return swept;
        }
        while swept.steps < steps {
            if let Some(slot) = self.wheel.pop(&mut self.entries, until) {
                if self.entries[slot].is_live(now) {
                    self.wait(slot);
                } else {
                    self.end(slot, now, garbage);
                    swept.freed += 1;
                }
            } else if let Some(slot) = self.ended.first().filter(|slot| self.past(*slot) <= now) {
                self.unqueue(slot);
                self.forget(slot);
            } else {
                let past = self
                    .ended
                    .first()
                    .map_or(Micros::MAX, |slot| self.past(slot));
                self.quiet_until = self.wheel.quiet_until().min(past);
                break;
            }
            swept.steps += 1;
        }
        swept
    }

    /// Hands the memory of what is empty over.
    pub(crate) fn shrink(&mut self, garbage: &mut Garbage) {
        garbage.memory.append(&mut self.entries.take_spare());
    }

    /// How many ends wait for a reaper.
    pub(crate) fn ended(&self) -> usize {
        self.ends
    }

    /// Takes up to `limit` ends for the reaper.
    pub(crate) fn take_ended(&mut self, limit: usize, now: Micros) -> Vec<Ended> {
        let mut taken = Vec::new();
        for _ in 0..limit {
            let Some(slot) = self.ended.first() else {
                break;
            };
            let past = self.past(slot) <= now;
            self.unqueue(slot);
            if past {
                self.forget(slot);
            } else {
                taken.push(self.take(slot));
            }
        }
        taken
    }

    /// Frees some sessions of a shard that is not in use any more, and says how many were live.
    pub(crate) fn dismantle(&mut self, now: Micros) -> Option<usize> {
        if let Some(entries) = self.entries.pop_chunk() {
            return Some(entries.filter(|entry| entry.is_live(now)).count());
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
        let live = self.entries.listed(from..end);
        let live = live.filter(move |entry| entry.is_live(now));
        let page = live.map(|entry| (entry, self.owners.get(entry.owner)));
        (page, self.entries.next_taken(end))
    }

    /// The first session of `owner`, or the one after that in `slot`. Expired ones are among them
    /// unless a sweep has just ended them.
    pub(crate) fn owned(&self, owner: &Owner, after: Option<u32>) -> Option<u32> {
        match after {
            Some(slot) => self.owners.after(&self.entries, slot),
            None => self.owners.first(owner),
        }
    }

    /// The place of `slot` in its owner's list, to be found again after the lock was let go.
    pub(crate) fn mark(&self, slot: u32) -> Mark {
        Mark {
            slot,
            hash: self.entries.hash(slot),
            adoptions: self.entries[slot].adoptions,
        }
    }

    /// The slot of the marked session, if it still has that place in the list of `owner`.
    pub(crate) fn marked(&self, mark: Mark, owner: &Owner) -> Option<u32> {
        let entry = self.entries.get(mark.slot, mark.hash)?;
        let is_there = entry.adoptions == mark.adoptions;
        (is_there && self.owners.get(entry.owner) == Some(owner)).then_some(mark.slot)
    }

    pub(crate) fn info(&self, slot: u32, now: Micros) -> SessionInfo {
        let entry = &self.entries[slot];
        entry.info(self.owners.get(entry.owner), now)
    }

    pub(crate) fn is(&self, slot: u32, id: &SessionId) -> bool {
        self.entries[slot].key.is(id)
    }

    fn find(&self, name: Name<'_>) -> Option<u32> {
        self.entries.find(name.hash, |entry| entry.key.is(name.id))
    }

    /// Lets the wheel wait for the deadline of a slot.
    fn wait(&mut self, slot: u32) {
        let deadline = self.entries[slot].deadline();
        if deadline != NEVER {
            self.wheel.insert(&mut self.entries, slot, deadline);
            self.quiet_until = self.quiet_until.min(deadline);
        }
    }

    /// Ends the session in `slot`, for which the wheel no longer waits.
    fn end(&mut self, slot: u32, now: Micros, garbage: &mut Garbage) {
        self.owners.unlist(&mut self.entries, slot);
        self.entries.unlist(slot);
        garbage.contents.push(self.entries[slot].end(now));
        if self.grace > 0 {
            self.ended.push(&mut self.entries, slot);
            self.ends += 1;
            self.quiet_until = self.quiet_until.min(self.past(slot));
        } else {
            self.forget(slot);
        }
    }

    /// Takes an ended session from those that wait for a reaper.
    fn unqueue(&mut self, slot: u32) {
        self.ended.remove(&mut self.entries, slot);
        self.ends -= 1;
    }

    /// Empties the slot of an ended session that is in no list, and tells of it.
    fn take(&mut self, slot: u32) -> Ended {
        let entry = &self.entries[slot];
        let (id, age) = (entry.key.id(), Some(entry.age(entry.deadline())));
        let owner = self.forget(slot);
        Ended { id, owner, age }
    }

    /// The same without telling, but whose it was.
    fn forget(&mut self, slot: u32) -> Option<Owner> {
        let owner = self.owners.release(&mut self.entries[slot]);
        self.entries.remove(slot);
        owner
    }

    /// From when on it is too late to report the ended session in `slot`.
    fn past(&self, slot: u32) -> Micros {
        let found = self.entries[slot].deadline();
        found.saturating_add(self.grace).saturating_add(1)
    }
}

#[cfg(test)]
mod tests;
