//! Listing, owners, clearing and reaping, one shard at a time.

use std::pin::pin;
use std::sync::atomic::Ordering;

use session_core::backend::Operation;
use session_core::{
    Cursor, Ended, Notice, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};

use crate::MemoryStore;
use crate::cursor::{Listing, Position};
use crate::store::{Inner, Locked, STEPS_PER_LOCK};

#[async_trait]
impl SessionDirectory for MemoryStore {
    async fn count(&self) -> Result<u64> {
        let work = pin!(self.0.count());
        self.0.meter.observe(Operation::Count, 0, work).await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let work = pin!(self.0.list(cursor, limit));
        self.0.meter.observe(Operation::List, 0, work).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let work = pin!(self.0.owned_by(owner, cursor, limit));
        self.0.meter.observe(Operation::OwnedBy, 0, work).await
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let work = pin!(self.0.destroy_owned_by(owner, except, limit));
        self.0
            .meter
            .observe(Operation::DestroyOwnedBy, 0, work)
            .await
    }

    async fn clear(&self) -> Result<u64> {
        let work = pin!(self.0.clear());
        self.0.meter.observe(Operation::Clear, 0, work).await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let work = pin!(self.0.reap(limit));
        self.0.meter.observe(Operation::Reap, 0, work).await
    }
}

impl Inner {
    async fn count(&self) -> Result<u64> {
        let mut count = 0;
        for index in 0..self.shards() {
            count += self.swept(index).await.shard.len() as u64;
        }
        Ok(count)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page(Listing::All, cursor, limit).await
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.page(Listing::Of(owner), cursor, limit).await
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let (limit, mut all) = (limit.max(1), Vec::new());
        for index in 0..self.shards() {
            while all.len() < limit {
                let most = STEPS_PER_LOCK.min(limit - all.len());
                let ended = &mut all;
                if !destroy_some(&mut self.swept(index).await, owner, except, most, ended) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(all)
    }

    async fn clear(&self) -> Result<u64> {
        // Without an await, so that a dropped call has cleared everything or nothing.
        let taken: Vec<_> = (0..self.shards()).map(|n| self.take_shard(n)).collect();
        self.notices.send(Notice::Missed);
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
        let shards = self.shards();
        let start = self.next_reap.fetch_add(1, Ordering::Relaxed);
        let order = (start..).map(|index| index % shards).take(shards);
        // Most of the work is done here, with awaits. The second loop has none: a dropped call must
        // not have taken ended sessions that it never returns.
        let mut unreported = 0;
        for index in order.clone() {
            unreported += self.swept(index).await.shard.unreported();
            if unreported >= limit {
                break;
            }
        }
        let mut reaped = Vec::new();
        for index in order {
            while reaped.len() < limit {
                let mut locked = self.lock(index);
                let most = STEPS_PER_LOCK.min(limit - reaped.len());
                let (more, now) = (locked.sweep(), locked.now);
                reaped.extend(locked.shard.take_unreported(most, now));
                if !more && locked.shard.unreported() == 0 {
                    break;
                }
            }
        }
        Ok(reaped)
    }

    /// Frees all expired sessions of a shard and returns it locked.
    async fn swept(&self, index: usize) -> Locked<'_> {
        loop {
            {
                let mut locked = self.lock(index);
                if !locked.sweep() {
                    return locked;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn page(
        &self,
        listing: Listing<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let (shards, limit) = (self.shards(), limit.max(1));
        let position = cursor.map(|cursor| listing.position(cursor, shards));
        let mut position = position.transpose()?.unwrap_or_default();
        let mut sessions = Vec::new();
        while position.shard < shards && sessions.len() < limit {
            let most = STEPS_PER_LOCK.min(limit - sessions.len());
            match self.list_some(listing, position, most, &mut sessions) {
                Some(slot) => {
                    position.slot = slot;
                    tokio::task::yield_now().await;
                }
                None => {
                    position = Position {
                        shard: position.shard + 1,
                        slot: 0,
                    }
                }
            }
        }
        let next = (position.shard < shards).then(|| listing.cursor(position));
        Ok(Page::new(sessions, next))
    }

    /// Adds up to `most` live sessions of a shard to `sessions`. Returns the slot to continue with.
    fn list_some(
        &self,
        listing: Listing<'_>,
        position: Position,
        most: usize,
        sessions: &mut Vec<SessionInfo>,
    ) -> Option<u32> {
        let locked = self.lock(position.shard);
        let (shard, now) = (&locked.shard, locked.now);
        match listing {
            Listing::All => {
                let (page, next) = shard.page(position.slot, most as u32, now);
                sessions.extend(page.map(|(entry, owner)| entry.info(owner, now)));
                next
            }
            Listing::Of(owner) => {
                let mut slots = shard.owned(owner, position.slot);
                let some = slots.by_ref().take(most);
                sessions.extend(some.filter_map(|slot| shard.info(slot, now)));
                slots.next()
            }
        }
    }
}

/// Destroys up to `most` of the owner's sessions in a shard. Returns whether there may be more.
fn destroy_some(
    locked: &mut Locked<'_>,
    owner: &Owner,
    except: Option<&SessionId>,
    most: usize,
    all: &mut Vec<Ended>,
) -> bool {
    let shard = &locked.shard;
    let spared = |slot: &u32| except.is_some_and(|id| shard.is(*slot, id));
    let slots = shard.owned(owner, 0).filter(|slot| !spared(slot));
    let slots: Vec<u32> = slots.take(most).collect();
    all.extend(slots.iter().map(|slot| locked.remove(*slot)));
    slots.len() == most
}
