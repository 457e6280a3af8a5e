//! A store that compresses data before another store gets it.

use session_core::{
    Capabilities, Draft, Error, Record, Result, Saved, SessionId, SessionStore, StoreWrapper,
    Version,
};

use crate::CompressedStoreBuilder;
use crate::codec::Codec;

/// Compresses the data of sessions with zstd before the inner store gets it, from a
/// [threshold](CompressedStoreBuilder::threshold) on. Descriptions are stored as they are.
///
/// * Sessions that were stored before are read as they are, and compressed when they are next saved.
///   The way back is not as easy: only this wrapper reads what it has written.
/// * Data that does not become smaller is stored as it is.
/// * The limit on data is that of the inner store less one byte, whether data compresses well or
///   not: a session that fits today must fit tomorrow. Where the inner store has none, it is 16 MiB.
///   Data that would decompress to more is corrupt, and the memory for it is never allocated.
/// * Listings have the size that is stored, after compression.
///
/// An operation takes as many round trips as the inner store's, and versions are the same.
///
/// # With encryption
/// Compression goes outside of the seal: `CompressedStore` around
/// [`SealedStore`](https://docs.rs/session-sealed). Sealed data is random to a compressor, so the
/// other order costs time and saves nothing.
///
/// # What the size tells
/// The size of compressed data depends on what is in it, and encryption does not hide sizes. An
/// attacker who sees the stored sizes of one session (as traffic between server and database, in the
/// database or in a listing), and can put texts of his own into that session many times, learns
/// whether they repeat something else in it, and so can guess that byte by byte (as CRIME and BREACH
/// do). Random values of this library, such as the secret of form tokens, are in the session too.
/// Encrypt the way to the database, and don't compress if the site's sessions hold both secrets and
/// long texts from requests, and an attacker may see sizes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> session_core::Result<()> {
/// use session_compressed::CompressedStore;
/// use session_core::Sessions;
/// use session_memory::MemoryStore;
///
/// let store = CompressedStore::builder(MemoryStore::new())     // any store
///     .threshold(2048)
///     .build()?;
/// let sessions = Sessions::new(store);
/// # let session = sessions.start();
/// # session.insert("n", "n".repeat(4_000))?;
/// # session.save().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct CompressedStore<S> {
    inner: S,
    codec: Codec,
}

impl<S: SessionStore> CompressedStore<S> {
    /// A builder for a store that compresses the data of the sessions in `store`.
    pub const fn builder(store: S) -> CompressedStoreBuilder<S> {
        CompressedStoreBuilder::new(store)
    }

    pub(crate) const fn of(inner: S, codec: Codec) -> Self {
        Self { inner, codec }
    }

    /// The draft for the inner store.
    fn compressed(&self, draft: &Draft) -> Result<Draft> {
        Error::check_size("record", draft.data.len(), self.codec.limit)?;
        let mut compressed = draft.clone();
        compressed.data = self.codec.encode(&draft.data);
        Ok(compressed)
    }
}

impl<S: SessionStore> StoreWrapper for CompressedStore<S> {
    type Inner = S;

    fn inner(this: &Self) -> &S {
        &this.inner
    }

    fn capabilities(this: &Self) -> Capabilities {
        let mut capabilities = this.inner.capabilities();
        capabilities.max_data = Some(this.codec.limit);
        capabilities
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        this.inner.create(id, &this.compressed(draft)?).await
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let Some(mut record) = this.inner.load(id).await? else {
            return Ok(None);
        };
        record.data = this.codec.decode(record.data)?;
        Ok(Some(record))
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        let compressed = this.compressed(draft)?;
        this.inner.save(id, &compressed, expected).await
    }
}
