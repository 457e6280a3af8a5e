//! Listing, owners and clearing: by scanning the keys of this store, and by owners' indexes.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use session_core::backend::Call;
use session_core::{Cursor, Ended, ErrorKind, Owner, Page, Result, SessionId, SessionInfo};

use crate::command::send;
use crate::owner_index::IndexPosition;
use crate::scan::{self, STEP};
use crate::{RedisBackend, RedisClient};

/// How many commands are in flight at once when many sessions are looked at.
const AT_ONCE: usize = 64;
/// How many sessions one call of a script ends: for so many it keeps the server busy for half a
/// millisecond.
const ENDED_AT_ONCE: usize = 128;

/// The directory of a store, for one operation.
#[derive(Clone, Copy)]
pub(crate) struct Directory<'a> {
    backend: &'a RedisBackend,
    call: &'a Call<RedisClient>,
}

impl RedisBackend {
    pub(crate) const fn directory<'a>(&'a self, call: &'a Call<RedisClient>) -> Directory<'a> {
        Directory {
            backend: self,
            call,
        }
    }
}

impl Directory<'_> {
    pub(crate) async fn count(self) -> Result<u64> {
        let keys = &self.backend.keys;
        let pattern = keys.pattern();
        let mut seen = HashSet::new();
        let mut found = pin!(scan::walk(self.call, &pattern));
        while let Some(found) = found.try_next().await? {
            seen.extend(
                found
                    .into_iter()
                    .filter(|key| keys.session_in(key).is_some()),
            );
        }
        Ok(seen.len() as u64)
    }

    pub(crate) async fn list(self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let keys = &self.backend.keys;
        let (found, next) = scan::page(self.call, &keys.pattern(), cursor, limit).await?;
        let ids = found.iter().filter_map(|key| keys.session_in(key));
        let sessions = self.look_at(ids.collect()).await?;
        Ok(Page::new(sessions, next))
    }

    pub(crate) async fn owned_by(
        self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let position = cursor.map_or(Ok(IndexPosition::default()), IndexPosition::read)?;
        let index = self
            .backend
            .index_page(self.call, owner, &position, limit, false);
        let (ids, next) = index.await?;
        let mut sessions = self.look_at(ids).await?;
        sessions.retain(|session| session.owner.as_ref() == Some(owner));
        let next = next.as_ref().map(IndexPosition::cursor);
        Ok(Page::new(sessions, next))
    }

    pub(crate) async fn destroy_owned_by(
        self,
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

    pub(crate) async fn clear(self) -> Result<u64> {
        let keys = &self.backend.keys;
        if !self.backend.is_cluster {
            // What the primary lacks, and not another server, is cleared.
            send(self.call, &keys.harmless_write()).await?;
        }
        let pattern = keys.pattern();
        let mut cleared = HashSet::new();
        let mut found = pin!(scan::walk(self.call, &pattern));
        while let Some(mut found) = found.try_next().await? {
            found.retain(|key| keys.kind(key).is_some());
            self.unlink(&found).await?;
            cleared.extend(
                found
                    .into_iter()
                    .filter(|key| keys.session_in(key).is_some()),
            );
        }
        Ok(cleared.len() as u64)
    }

    /// Ends sessions of `owner` until `limit` are `ended` or the whole index has been walked over.
    async fn end_owned(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
        ended: &mut Vec<Ended>,
    ) -> Result<()> {
        let limit = limit.max(1);
        let mut position = Some(IndexPosition::default());
        while let Some(at) = position {
            let index = self.backend.index_page(self.call, owner, &at, STEP, true);
            let (mut ids, next) = index.await?;
            ids.retain(|id| Some(id) != except);
            let mut ids = &ids[..];
            while !ids.is_empty() {
                let most = limit - ended.len();
                let (ends, done) = self.end_some(ids, owner, most).await;
                ended.extend(ends);
                ids = &ids[done?..];
                if ended.len() >= limit {
                    return Ok(());
                }
            }
            position = next;
        }
        Ok(())
    }

    /// Ends up to `most` of the first of `ids`, those that are sessions of `owner`. Says which, and
    /// how many of `ids` were looked at.
    async fn end_some(
        self,
        ids: &[SessionId],
        owner: &Owner,
        most: usize,
    ) -> (Vec<Ended>, Result<usize>) {
        // In a cluster they are on different nodes.
        let (some, in_one) = if self.backend.is_cluster {
            (most.min(AT_ONCE), 1)
        } else {
            (ENDED_AT_ONCE, ENDED_AT_ONCE)
        };
        let ids = &ids[..some.min(ids.len())];
        let parts = ids.chunks(in_one);
        let ends = parts.map(|ids| self.backend.end(self.call, ids, Some(owner), None, most));
        let ends: Vec<_> = ends.collect();
        let ends: Vec<_> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
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
    async fn look_at(self, ids: Vec<SessionId>) -> Result<Vec<SessionInfo>> {
        let infos = stream::iter(ids).map(|id| self.info(id));
        let infos: Vec<_> = infos.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(infos.into_iter().flatten().collect())
    }

    async fn info(self, id: SessionId) -> Result<Option<SessionInfo>> {
        match self.backend.inspect(self.call, &id).await {
            Ok(Some((envelope, size, now))) => Ok(Some(
                SessionInfo::new(
                    id,
                    envelope.lifetime,
                    envelope.ttl(now),
                    envelope.age(now),
                    size,
                )
                .with_owner(envelope.owner),
            )),
            Ok(None) => Ok(None),
            // A record that can't be read costs only its own reader.
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn unlink(self, keys: &[Vec<u8>]) -> Result<()> {
        // In a cluster one key a command, for they are in different slots.
        let some = if self.backend.is_cluster { 1 } else { STEP };
        let unlinks = keys.chunks(some).map(|keys| async move {
            let mut command = redis::cmd("UNLINK");
            command.arg(keys);
            send(self.call, &command).await.map(drop)
        });
        let unlinks = stream::iter(unlinks.collect::<Vec<_>>());
        unlinks.buffer_unordered(AT_ONCE).try_collect().await
    }
}
