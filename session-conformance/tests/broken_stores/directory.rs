//! Faults of listings, owners and reaping.

use std::time::{Duration, Instant};

use session_core::{
    Cursor, Ended, Error, Owner, Page, Result, SessionDirectory, SessionId, SessionInfo,
    SessionStore, async_trait,
};

use session_conformance::reference::Row;

use crate::factory::locked;
use crate::fault::Fault;
use crate::store::Broken;

/// A page of a listing whose cursor is an offset.
fn page_by_offset(all: Vec<SessionInfo>, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
    let skip: usize = cursor
        .map_or(Ok(0), |cursor| cursor.as_str().parse())
        .map_err(|_| Error::misconfigured("no cursor of this store"))?;
    let end = skip.saturating_add(limit);
    let next = (end < all.len()).then(|| Cursor::new(end.to_string()));
    let sessions = all.into_iter().skip(skip).take(limit).collect();
    Ok(Page::new(sessions, next))
}

impl Broken {
    /// Every session that ever belonged to the owner, by the index.
    fn indexed(&self, owner: &Owner) -> Vec<SessionId> {
        let index = locked(&self.shared.index);
        let entries = index.iter().filter(|(whose, _)| whose == owner);
        entries.map(|(_, id)| id.clone()).collect()
    }

    fn hide_descriptions(&self, page: &mut Page) {
        if self.has(Fault::ListsNoDescription) {
            for info in &mut page.sessions {
                info.description = None;
            }
        }
    }

    fn is_removed(&self, owner: &Owner, id: &SessionId) -> bool {
        locked(&self.shared.removed).contains(&(owner.clone(), id.clone()))
    }

    async fn all_of(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let page = self.inner.owned_by(owner, None, usize::MAX).await?;
        Ok(page.sessions)
    }

    async fn destroy_one_by_one(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for _ in 0..limit {
            let one = self.inner.destroy_owned_by(owner, except, 1).await?;
            if one.is_empty() {
                break;
            }
            ended.extend(one);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(ended)
    }

    /// Destroys the sessions of `limit` index entries and removes the entries.
    async fn destroy_indexed(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let mut ended = Vec::new();
        for id in self.indexed(owner).into_iter().take(limit) {
            if Some(&id) == except {
                continue;
            }
            let found = self.inner.load(&id).await?;
            let is_theirs = found.is_some_and(|found| found.owner.as_ref() == Some(owner));
            if is_theirs || self.has(Fault::TrustsIndex) {
                ended.extend(self.inner.destroy(&id, None).await?);
            }
            locked(&self.shared.index).remove(&(owner.clone(), id));
        }
        Ok(ended)
    }

    /// Destroys the versions that it has read, so that a concurrent save prevents that.
    async fn destroy_versions(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        let mut versions = Vec::new();
        for info in self.all_of(owner).await?.into_iter().take(limit) {
            let found = self.inner.load(&info.id).await?;
            versions.extend(found.map(|found| (info.id, found.version)));
        }
        self.pause().await;
        let mut ended = Vec::new();
        for (id, version) in versions {
            if Some(&id) != except {
                ended.extend(self.inner.destroy(&id, Some(&version)).await?);
            }
        }
        Ok(ended)
    }
}

#[async_trait]
impl SessionDirectory for Broken {
    async fn count(&self) -> Result<u64> {
        self.inner.count().await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        match self.fault {
            Fault::OffsetCursor => {
                let all = self.inner.list(None, usize::MAX).await?.sessions;
                page_by_offset(all, cursor, limit)
            }
            Fault::CorruptStopsListing
                if self.inner.rows().values().any(|row| row.data.is_none()) =>
            {
                Err(Error::corrupt("one of the listed"))
            }
            _ => {
                let mut page = self.inner.list(cursor, limit).await?;
                self.hide_descriptions(&mut page);
                Ok(page)
            }
        }
    }

