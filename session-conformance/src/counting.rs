//! A store wrapper that counts the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use session_core::{
    Capabilities, Draft, Ended, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    Timeout, Ttl, Version, async_trait,
};

/// The store under test, and the number of calls. Clones share the count.
#[derive(Clone, Debug)]
pub(super) struct Counting {
    store: Arc<dyn SessionStore>,
    calls: Arc<AtomicUsize>,
}

impl Counting {
    pub(super) fn new(store: Arc<dyn SessionStore>) -> Self {
        let calls = Arc::default();
        Self { store, calls }
    }

    /// Returns the number of calls since the last call of this.
    pub(super) fn take_count(&self) -> usize {
        self.calls.swap(0, SeqCst)
    }

    fn counted(&self) -> &dyn SessionStore {
        self.calls.fetch_add(1, SeqCst);
        &*self.store
    }
}

#[async_trait]
impl SessionStore for Counting {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        self.store.directory()
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Saved> {
        self.counted().create(id, draft).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.counted().load(id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: &Version) -> Result<Saved> {
        self.counted().save(id, draft, expected).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.counted().touch(id, idle).await
    }

    async fn destroy(&self, id: &SessionId, expected: Option<&Version>) -> Result<Option<Ended>> {
        self.counted().destroy(id, expected).await
    }
}
