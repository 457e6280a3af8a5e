//! Listing, owners and clearing: by scanning the keys of this store, and by owners' indexes.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use redis::Pipeline;
use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    async_trait,
};

use crate::RedisStore;
use crate::keys::Kind;

/// How many commands are under way at once when many sessions are looked at.
const AT_ONCE: usize = 64;

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

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let ids = self.indexed("owned_by", owner).await?;
        let mut sessions = self.look_at("owned_by", ids).await?;
        sessions.retain(|session| session.owner.as_ref() == Some(owner));
        Ok(sessions)
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        let mut all = Vec::new();
        // A session that is renamed meanwhile is found under its new id by the next pass.
        loop {
            let ended = self.destroy_indexed(owner, except).await?;
            if ended.is_empty() {
                return Ok(all);
            }
            all.extend(ended);
        }
    }

    async fn clear(&self) -> Result<u64> {
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
    fn session_in(&self, key: &[u8]) -> Option<SessionId> {
        match self.inner.keys.kind(key)? {
            Kind::Session(id) => Some(id),
            Kind::Owner => None,
        }
    }

    fn is_session(&self, key: &[u8]) -> bool {
        self.session_in(key).is_some()
    }

    /// The ids in the index of `owner`, dead ones among them.
    async fn indexed(&self, operation: &'static str, owner: &Owner) -> Result<Vec<SessionId>> {
        let mut commands = Pipeline::with_capacity(1);
        commands.zrange(self.inner.keys.owner(owner), 0, -1);
        let (ids,): (Vec<String>,) = self.run(operation, &[], &commands).await?;
        Ok(ids
            .iter()
            .filter_map(|id| SessionId::from_stored(id).ok())
            .collect())
    }

    /// Ends the sessions that the index of `owner` names now.
    async fn destroy_indexed(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        let ids = self.indexed("destroy_owned_by", owner).await?;
        let ids: Vec<SessionId> = ids.into_iter().filter(|id| Some(id) != except).collect();
        let ends = stream::iter(ids).map(|id| {
            let (store, owner) = (self.clone(), owner.clone());
            async move {
                // The script checks the owner again: an index is only a hint.
                let age = store.end("destroy_owned_by", &id, Some(&owner)).await?;
                let owner = Some(owner);
                Ok::<_, Error>(age.map(|age| Ended { id, owner, age }))
            }
        });
        let ends: Vec<_> = ends.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(ends.into_iter().flatten().collect())
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
        if keys.is_empty() {
            return Ok(());
        }
        if !self.link.connection.is_cluster() {
            let mut commands = Pipeline::with_capacity(1);
            commands.unlink(keys).ignore();
            return self.run("clear", &[], &commands).await;
        }
        // One key a command, for they are in different slots.
        let store = self.clone();
        let unlinks = stream::iter(keys.to_vec()).map(move |key| {
            let store = store.clone();
            async move {
                let mut commands = Pipeline::with_capacity(1);
                commands.unlink(key).ignore();
                store.run::<()>("clear", &[], &commands).await
            }
        });
        unlinks.buffer_unordered(AT_ONCE).try_collect().await
    }
}
