//! A native store with something wrong.

use session_core::{
    Draft, Error, Lifetime, Record, Result, Saved, SessionId, SessionStore, StoreWrapper, Version,
};
use session_memory::MemoryStore;

use crate::fixture::HOUR;

/// Data that can't be read.
pub(crate) const CORRUPT: &str = "corrupt";

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Records of the data [`CORRUPT`] can't be read.
    Corrupt,
    /// Another writer is faster than every save of a tombstone.
    Contended,
    /// It sends each write twice, and has forgotten that it did.
    Unsure,
}

#[derive(Clone, Debug)]
pub(crate) struct Odd {
    pub(crate) inner: MemoryStore,
    pub(crate) wrong: Wrong,
}

impl Odd {
    pub(crate) fn new(wrong: Wrong) -> Self {
        let inner = MemoryStore::new();
        Self { inner, wrong }
    }

    fn answer(&self, saved: Saved) -> Saved {
        match self.wrong {
            Wrong::Unsure => Saved::Unknown,
            Wrong::Corrupt | Wrong::Contended => saved,
        }
    }
}

impl StoreWrapper for Odd {
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
            Some(record) if this.wrong == Wrong::Corrupt && record.data == CORRUPT => {
                Err(Error::corrupt("it is"))
            }
            _ => Ok(found),
        }
    }

    async fn save(this: &Self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        if this.wrong == Wrong::Contended && !draft.data.starts_with(b"{") {
            let faster = Draft::new("{}", Lifetime::idle(HOUR));
            let _ = this.inner.save(id, &faster, expected).await?;
        }
        Ok(this.answer(this.inner.save(id, draft, expected).await?))
    }
}
