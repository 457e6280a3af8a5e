//! A native store with something wrong.

use session_core::{
    Capabilities, Draft, Ended, Error, Lifetime, Record, Result, Saved, SessionDirectory,
    SessionId, SessionStore, Timeout, Ttl, Version, async_trait,
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

#[async_trait]
impl SessionStore for Odd {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        None
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        Ok(self.answer(self.inner.create(id, draft).await?))
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        let found = self.inner.load(id).await?;
        match &found {
            Some(record) if self.wrong == Wrong::Corrupt && record.data == CORRUPT => {
                Err(Error::corrupt("it is"))
            }
            _ => Ok(found),
        }
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        if self.wrong == Wrong::Contended && !draft.data.starts_with(b"{") {
            let faster = Draft::new("{}", Lifetime::idle(HOUR));
            let _ = self.inner.save(id, &faster, expected).await?;
        }
        Ok(self.answer(self.inner.save(id, draft, expected).await?))
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.inner.touch(id, idle).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.inner.destroy(id, expected).await
    }
}
