//! A store that seals data and descriptions before another store gets them.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Bytes, Capabilities, Cursor, Description, Draft, Error, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionStore, StoreWrapper, TokenChange, Version,
};

use crate::associated_data::{AssociatedData, DescriptionData};
use crate::key::KeyRing;
use crate::seal::{OVERHEAD, Sealer};

/// Encrypts the data and the description of every session before the inner store gets them, and
/// detects changes made to a record without the secret.
///
/// Every create and save seals both anew. The seal of the data also covers the id, the owner, both
/// limits, the stamp, the whole credential and the description. If any of those or the data was changed in the database,
/// forged or copied from another record, loading the record fails with
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) and its client gets a fresh session. A
/// record that no secret of the ring opens fails in the same way.
///
/// A listing has a session whose description was changed or copied from another session without a
/// description, so that its user can end it; the other sessions of the page are not affected. A
/// description in a listing is bound to id, owner and limits: that it is an older one of the same
/// session is detected when the session is loaded.
///
/// # What it does not do
/// * It encrypts data and description only. Owner, limits, times and credential stay readable,
///   because the store works with them. A credential holds hashes of tokens, which reveal no token.
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
/// The limits on data and description are 45 bytes ([`OVERHEAD`]) lower; every description that
/// [`Session::describe`](session_core::Session::describe) takes fits in.
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
        let mut sealed = draft.clone();
        if let Some(description) = &draft.description {
            sealed.description = self.seal_description(id, draft, description)?;
        }
        let aad = AssociatedData::of_draft(id, &sealed).bytes();
        sealed.data = Bytes::from(self.sealer.seal(&aad, &draft.data));
        Ok(sealed)
    }

    fn open(&self, id: &SessionId, mut record: Record) -> Result<Record> {
        let aad = AssociatedData::of_record(id, &record).bytes();
        let opened = self.sealer.open(&aad, &record.data);
        let opened = opened.ok_or_else(|| self.open_error(&record.data))?;
        record.data = Bytes::from(opened);
        if let Some(sealed) = &record.description {
            let aad = DescriptionData::of_record(id, &record).bytes();
            record.description = self.open_description(&aad, sealed);
        }
        Ok(record)
    }

    fn seal_description(
        &self,
        id: &SessionId,
        draft: &Draft,
        description: &Description,
    ) -> Result<Option<Description>> {
        let (size, limit) = (
            description.as_bytes().len(),
            Description::MAX_BYTES - OVERHEAD,
        );
        Error::check_size("description", size, limit)?;
        let aad = DescriptionData::of_draft(id, draft).bytes();
        Description::from_stored(&self.sealer.seal(&aad, description.as_bytes()))
    }

    fn open_description(&self, aad: &[u8], sealed: &Description) -> Option<Description> {
        let opened = self.sealer.open(aad, sealed.as_bytes())?;
        Description::from_stored(&opened).ok()?
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

    /// The page with the sizes of the unsealed data, and with opened descriptions.
    fn opened_page(&self, mut page: Page) -> Page {
        for info in &mut page.sessions {
            info.size = info.size.saturating_sub(OVERHEAD);
            if let Some(sealed) = &info.description {
                let aad = DescriptionData::of_info(info).bytes();
                info.description = self.open_description(&aad, sealed);
            }
        }
        page
    }

    fn inner_directory(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        self.inner
            .directory()
            .ok_or_else(|| Error::unsupported(what))
    }
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
        page.map(|page| this.opened_page(page))
    }

    async fn owned_by(
        this: &Self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let page = this.inner_directory()?.owned_by(owner, cursor, limit);
        page.await.map(|page| this.opened_page(page))
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
