//! The directory: listing, counting, owners and clearing.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use session_core::backend::Call;
use session_core::{Cursor, Ended, ErrorKind, Owner, Page, Result, SessionId, SessionInfo};

use crate::command::send;
use crate::expiry;
use crate::keys::Kind;
use crate::owner_index::IndexPosition;
use crate::scan::{self, SCAN_COUNT};
use crate::scripted::Inspected;
use crate::{RedisBackend, RedisClient};

/// How many commands on single sessions may be in flight.
const MAX_IN_FLIGHT: usize = 64;
/// How far apart the times of answers may be that count as one moment, in milliseconds.
const ONE_MOMENT: u64 = 100;
/// How many sessions one call of a script destroys; the server is busy for 0.5 ms with so many.
const DESTROY_BATCH: usize = 128;

/// One operation of the directory.
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
        let mut seen = HashSet::new();
        let mut found = pin!(scan::scan_all(self.call, keys));
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
        let (found, next) = scan::page(self.call, keys, cursor, limit).await?;
        let ids = found.iter().filter_map(|key| keys.session_in(key));
        let sessions = self.infos_of(ids.collect()).await?;
        Ok(Page::new(sessions, next))
    }

    pub(crate) async fn owned_by(
        self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let position = cursor.map_or(Ok(IndexPosition::default()), IndexPosition::read)?;
        let page = self
            .backend
            .index_page(self.call, owner, &position, limit, false);
        let (ids, next) = page.await?;
        let mut sessions = self.infos_of(ids).await?;
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
        match self.destroy_owned(owner, except, limit, &mut ended).await {
            // What a doubtful one has ended, the caller must find out.
            Err(error) if ended.is_empty() || error.is_doubtful() => Err(error),
            _ => Ok(ended),
        }
    }

    pub(crate) async fn clear(self) -> Result<u64> {
        let keys = &self.backend.keys;
        if !self.backend.is_cluster {
            // Only the primary executes it, so no other server is scanned.
            send(self.call, &keys.no_op_write()).await?;
        }
        let (mut cleared, mut indexes) = (HashSet::new(), HashSet::new());
        let mut has_expiry_index = self.backend.expiry.is_some();
        let mut found = pin!(scan::scan_all(self.call, keys));
        while let Some(found) = found.try_next().await? {
            let mut sessions = Vec::with_capacity(found.len());
            for key in found {
                match keys.kind(&key) {
                    Some(Kind::Session(id)) => {
                        cleared.insert(id);
                        sessions.push(key);
                    }
                    Some(Kind::Owner) => drop(indexes.insert(key)),
                    Some(Kind::Expiry) => has_expiry_index = true,
                    None => {}
                }
            }
            self.unlink(&sessions).await?;
        }
        // Not the whole indexes: a session that is created meanwhile keeps its entries.
        let backend = self.backend;
        let removals = indexes
            .iter()
            .map(|index| backend.remove_cleared_from_index(self.call, index, &cleared));
        let removals: Vec<_> = removals.collect();
        let removals = stream::iter(removals).buffer_unordered(MAX_IN_FLIGHT);
        let () = removals.try_collect().await?;
        if has_expiry_index {
            expiry::remove_cleared(self.call, keys, &cleared).await?;
        }
        Ok(cleared.len() as u64)
    }

    /// Ends all sessions, and removes the indexes too.
    pub(crate) async fn remove(self) -> Result<()> {
        self.clear().await?;
        let keys = &self.backend.keys;
        let mut found = pin!(scan::scan_all(self.call, keys));
        while let Some(mut found) = found.try_next().await? {
            found.retain(|key| keys.kind(key).is_some());
            self.unlink(&found).await?;
        }
        Ok(())
    }

    /// Destroys sessions of `owner` until `limit` are in `ended` or the index has no more.
    async fn destroy_owned(
        self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
        ended: &mut Vec<Ended>,
    ) -> Result<()> {
        let limit = limit.max(1);
        let mut position = Some(IndexPosition::default());
        while let Some(at) = position {
            // The next call reads the ids beyond the limit again.
            let count = (limit - ended.len()).max(DESTROY_BATCH);
            let page = self.backend.index_page(self.call, owner, &at, count, true);
            let (mut ids, next) = page.await?;
            ids.retain(|id| Some(id) != except);
            let mut ids = &ids[..];
            while !ids.is_empty() {
                let remaining = limit - ended.len();
                let (destroyed, examined) = self.destroy_some(ids, owner, remaining).await;
                ended.extend(destroyed);
                ids = &ids[examined?..];
                if ended.len() >= limit {
                    return Ok(());
                }
            }
            position = next;
        }
        Ok(())
    }

    /// Destroys up to `limit` sessions of `owner` among the first of `ids`. Returns them, and how
    /// many of `ids` were examined.
    async fn destroy_some(
        self,
        ids: &[SessionId],
        owner: &Owner,
        limit: usize,
    ) -> (Vec<Ended>, Result<usize>) {
        // In a cluster the ids are on different nodes. Elsewhere so many batches are sent at once
        // that they can't destroy more than `limit`, or one, which stops there.
        let (count, in_one) = if self.backend.is_cluster {
            (limit, 1)
        } else {
            (limit.max(DESTROY_BATCH), DESTROY_BATCH)
        };
        let ids = &ids[..count.min(ids.len())];
        let parts = ids.chunks(in_one);
        let destroys = parts.map(|ids| {
            self.backend
                .destroy_ids(self.call, ids, Some(owner), None, limit)
        });
        let destroys: Vec<_> = destroys.collect();
        let destroyed: Vec<_> = stream::iter(destroys)
            .buffer_unordered(MAX_IN_FLIGHT)
            .collect()
            .await;
        let (mut ended, mut examined) = (Vec::new(), Ok(0));
        for part in destroyed {
            match part {
                Ok(part) => {
                    ended.extend(part.ended);
                    examined = examined.and_then(|count| Ok(count + part.examined?));
                }
                Err(error) => examined = Err(error),
            }
        }
        (ended, examined)
    }

    /// Describes those of `ids` that are live, as of one moment: which is older must not depend on
    /// which was read first.
    async fn infos_of(self, ids: Vec<SessionId>) -> Result<Vec<SessionInfo>> {
        let found = stream::iter(ids).map(|id| self.found(id));
        let found: Vec<_> = found.buffer_unordered(MAX_IN_FLIGHT).try_collect().await?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        let times = || found.iter().map(|(_, (_, _, now))| *now);
        let (first, last) = (times().min(), times().max());
        // The clocks of a cluster's nodes may be further apart than the answers came.
        let moment = last.filter(|last| last - first.unwrap_or_default() < ONE_MOMENT);
        let info = |(id, (session, size, now)): (SessionId, Inspected)| {
            let now = moment.unwrap_or(now);
            SessionInfo::new(
                id,
                session.lifetime,
                session.ttl(now),
                session.age(now),
                size,
            )
            .with_description(session.description)
            .with_owner(session.owner)
        };
        Ok(found.into_iter().map(info).collect())
    }

    async fn found(self, id: SessionId) -> Result<Option<(SessionId, Inspected)>> {
        match self.backend.inspect(self.call, &id).await {
            Ok(found) => Ok(found.map(|found| (id, found))),
            // A corrupt session is left out.
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn unlink(self, keys: &[Vec<u8>]) -> Result<()> {
        // In a cluster the keys are in different slots: one key for each command.
        let count = if self.backend.is_cluster {
            1
        } else {
            SCAN_COUNT
        };
        let unlinks = keys.chunks(count).map(|keys| async move {
            let mut command = redis::cmd("UNLINK");
            command.arg(keys);
            send(self.call, &command).await.map(drop)
        });
        let unlinks = stream::iter(unlinks.collect::<Vec<_>>());
        unlinks.buffer_unordered(MAX_IN_FLIGHT).try_collect().await
    }
}
