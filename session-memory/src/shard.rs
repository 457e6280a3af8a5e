//! A part of the sessions, with what is needed to find their owners and the expired ones.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Anchor, Draft, Ended, Lifetime, Owner, Record, SessionId, SessionInfo, Stamp, Timeout, Ttl,
};

/// A time, in microseconds since the store was made.
pub(crate) type Micros = u64;

/// The deadline of a session that has none.
const NEVER: Micros = Micros::MAX;

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) data: Bytes,
    pub(crate) stamp: Stamp,
    pub(crate) owner: Option<Owner>,
    pub(crate) lifetime: Lifetime,
    born: Micros,
    deadline: Micros,
    /// The time under which it waits in the queue: its deadline, or an earlier one it once had.
    queued: Micros,
}

impl Entry {
    pub(crate) fn new(draft: &Draft, born: Micros, now: Micros) -> Self {
        let born = match draft.anchor {
            Anchor::Keep => born,
            Anchor::Restart => now,
        };
        let lifetime = in_millis(draft.lifetime);
        let deadline = after(now, lifetime.idle).min(after(born, lifetime.absolute));
        Self {
            data: draft.data.clone(),
            stamp: draft.stamp,
            owner: draft.owner.clone(),
            lifetime,
            born,
            deadline,
            queued: deadline,
        }
    }

    /// An entry that was alive elsewhere, with what it had left.
    pub(crate) fn restored(draft: Draft, age: Duration, left: Ttl, now: Micros) -> Self {
        let mut entry = Self::new(&draft, now.saturating_sub(micros(age)), now);
        entry.deadline = left
            .left()
            .map_or(NEVER, |left| now.saturating_add(micros(left)));
        entry.queued = entry.deadline;
        entry
    }

    pub(crate) fn is_live(&self, now: Micros) -> bool {
        now < self.deadline
    }

    pub(crate) fn born(&self) -> Micros {
        self.born
    }

    pub(crate) fn age(&self, now: Micros) -> Duration {
        Duration::from_micros(now.saturating_sub(self.born))
    }

    pub(crate) fn ttl(&self, now: Micros) -> Ttl {
        match self.deadline {
            NEVER => Ttl::Never,
            deadline => Ttl::Left(Duration::from_micros(deadline.saturating_sub(now))),
        }
    }

    /// Moves the deadline to `idle` from now, within the absolute limit and never to earlier.
    pub(crate) fn touch(&mut self, idle: Timeout, now: Micros) -> Ttl {
        let absolute = after(self.born, self.lifetime.absolute);
        let idle = Timeout::from_millis(idle.millis());
        self.deadline = self.deadline.max(after(now, idle).min(absolute));
        self.ttl(now)
    }

    pub(crate) fn record(&self, now: Micros) -> Record {
        Record {
            data: self.data.clone(),
            stamp: self.stamp,
            owner: self.owner.clone(),
            lifetime: self.lifetime,
            ttl: self.ttl(now),
            age: self.age(now),
        }
    }

    pub(crate) fn info(&self, id: &SessionId, now: Micros) -> SessionInfo {
        SessionInfo {
            id: id.clone(),
            owner: self.owner.clone(),
            lifetime: self.lifetime,
            ttl: self.ttl(now),
            age: self.age(now),
            size: self.data.len(),
        }
    }

    pub(crate) fn ended(self, id: SessionId, now: Micros) -> Ended {
        let age = self.age(now);
        Ended {
            id,
            owner: self.owner,
            age,
        }
    }
}

/// Sessions, an index of their owners, and a queue of their deadlines: all under one lock, so
/// they can't disagree.
#[derive(Default)]
pub(crate) struct Shard {
    sessions: HashMap<SessionId, Entry>,
    owners: HashMap<Owner, HashSet<SessionId>>,
    /// One valid item a session: the one whose time is the entry's `queued`.
    queue: BinaryHeap<Reverse<(Micros, SessionId)>>,
    /// Expired sessions that nobody has reaped yet, and when they were found.
    ended: VecDeque<(Micros, Ended)>,
}

impl Shard {
    pub(crate) fn live(&self, id: &SessionId, now: Micros) -> Option<&Entry> {
        self.sessions.get(id).filter(|entry| entry.is_live(now))
    }

    pub(crate) fn live_mut(&mut self, id: &SessionId, now: Micros) -> Option<&mut Entry> {
        self.sessions.get_mut(id).filter(|entry| entry.is_live(now))
    }

    /// All sessions, expired ones that were not yet freed too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SessionId, &Entry)> {
        self.sessions.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// The sessions of `owner`, expired ones too.
    pub(crate) fn of_owner(&self, owner: &Owner) -> impl Iterator<Item = (&SessionId, &Entry)> {
        let ids = self.owners.get(owner).into_iter().flatten();
        ids.filter_map(|id| self.sessions.get_key_value(id))
    }

    /// Puts `entry` under `id`. Gives what it replaces.
    pub(crate) fn put(&mut self, id: SessionId, entry: Entry) -> Option<Entry> {
        let (owner, queued) = (entry.owner.clone(), entry.queued);
        let old = self.sessions.insert(id.clone(), entry);
        match &old {
            Some(old) if old.owner == owner => {}
            old => {
                if let Some(owner) = old.as_ref().and_then(|old| old.owner.clone()) {
                    self.disown(&owner, &id);
                }
                if let Some(owner) = owner {
                    self.owners.entry(owner).or_default().insert(id.clone());
                }
            }
        }
        match &old {
            // An earlier item will come due and be put back: no need for a second one.
            Some(old) if old.queued <= queued => {
                if let Some(entry) = self.sessions.get_mut(&id) {
                    entry.queued = old.queued;
                }
            }
            _ => self.enqueue(queued, id),
        }
        old
    }

