//! Listing, owners, clearing and reaping, a shard at a time.

use std::sync::atomic::Ordering;

use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};

use crate::MemoryStore;

#[async_trait]
impl SessionDirectory for MemoryStore {
    async fn count(&self) -> Result<u64> {
        self.0.sweep_all();
        let count: usize = (0..self.0.shards.len())
            .map(|index| self.0.lock(index).len())
            .sum();
        Ok(count as u64)
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let (mut index, mut after) = match cursor {
            Some(cursor) => self.place_of(cursor)?,
            None => (0, None),
        };
        let limit = limit.max(1);
        let mut sessions = Vec::new();
        while index < self.0.shards.len() {
            let (mut more, whole) = self.page_of(index, after.as_ref(), limit - sessions.len());
            sessions.append(&mut more);
            after = sessions
                .last()
                .map(|info| info.id.clone())
                .filter(|_| !whole);
            if whole {
                index += 1;
            }
            if sessions.len() == limit {
                break;
            }
        }
        let next = (index < self.0.shards.len()).then(|| {
            let after = after.as_ref().map_or("", SessionId::as_str);
            Cursor::new(format!("{index}:{after}"))
        });
        Ok(Page { sessions, next })
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let mut owned = Vec::new();
        for index in 0..self.0.shards.len() {
            let shard = self.0.shard(index);
            let now = self.0.now();
            let live = shard
                .of_owner(owner)
                .filter(|(_, entry)| entry.is_live(now));
            owned.extend(live.map(|(id, entry)| entry.info(id, now)));
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
            let ended = self.destroy_pass(owner, except);
            if ended.is_empty() {
                return Ok(all);
            }
            all.extend(ended);
        }
    }

    async fn clear(&self) -> Result<u64> {
        let mut cleared = 0;
        for index in 0..self.0.shards.len() {
            let shard = std::mem::take(&mut *self.0.lock(index));
            let now = self.0.now();
            self.0.release(shard.len());
            cleared += shard.iter().filter(|(_, entry)| entry.is_live(now)).count() as u64;
        }
        Ok(cleared)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let shards = self.0.shards.len();
        let start = self.0.next_reap.fetch_add(1, Ordering::Relaxed);
        let mut reaped = Vec::new();
        for step in 0..shards {
            let index = (start + step) % shards;
            while reaped.len() < limit {
                let mut shard = self.0.lock(index);
                let freed = self.0.sweep(&mut shard, crate::store::FREED_AT_ONCE);
                reaped.extend(shard.take_ended(limit - reaped.len()));
                if freed < crate::store::FREED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(reaped)
    }
}

impl MemoryStore {
    fn destroy_pass(&self, owner: &Owner, except: Option<&SessionId>) -> Vec<Ended> {
        let mut ended = Vec::new();
        for index in 0..self.0.shards.len() {
            let mut shard = self.0.shard(index);
            let now = self.0.now();
            let ids: Vec<SessionId> = shard
                .of_owner(owner)
                .filter(|(id, entry)| entry.is_live(now) && Some(*id) != except)
                .map(|(id, _)| id.clone())
                .collect();
            for id in ids {
                if let Some(entry) = shard.take(&id) {
                    self.0.release(1);
                    ended.push(entry.ended(id, now));
                }
            }
        }
        ended
    }

    /// Up to `limit` live sessions of a shard whose ids come after `after`, in order, and whether
    /// these were the last.
    fn page_of(
        &self,
        index: usize,
        after: Option<&SessionId>,
        limit: usize,
    ) -> (Vec<SessionInfo>, bool) {
        let shard = self.0.shard(index);
        let now = self.0.now();
        let mut ids: Vec<_> = shard
            .iter()
            .filter(|(id, entry)| entry.is_live(now) && Some(*id) > after)
            .collect();
        ids.sort_unstable_by_key(|(id, _)| *id);
        let whole = ids.len() <= limit;
        ids.truncate(limit);
        let page = ids.iter().map(|(id, entry)| entry.info(id, now)).collect();
        (page, whole)
    }

    fn place_of(&self, cursor: &Cursor) -> Result<(usize, Option<SessionId>)> {
        let parsed = cursor.as_str().split_once(':').and_then(|(index, after)| {
            let index = index.parse().ok().filter(|i| *i < self.0.shards.len())?;
            let after = match after {
                "" => None,
                after => Some(SessionId::from_stored(after).ok()?),
            };
            Some((index, after))
        });
        parsed.ok_or_else(|| Error::misconfigured("this cursor is not of a memory store"))
    }
}