    async fn owned_by(&self, owner: &Owner, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut page = match self.fault {
            Fault::OwnerOffset => page_by_offset(self.all_of(owner).await?, cursor, limit)?,
            Fault::OwnerOnOnePage => self.inner.owned_by(owner, cursor, usize::MAX).await?,
            _ => self.inner.owned_by(owner, cursor, limit).await?,
        };
        self.hide_descriptions(&mut page);
        if self.has(Fault::OwnerPagesOverlap) && cursor.is_some() {
            let all = self.all_of(owner).await?;
            page.sessions.extend(all.into_iter().next());
        }
        if cursor.is_none() {
            let stale = locked(&self.shared.stale);
            let theirs = stale
                .iter()
                .filter(|info| info.owner.as_ref() == Some(owner));
            page.sessions.extend(theirs.cloned());
        }
        page.sessions
            .retain(|info| !self.is_removed(owner, &info.id));
        if self.has(Fault::CorruptEndsPages) {
            let rows = self.inner.rows();
            let is_corrupt = |info: &SessionInfo| rows[&info.id].data.is_none();
            if let Some(at) = page.sessions.iter().position(is_corrupt) {
                page.sessions.truncate(at);
                page.next = None;
            }
        }
        Ok(page)
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<Ended>> {
        match self.fault {
            Fault::TrustsIndex | Fault::LogoutStopsAtStaleEntries => {
                self.destroy_indexed(owner, except, limit).await
            }
            Fault::LogoutStopsAtException => {
                let first = self.all_of(owner).await?.into_iter().next();
                match first {
                    Some(first) if Some(&first.id) == except && limit == 1 => Ok(Vec::new()),
                    _ => self.inner.destroy_owned_by(owner, except, limit).await,
                }
            }
            Fault::CorruptStopsLogout => {
                let is_corrupt =
                    |row: &Row| row.data.is_none() && row.owner.as_ref() == Some(owner);
                if self.inner.rows().values().any(is_corrupt) {
                    return Err(Error::corrupt("one of the owner's"));
                }
                self.inner.destroy_owned_by(owner, except, limit).await
            }
            Fault::LogoutReportsTwice => {
                let mut ended = self.inner.destroy_owned_by(owner, except, limit).await?;
                ended.extend(ended.last().cloned());
                Ok(ended)
            }
            Fault::LogoutOneByOne => {
                let work = self.destroy_one_by_one(owner, except, limit);
                let limit = Duration::from_millis(500);
                let late = |_| Err(Error::deadline("destroy_owned_by", limit));
                tokio::time::timeout(limit, work).await.unwrap_or_else(late)
            }
            Fault::LogoutComparesStamps => self.destroy_versions(owner, except, limit).await,
            _ => self.inner.destroy_owned_by(owner, except, limit).await,
        }
    }

    async fn clear(&self) -> Result<u64> {
        let cleared = self.inner.clear().await?;
        if self.has(Fault::ClearsByPrefix) {
            for name in self.all.namespaces() {
                if name.starts_with(&self.namespace) {
                    self.all.store(&name).clear().await?;
                }
            }
        }
        Ok(cleared)
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        let now = Instant::now();
        match self.fault {
            Fault::ReapsTwice => {
                let due: Vec<Ended> = self
                    .inner
                    .rows()
                    .iter()
                    .filter(|(_, row)| !row.is_live(now))
                    .map(|(id, row)| row.ended(id, now))
                    .take(limit)
                    .collect();
                self.pause().await;
                for one in &due {
                    self.inner.rows().remove(&one.id);
                }
                Ok(due)
            }
            Fault::ReapsLive => {
                let mut rows = self.inner.rows();
                let due = rows
                    .extract_if(.., |_, row| row.deadline.is_some())
                    .take(limit);
                Ok(due.map(|(id, row)| row.ended(&id, now)).collect())
            }
            Fault::ReapsUnconfirmed => {
                let reaped = self.inner.reap(limit).await?;
                self.inner.confirm_reaped(&reaped).await?;
                Ok(reaped)
            }
            _ => self.inner.reap(limit).await,
        }
    }

    async fn confirm_reaped(&self, reaped: &[Ended]) -> Result<()> {
        match self.fault {
            Fault::ReapsConfirmed => Ok(()),
            Fault::ConfirmsLive => {
                let mut rows = self.inner.rows();
                reaped.iter().for_each(|ended| drop(rows.remove(&ended.id)));
                Ok(())
            }
            _ => self.inner.confirm_reaped(reaped).await,
        }
    }
}