    pub(crate) fn take(&mut self, id: &SessionId) -> Option<Entry> {
        let entry = self.sessions.remove(id)?;
        if let Some(owner) = &entry.owner {
            self.disown(owner, id);
        }
        Some(entry)
    }

    /// Frees up to `limit` expired sessions, and says how many. Their ends wait for a reaper if
    /// there is a `grace`.
    pub(crate) fn sweep(&mut self, now: Micros, limit: usize, grace: Micros) -> usize {
        let mut freed = 0;
        // Items that only have to be put back count for the work too.
        for _ in 0..limit {
            let Some(Reverse((due, _))) = self.queue.peek() else {
                break;
            };
            if *due > now {
                break;
            }
            let Some(Reverse((due, id))) = self.queue.pop() else {
                break;
            };
            match self.sessions.get_mut(&id) {
                Some(entry) if entry.queued != due => {}
                Some(entry) if entry.is_live(now) => {
                    entry.queued = entry.deadline;
                    let queued = entry.queued;
                    self.enqueue(queued, id);
                }
                Some(_) => {
                    freed += 1;
                    if let Some(entry) = self.take(&id)
                        && grace > 0
                    {
                        self.ended.push_back((now, entry.ended(id, now)));
                    }
                }
                None => {}
            }
        }
        while let Some((found, _)) = self.ended.front()
            && found.saturating_add(grace) < now
        {
            self.ended.pop_front();
        }
        freed
    }

    /// Takes up to `limit` ends for the reaper.
    pub(crate) fn take_ended(&mut self, limit: usize) -> impl Iterator<Item = Ended> {
        let count = limit.min(self.ended.len());
        self.ended.drain(..count).map(|(_, ended)| ended)
    }

    fn enqueue(&mut self, at: Micros, id: SessionId) {
        if at == NEVER {
            return;
        }
        self.queue.push(Reverse((at, id)));
        // Items of sessions that were removed or moved to an earlier deadline are left behind.
        if self.queue.len() > 2 * self.sessions.len() + 64 {
            let sessions = &self.sessions;
            self.queue
                .retain(|Reverse((at, id))| sessions.get(id).is_some_and(|e| e.queued == *at));
        }
    }

    fn disown(&mut self, owner: &Owner, id: &SessionId) {
        if let Some(ids) = self.owners.get_mut(owner) {
            ids.remove(id);
            if ids.is_empty() {
                self.owners.remove(owner);
            }
        }
    }
}

fn after(start: Micros, limit: Timeout) -> Micros {
    limit.duration().map_or(NEVER, |limit| {
        start.saturating_add(micros(limit)).min(NEVER - 1)
    })
}

/// Whole milliseconds, as every store counts.
fn in_millis(lifetime: Lifetime) -> Lifetime {
    let whole = |timeout: Timeout| Timeout::from_millis(timeout.millis());
    Lifetime::new(whole(lifetime.idle), whole(lifetime.absolute))
}

pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    fn id(n: usize) -> SessionId {
        SessionId::from_stored(&format!("session{n}")).expect("valid")
    }

    fn entry(idle: u64, now: Micros) -> Entry {
        let draft = Draft::new("x", Lifetime::idle(Duration::from_secs(idle)));
        Entry::new(&draft, now, now)
    }

    #[test]
    fn the_queue_has_about_one_item_a_session_whatever_is_done_to_it() {
        let mut shard = Shard::default();
        for n in 0..100 {
            shard.put(id(n), entry(10, 0));
        }
        for round in 1..1_000 {
            for n in 0..100 {
                shard
                    .live_mut(&id(n), round)
                    .expect("alive")
                    .touch(Timeout::After(Duration::from_secs(10)), round);
            }
            // Now longer, now shorter, now without end.
            let limits = [5, 20];
            shard.put(id(1), entry(limits[round as usize % 2], round));
            shard.put(
                id(2),
                Entry::new(&Draft::new("x", Lifetime::idle(Timeout::Never)), 0, round),
            );
            shard.put(id(2), entry(10, round));
            shard.take(&id(3));
            shard.put(id(3), entry(10, round));
        }
        assert!(shard.queue.len() <= 2 * 100 + 64, "{}", shard.queue.len());
        assert_eq!(shard.sweep(40 * SECOND, usize::MAX, 0), 100);
        assert_eq!(
            (shard.len(), shard.queue.len(), shard.owners.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_sweep_does_no_more_than_it_may() {
        let mut shard = Shard::default();
        for n in 0..1_000 {
            shard.put(id(n), entry(1, 0));
        }
        assert_eq!(shard.sweep(2 * SECOND, 10, 0), 10);
        assert_eq!(shard.len(), 990);
    }

    #[test]
    fn ends_wait_for_the_reaper_as_long_as_the_grace() {
        let mut shard = Shard::default();
        for n in 0..10 {
            shard.put(id(n), entry(1, 0));
        }
        let grace = 60 * SECOND;
        shard.sweep(2 * SECOND, usize::MAX, grace);
        assert_eq!(shard.take_ended(4).count(), 4);
        shard.sweep(62 * SECOND, usize::MAX, grace);
        assert_eq!(shard.ended.len(), 6);
        shard.sweep(63 * SECOND, usize::MAX, grace);
        assert_eq!(shard.ended.len(), 0);
    }
}
