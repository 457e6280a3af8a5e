//! A store around a store.

use std::fmt;
use std::sync::Arc;

use session_core::{
    Bytes, Capabilities, Cursor, Draft, Error, Owner, Page, Record, Result, Saved,
    SessionDirectory, SessionId, SessionInfo, SessionStore, StoreWrapper, TokenChange, Version,
};

use crate::key::KeyRing;
use crate::place::Place;
use crate::seal::{OVERHEAD, Sealer};

/// Encrypts the data of every session before the store inside gets it, and detects changes that
/// were made to a record without the secret.
///
/// Every create and save seals the data anew. The seal also covers the id, the owner, both limits,
/// the stamp and the whole credential. If any of those or the data itself was changed in the
/// database, made up or copied from another record, the record is [`ErrorKind::Corrupt`] and its client
/// gets a fresh session. So is a record that no secret of the ring opens.
///
/// # What it does not do
/// * Only the data is encrypted. Owner, limits, times and credential stay readable, because the
///   store works with them. A credential holds hashes of tokens, from which no token can be made.
/// * It does not detect a whole record that is put back as it was before. The data is then the
///   older data, and the token of that time opens the session again.
/// * It does not cover the times that the database measures. An attacker with write access to the
///   database can change a session's age and its deadline.
/// * It does not notice a record that was deleted.
/// * It does not suit stores whose ids are the tokens ([`Capabilities::plain_ids`]): their formats
///   belong to other frameworks. A new token ([`TokenChange::New`]) is refused there with
///   [`ErrorKind::Unsupported`], because the data could not be opened under the new id.
///
/// Operations take as many round trips as those of the store inside, and versions are the same.
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
    /// `store`, with the data of its sessions sealed by the secrets of `ring`.
    pub fn new(store: impl SessionStore, ring: &KeyRing) -> Self {
        Self {
            inner: Arc::new(store),
            sealer: Sealer::new(ring, b"session-sealed store v1"),
        }
    }

    /// The draft as the store inside gets it.
    fn seal(&self, id: &SessionId, draft: &Draft) -> Result<Draft> {
        let capabilities = self.capabilities();
        if let Some(limit) = capabilities.max_data {
            Error::check_size("record", draft.data.len(), limit)?;
        }
        if capabilities.plain_ids && draft.token == TokenChange::New {
            let what = "new tokens of sealed sessions whose ids are their tokens";
            return Err(Error::unsupported(what));
        }
        let place = Place::of_draft(id, draft).bytes();
        let mut sealed = draft.clone();
        sealed.data = Bytes::from(self.sealer.seal(&place, &draft.data));
        Ok(sealed)
    }

    fn open(&self, id: &SessionId, mut record: Record) -> Result<Record> {
        let place = Place::of_record(id, &record).bytes();
        let opened = self.sealer.open(&place, &record.data);
        let opened = opened.ok_or_else(|| self.unopened(&record.data))?;
        record.data = Bytes::from(opened);
        Ok(record)
    }

    /// Why data could not be opened.
    fn unopened(&self, data: &[u8]) -> Error {
        Error::corrupt(match self.sealer.has_key_of(data) {
            true => "its data was changed, or sealed for another record",
            false => {
                "no secret of the ring has sealed its data: the secret is wrong, or was removed from \
                 the ring before the sessions that it has sealed had ended"
            }
        })
    }

    fn inside(&self) -> Result<&dyn SessionDirectory> {
        let what = "listing, counting, owners or reaping";
        self.inner
            .directory()
            .ok_or_else(|| Error::unsupported(what))
    }
}

/// The page with the sizes of the data itself.
fn unsealed(mut page: Page) -> Page {
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
        this.inside()?.list(cursor, limit).await.map(unsealed)
    }

    async fn owned_by(
        this: &Self,
        owner: &Owner,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page> {
        let page = this.inside()?.owned_by(owner, cursor, limit).await;
        page.map(unsealed)
    }
}

impl fmt::Debug for SealedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedStore")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
