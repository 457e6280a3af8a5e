//! Listing, owners, clearing and reaping, a shard at a time.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use session_core::{
    Cursor, Ended, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo, async_trait,
};

use crate::MemoryStore;
use crate::cursor::{InAll, InOwned, Mark};
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
        let (shards, limit) = (self.0.shards(), limit.max(1));
        let place = cursor.map(|cursor| InAll::of(cursor, shards)).transpose()?;
        let InAll {
            mut shard,
            mut slot,
        } = place.unwrap_or_default();
        let mut sessions = Vec::new();
        while shard < shards && sessions.len() < limit {
            let most = STEPS.min(limit - sessions.len());
            match self.page_of(shard, slot, most, &mut sessions) {
                Some(next) => {
                    slot = next;
                    tokio::task::yield_now().await;
                }
                None => (shard, slot) = (shard + 1, 0),
            }
        }
        let next = (shard < shards).then(|| InAll { shard, slot }.cursor());
        Ok(Page { sessions, next })
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (shards, limit) = (self.0.shards(), limit.max(1));
        let place = cursor.map(|cursor| InOwned::of(cursor, shards));
        let InOwned {
            mut shard,
            mut after,
        } = place.transpose()?.unwrap_or_default();
        let mut sessions = Vec::new();
        while shard < shards && sessions.len() < limit {
            let most = STEPS.min(limit - sessions.len());
            let listed = &mut sessions;
            after = owned_in(&self.swept(shard).await, owner, after, most, listed);
            match after {
                Some(_) => tokio::task::yield_now().await,
                None => shard += 1,
            }
        }
        // One whose place was lost meanwhile let the listing begin its shard again.
        let mut ids = HashSet::new();
        sessions.retain(|info| ids.insert(info.id.clone()));
        let next = (shard < shards).then(|| InOwned { shard, after }.cursor());
        Ok(Page { sessions, next })
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let (limit, mut all) = (limit.max(1), Vec::new());
        for index in 0..self.0.shards() {
            while all.len() < limit {
                let most = STEPS.min(limit - all.len());
                let ended = &mut all;
                if !destroy_in(&mut self.swept(index).await, owner, except, most, ended) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(all)
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
}

/// Adds up to `most` of the owner's sessions in a shard, from the one after the marked one on. Says
/// where to go on, if there are more.
fn owned_in(
    locked: &Locked<'_>,
    owner: &Owner,
    after: Option<Mark>,
    most: usize,
    sessions: &mut Vec<SessionInfo>,
) -> Option<Mark> {
    let (shard, now) = (&locked.shard, locked.now);
    // Begin again where the place is lost: what is listed twice does no harm.
    let mut last = after.and_then(|mark| shard.marked(mark, owner));
    for _ in 0..most {
        let slot = shard.owned(owner, last)?;
        sessions.push(shard.info(slot, now));
        last = Some(slot);
    }
    let last = last?;
    let more = shard.owned(owner, Some(last)).is_some();
    more.then(|| shard.mark(last))
}

/// Ends up to `most` of the owner's sessions in a shard. Says whether there may be more.
fn destroy_in(
    locked: &mut Locked<'_>,
    owner: &Owner,
    except: Option<&SessionId>,
    most: usize,
    all: &mut Vec<Ended>,
) -> bool {
    for _ in 0..most {
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
