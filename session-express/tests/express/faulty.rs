//! A faulty native store.

use session_core::{
    Draft, Error, Lifetime, Record, Result, Saved, SessionId, SessionStore, StoreWrapper, Version,
};
use session_memory::MemoryStore;

use crate::fixture::HOUR;

/// Data that can't be read.
pub(crate) const CORRUPT: &str = "corrupt";

/// The fault of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Records of the data [`CORRUPT`] can't be read.
    Corrupt,
    /// Another writer is faster than every save of a tombstone.
    Contended,
    /// Every write is done and answered with `Unknown`.
    Unsure,
}

#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    pub(crate) fault: Fault,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        let inner = MemoryStore::new();
        Self { inner, fault }
    }

    fn answer(&self, saved: Saved) -> Saved {
        match self.fault {
            Fault::Unsure => Saved::Unknown,
            Fault::Corrupt | Fault::Contended => saved,
        }
    }
}

impl StoreWrapper for Faulty {
    type Inner = MemoryStore;

    fn inner(this: &Self) -> &MemoryStore {
        &this.inner
    }

    async fn create(this: &Self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        Ok(this.answer(this.inner.create(id, draft).await?))
    }

    async fn load(this: &Self, id: &SessionId) -> Result<Option<Record>> {
        let found = this.inner.load(id).await?;
        match &found {
            Some(record) if this.fault == Fault::Corrupt && record.data == CORRUPT => {
                Err(Error::corrupt("it is"))
            }
            _ => Ok(found),
        }
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        if this.fault == Fault::Contended && !draft.data.starts_with(b"{") {
            let faster = Draft::new("{}", Lifetime::idle(HOUR));
            let _ = this.inner.save(id, &faster, expected).await?;
        }
        Ok(this.answer(this.inner.save(id, draft, expected).await?))
    }
}
