//! A store that seals the data before another store gets it.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Bytes, Capabilities, Cursor, Draft, Error, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionInfo, SessionStore, StoreWrapper, TokenChange, Version,
};

use crate::associated_data::AssociatedData;
use crate::key::KeyRing;
use crate::seal::{OVERHEAD, Sealer};

/// Encrypts the data of every session before the inner store gets it, and detects changes made to a
/// record without the secret.
///
/// Every create and save seals the data anew. The seal also covers the id, the owner, both limits,
/// the stamp and the whole credential. If any of those or the data was changed in the database,
/// forged or copied from another record, loading the record fails with
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) and its client gets a fresh session. A
/// record that no secret of the ring opens fails in the same way.
///
/// # What it does not do
/// * It encrypts the data only. Owner, limits, times and credential stay readable, because the store
///   works with them. A credential holds hashes of tokens, which reveal no token.
/// * It does not detect that a whole record was replaced by an older version of itself. The session
///   then has the older data, and the older token opens it.
/// * It does not cover the times that the database measures. An attacker with write access to the
///   database can change a session's age and its deadline.
/// * It does not detect a deleted record.
/// * It does not suit stores whose ids are the tokens ([`Capabilities::plain_ids`]): their formats
///   belong to other frameworks. A new token ([`TokenChange::New`]) is refused there with
///   [`ErrorKind::Unsupported`](session_core::ErrorKind::Unsupported), because the data could not be opened under the new id.
///
/// An operation takes as many round trips as the inner store's, and versions are the same.
/// The limit on the data is 45 bytes ([`OVERHEAD`]) lower.
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
    /// Wraps `store` and seals the data of its sessions with the secrets of `ring`.
    pub fn new(store: impl SessionStore, ring: &KeyRing) -> Self {
        Self {
            inner: Arc::new(store),
            sealer: Sealer::new(ring, b"session-sealed store v1"),
        }
    }

    /// The draft for the inner store.
    fn seal(&self, id: &SessionId, draft: &Draft) -> Result<Draft> {
        let capabilities = self.capabilities();
        if let Some(limit) = capabilities.max_data {
            Error::check_size("record", draft.data.len(), limit)?;
        }
        if capabilities.plain_ids && draft.token == TokenChange::New {
            let what = "new tokens of sealed sessions whose ids are their tokens";
            return Err(Error::unsupported(what));
        }
        let aad = AssociatedData::of_draft(id, draft).bytes();
        let mut sealed = draft.clone();
        sealed.data = Bytes::from(self.sealer.seal(&aad, &draft.data));
        Ok(sealed)
    }

    fn open(&self, id: &SessionId, mut record: Record) -> Result<Record> {
        let aad = AssociatedData::of_record(id, &record).bytes();
        let opened = self.sealer.open(&aad, &record.data);
        let opened = opened.ok_or_else(|| self.open_error(&record.data))?;
        record.data = Bytes::from(opened);
        Ok(record)
    }

    /// The error for data that does not open.
    fn open_error(&self, data: &[u8]) -> Error {
        Error::corrupt(match self.sealer.has_key_of(data) {
            true => "its data was changed or copied from another record",
            false => {
                "no secret of the ring opens its data: the secret is wrong, or was removed from the \
                 ring before the sessions that it has sealed had ended"
            }
        })
    }

    fn inner_directory(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        self.inner
            .directory()
            .ok_or_else(|| Error::unsupported(what))
    }
}

/// Corrects the sizes on a page to those of the unsealed data.
fn with_unsealed_sizes(mut page: Page) -> Page {
    let size = |info: &mut SessionInfo| info.size = info.size.saturating_sub(OVERHEAD);
    page.sessions.iter_mut().for_each(size);
    page
}

impl StoreWrapper for SealedStore {
    type Inner = dyn SessionStore;

    fn inner(this: &Self) -> &Self::Inner {
        &*this.inner
    }

    fn capabilities(this: &Self) -> Capabilities {
        let mut capabilities = this.inner.capabilities();
        let limit = &mut capabilities.max_data;
        *limit = limit.map(|limit| limit.saturating_sub(OVERHEAD));
        capabilities
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        this.inner.create(id, &this.seal(id, draft)?).await
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let found = this.inner.load(id).await?;
        found.map(|record| this.open(id, record)).transpose()
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        this.inner.save(id, &this.seal(id, draft)?, expected).await
    }

    async fn list(this: &Self, cursor: Option<&Cursor>, limit: usize) -> Result<Page> {
        let page = this.inner_directory()?.list(cursor, limit).await;
        page.map(with_unsealed_sizes)
    }

    async fn owned_by(
        this: &Self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let page = this.inner_directory()?.owned_by(owner, cursor, limit);
        page.await.map(with_unsealed_sizes)
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
