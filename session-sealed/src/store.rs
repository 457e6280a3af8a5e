//! A store around a store.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Bytes, Capabilities, Cursor, Draft, Ended, Error, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionInfo, SessionStore, Stamp, Timeout, Ttl, async_trait,
};

use crate::key::KeyRing;
use crate::seal::{OVERHEAD, Sealer};

/// Seals the data of every session before the store inside gets it.
///
/// A session's data is bound to its id: one that is copied over another in the database opens
/// nothing. Owner, limits and times stay readable, for the store works with them. Record and id
/// are as they were in every other way, and so is the number of round trips.
///
/// What can't be opened, with any secret of the ring, is
/// [`Error::Corrupt`](session_core::Error::Corrupt), so its client gets a fresh session.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use session_core::Sessions;
/// use session_memory::MemoryStore;
/// use session_sealed::{KeyRing, SealedStore, Secret};
///
/// let secret = Secret::new("32 bytes or more, out of a generator; `openssl rand -base64 32`")?;
/// let sessions = Sessions::from(SealedStore::new(MemoryStore::new(), &KeyRing::new(secret)));
/// # let session = sessions.start();
/// # session.insert("n", 1)?;
/// # session.save().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SealedStore {
    inner: Arc<dyn SessionStore>,
    sealer: Sealer,
}

impl SealedStore {
    /// `store`, with the data of its sessions sealed by the secrets of `ring`.
    pub fn new(store: impl SessionStore, ring: &KeyRing) -> Self {
        Self {
            inner: Arc::new(store),
            sealer: Sealer::new(ring, b"session-sealed store v1"),
        }
    }

    fn seal(&self, id: &SessionId, draft: &Draft) -> Draft {
        let sealed = self.sealer.seal(id.as_str().as_bytes(), &draft.data);
        Draft {
            data: Bytes::from(sealed),
            ..draft.clone()
        }
    }

    fn check(&self, draft: &Draft) -> Result<()> {
        match self.capabilities().max_data {
            Some(limit) => Error::check_size("record", draft.data.len(), limit),
            None => Ok(()),
        }
    }

    fn inside(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        self.inner.directory().ok_or(Error::Unsupported { what })
    }
}

/// The size of the data itself.
fn unsealed(mut info: SessionInfo) -> SessionInfo {
    info.size = info.size.saturating_sub(OVERHEAD);
    info
}

#[async_trait]
impl SessionStore for SealedStore {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        let limit = &mut capabilities.max_data;
        *limit = limit.map(|limit| limit.saturating_sub(OVERHEAD));
        capabilities
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        self.inner
            .directory()
            .map(|_| self as &dyn SessionDirectory)
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.check(draft)?;
        self.inner.create(id, &self.seal(id, draft)).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let Some(mut record) = self.inner.load(id).await? else {
            return Ok(None);
        };
        let opened = self.sealer.open(id.as_str().as_bytes(), &record.data);
        let opened = opened.ok_or_else(|| Error::corrupt("its data does not open"))?;
        record.data = Bytes::from(opened);
        Ok(Some(record))
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.check(draft)?;
        self.inner.save(id, &self.seal(id, draft), expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.inner.touch(id, idle).await
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.check(draft)?;
        let sealed = self.seal(to, draft);
        self.inner.rename(from, to, &sealed, expected).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.inner.destroy(id).await
    }
}

#[async_trait]
impl SessionDirectory for SealedStore {
    async fn count(&self) -> Result<u64> {
        self.inside()?.count().await
    }

    async fn list(&self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let mut page = self.inside()?.list(cursor, limit).await?;
        page.sessions = page.sessions.into_iter().map(unsealed).collect();
        Ok(page)
    }

    async fn owned_by(&self, owner: &Owner) -> Result<Vec<SessionInfo>> {
        let owned = self.inside()?.owned_by(owner).await?;
        Ok(owned.into_iter().map(unsealed).collect())
    }

    async fn destroy_owned_by(
        &self,
        owner: &Owner,
        except: Option<&SessionId>,
    ) -> Result<Vec<Ended>> {
        self.inside()?.destroy_owned_by(owner, except).await
    }

    async fn clear(&self) -> Result<u64> {
        self.inside()?.clear().await
    }

    async fn reap(&self, limit: usize) -> Result<Vec<Ended>> {
        self.inside()?.reap(limit).await
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
