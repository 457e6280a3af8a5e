//! Listing, owners, clearing and reaping, a shard at a time.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};

use crate::MemoryStore;
use crate::store::{Locked, STEPS};

#[async_trait]
impl SessionDirectory for MemoryStore {
    async fn count(&self) -> Result<u64> {
        let mut count = 0;
        for index in 0..self.0.shards() {
            count += self.swept(index).await.shard.len() as u64;
        }
        Ok(count)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (mut index, mut slot) = match cursor {
            Some(cursor) => self.place_of(cursor)?,
            None => (0, 0),
        };
        let limit = limit.max(1);
        let mut sessions = Vec::new();
        while index < self.0.shards() && sessions.len() < limit {
            let most = STEPS.min(limit - sessions.len());
            match self.page_of(index, slot, most, &mut sessions) {
                Some(next) => {
                    slot = next;
                    tokio::task::yield_now().await;
                }
                None => (index, slot) = (index + 1, 0),
            }
        }
        let more = index < self.0.shards();
        let next = more.then(|| Cursor::new(format!("{index}:{slot}")));
        Ok(Page { sessions, next })
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let mut owned = Vec::new();
        for index in 0..self.0.shards() {
            let mut found = Vec::new();
            while self.owned_in(&mut self.swept(index).await, owner, &mut found) {
                tokio::task::yield_now().await;
            }
            // One that left the list and came back meanwhile was found twice.
            let mut ids = HashSet::new();
            found.retain(|info| ids.insert(info.id.clone()));
            owned.append(&mut found);
        }
        Ok(owned)
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        let mut all = Vec::new();
        // A session that is renamed meanwhile into a shard already seen is found by the next pass.
        loop {
            let before = all.len();
            for index in 0..self.0.shards() {
                while self.destroy_in(&mut self.swept(index).await, owner, except, &mut all) {
                    tokio::task::yield_now().await;
                }
            }
            if all.len() == before {
                return Ok(all);
            }
        }
    }

    async fn clear(&self) -> Result<u64> {
        // All at once, so that a call that is dropped has cleared everything or nothing.
        let taken: Vec<_> = (0..self.0.shards()).map(|n| self.0.take(n)).collect();
        let mut cleared = 0;
        for (mut shard, now) in taken {
            while let Some(live) = shard.dismantle(now) {
                cleared += live as u64;
                tokio::task::yield_now().await;
            }
        }
        Ok(cleared)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let shards = self.0.shards();
        let start = self.0.next_reap.fetch_add(1, Ordering::Relaxed);
        let order = (start..).map(|index| index % shards).take(shards);
        // Most of the work is done here, where others get their turn. What follows has no await
        // in it: a call that is dropped must not have taken ends that it tells nobody of.
        let mut waiting = 0;
        for index in order.clone() {
            waiting += self.swept(index).await.shard.ended();
            if waiting >= limit {
                break;
            }
        }
        let mut reaped = Vec::new();
        for index in order {
            while reaped.len() < limit {
                let mut locked = self.0.lock(index);
                let most = STEPS.min(limit - reaped.len());
                let (more, now) = (locked.sweep(), locked.now);
                reaped.extend(locked.shard.take_ended(most, now));
                if !more && locked.shard.ended() == 0 {
                    break;
                }
            }
        }
        Ok(reaped)
    }
}

impl MemoryStore {
    /// A shard in which nothing has expired.
    async fn swept(&self, index: usize) -> Locked<'_> {
        loop {
            {
                let mut locked = self.0.lock(index);
                if !locked.sweep() {
                    return locked;
                }
            }
            tokio::task::yield_now().await;
        }
    }
    /// Adds the live sessions in the next `slots` slots of a shard, and gives where to go on.
    fn page_of(
        &self,
        index: usize,
        from: u32,
        slots: usize,
        sessions: &mut Vec<SessionInfo>,
    ) -> Option<u32> {
        let locked = self.0.lock(index);
        let (page, next) = locked.shard.page(from, slots as u32, locked.now);
        sessions.extend(page.map(|(entry, owner)| entry.info(owner, locked.now)));
        next
    }

    /// Adds some of the owner's sessions in a shard to those `found` there before. Says whether
    /// there are more.
    fn owned_in(
        &self,
        locked: &mut Locked<'_>,
        owner: &Owner,
        found: &mut Vec<SessionInfo>,
    ) -> bool {
        let (shard, now) = (&locked.shard, locked.now);
        // Go on after the last one that is still there.
        let last = found.iter().rev().take(STEPS);
        let mut places = last.filter_map(|info| shard.slot_of(self.0.find(&info.id).1, owner));
        let mut next = shard.owned(owner, places.next());
        for _ in 0..STEPS {
            let Some(slot) = next else { return false };
            found.push(shard.info(slot, now));
            next = shard.owned(owner, Some(slot));
        }
        next.is_some()
    }

    /// Ends some of the owner's sessions in a shard. Says whether there are more.
    fn destroy_in(
        &self,
        locked: &mut Locked<'_>,
        owner: &Owner,
        except: Option<&SessionId>,
        all: &mut Vec<Ended>,
    ) -> bool {
        for _ in 0..STEPS {
            let mut next = locked.shard.owned(owner, None);
            if let Some(slot) = next
                && except.is_some_and(|id| locked.shard.is(slot, id))
            {
                next = locked.shard.owned(owner, Some(slot));
            }
            let Some(slot) = next else { return false };
            all.push(locked.remove(slot));
        }
        true
    }

    /// The shard and the slot in it that a listing goes on with.
    fn place_of(&self, cursor: &Cursor) -> Result<(usize, u32)> {
        let parsed = cursor.as_str().split_once(':').and_then(|(index, slot)| {
            let index = index.parse().ok().filter(|i| *i < self.0.shards())?;
            Some((index, slot.parse().ok()?))
        });
        parsed.ok_or_else(|| Error::misconfigured("this cursor is not of a memory store"))
    }
}
