//! Listing, owners and clearing: by scanning the keys of this store, and by owners' indexes.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};

use crate::RedisStore;
use crate::keys::Kind;
use crate::link::STEP;
use crate::owners::Place;

/// How many commands are under way at once when many sessions are looked at.
const AT_ONCE: usize = 64;
/// How many sessions one call of a script ends: for so many it keeps the server busy for half a
/// millisecond.
const ENDED_AT_ONCE: usize = 128;

#[async_trait]
impl SessionDirectory for RedisStore {
    /// Scans all keys of the database: its time grows with them.
    async fn count(&self) -> Result<u64> {
        let mut seen = HashSet::new();
        let mut keys = pin!(self.link.walk("count", self.inner.keys.pattern()));
        while let Some(keys) = keys.try_next().await? {
            seen.extend(keys.into_iter().filter(|key| self.is_session(key)));
        }
        Ok(seen.len() as u64)
    }

    /// Scans part of the database; a page may well be empty though more follow.
    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let pattern = self.inner.keys.pattern();
        let (keys, next) = self.link.page("list", &pattern, cursor, limit).await?;
        let ids = keys.iter().filter_map(|key| self.session_in(key)).collect();
        let sessions = self.look_at("list", ids).await?;
        Ok(Page { sessions, next })
    }

    /// Reads part of the owner's index; a page may well be empty though more follow. One round trip
    /// for that, and one for each session it names, 64 at a time.
    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let place = cursor.map_or(Ok(Place::default()), Place::read)?;
        let (ids, next) = self
            .index_page("owned_by", owner, &place, limit, false)
            .await?;
        let mut sessions = self.look_at("owned_by", ids).await?;
        sessions.retain(|session| session.owner.as_ref() == Some(owner));
        let next = next.as_ref().map(Place::cursor);
        Ok(Page { sessions, next })
    }

    /// Walks over the owner's index until `limit` sessions are ended. One round trip for each 1,000
    /// ids in it, and one for each 128 of those; in a cluster one for each, up to 64 at a time.
    ///
    /// After an error it says what it has ended until then, if there was any.
    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        match self.end_owned(owner, except, limit, &mut ended).await {
            Err(error) if ended.is_empty() => Err(error),
            _ => Ok(ended),
        }
    }

    async fn clear(&self) -> Result<u64> {
        if !self.link.is_cluster() {
            // What the primary lacks, and not another server, is cleared.
            self.send("clear", &self.inner.keys.harmless_write())
                .await?;
        }
        let mut cleared = HashSet::new();
        let mut keys = pin!(self.link.walk("clear", self.inner.keys.pattern()));
        while let Some(mut keys) = keys.try_next().await? {
            keys.retain(|key| self.inner.keys.kind(key).is_some());
            self.unlink(&keys).await?;
            cleared.extend(keys.into_iter().filter(|key| self.is_session(key)));
        }
        Ok(cleared.len() as u64)
    }

    /// Nothing to do: Redis removes what has expired, and the owners' indexes heal when they are
    /// written and expire by themselves.
    async fn reap(&self, _limit: usize) -> Result<Vec<Ended>> {
        Ok(Vec::new())
    }
}

impl RedisStore {
    pub(crate) fn session_in(&self, key: &[u8]) -> Option<SessionId> {
        match self.inner.keys.kind(key)? {
            Kind::Session(id) => Some(id),
            Kind::Owner => None,
        }
    }

    fn is_session(&self, key: &[u8]) -> bool {
        self.session_in(key).is_some()
    }

    /// Ends sessions of `owner` until `limit` are `ended` or the whole index has been walked over.
    async fn end_owned(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
        ended: &mut Vec<Ended>,
    ) -> Result<()> {
        let (operation, limit) = ("destroy_owned_by", limit.max(1));
        let mut place = Some(Place::default());
        while let Some(at) = place {
            let (mut ids, next) = self.index_page(operation, owner, &at, STEP, true).await?;
            ids.retain(|id| Some(id) != except);
            let mut ids = &ids[..];
            while !ids.is_empty() {
                let most = limit - ended.len();
                let (ends, done) = self.end_some(operation, ids, owner, most).await;
                ended.extend(ends);
                ids = &ids[done?..];
                if ended.len() >= limit {
                    return Ok(());
                }
            }
            place = next;
        }
        Ok(())
    }

    /// Ends up to `most` of the first of `ids`, those that are sessions of `owner`. Says which, and
    /// how many of `ids` were looked at.
    async fn end_some(
        &self,
        operation: &'static str,
        ids: &[SessionId],
        owner: &Owner,
        most: usize,
    ) -> (Vec<Ended>, Result<usize>) {
        let is_cluster = self.link.is_cluster();
        let some = if is_cluster {
            most.min(AT_ONCE)
        } else {
            ENDED_AT_ONCE
        };
        let ids = &ids[..some.min(ids.len())];
        // In a cluster they are on different nodes.
        let parts = ids
            .chunks(if is_cluster { 1 } else { some })
            .map(<[_]>::to_vec);
        let ends = stream::iter(parts).map(|ids| {
            let (store, owner) = (self.clone(), owner.clone());
            async move { store.end(operation, &ids, Some(&owner), None, most).await }
        });
        let ends: Vec<_> = ends.buffer_unordered(AT_ONCE).collect().await;
        let (mut ended, mut done) = (Vec::new(), Ok(0));
        for end in ends {
            match end {
                Ok(end) => {
                    ended.extend(end.ended);
                    done = done.map(|done| done + end.looked_at);
                }
                Err(error) => done = Err(error),
            }
        }
        (ended, done)
    }

    /// What there is to say of those of `ids` that live.
    async fn look_at(
        &self,
        operation: &'static str,
        ids: Vec<SessionId>,
    ) -> Result<Vec<SessionInfo>> {
        let store = self.clone();
        let infos = stream::iter(ids).map(move |id| {
            let store = store.clone();
            async move {
                match store.inspect(operation, &id).await {
                    Ok(Some((envelope, size, now))) => Ok(Some(SessionInfo {
                        id,
                        ttl: envelope.ttl(now),
                        age: envelope.age(now),
                        lifetime: envelope.lifetime,
                        owner: envelope.owner,
                        size,
                    })),
                    // A record that can't be read costs only its own reader.
                    Ok(None) | Err(Error::Corrupt { .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        });
        let infos: Vec<_> = infos.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(infos.into_iter().flatten().collect())
    }

    async fn unlink(&self, keys: &[Vec<u8>]) -> Result<()> {
        // In a cluster one key a command, for they are in different slots.
        let some = if self.link.is_cluster() { 1 } else { STEP };
        let unlinks = keys.chunks(some).map(|keys| {
            let mut command = redis::cmd("UNLINK");
            command.arg(keys);
            command
        });
        let unlinks = stream::iter(unlinks.collect::<Vec<_>>()).map(|command| {
            let store = self.clone();
            async move { store.send("clear", &command).await.map(drop) }
        });
        unlinks.buffer_unordered(AT_ONCE).try_collect().await
    }
}
